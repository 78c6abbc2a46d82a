package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"segsync/internal/pgtest"
)

// TestMain makes the test binary be segsync where it is called by that name: the
// tests run the true program in a process of its own.
func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){"segsync": main})
}

// leakChecked fails tests that leave goroutines behind.
type leakChecked struct{ m *testing.M }

func (l leakChecked) Run() int {
	flag.Parse()
	if flag.Lookup("test.parallel").Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		flag.Set("test.parallel", "24") // most tests wait for a server or the clock
	}
	code := pgtest.Main(l.m)
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}
