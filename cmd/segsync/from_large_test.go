//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"segsync/internal/app"
	"segsync/internal/sandbox"
	"segsync/internal/warehousetest"
)

// largeImport returns how many profiles the large imports have: 1,000, with SEGSYNC_FULL 20,000, or as many as
// SEGSYNC_PROFILES says. A million from all of them take some ten minutes:
//
//	SEGSYNC_FULL=1 SEGSYNC_PROFILES=1000000 go test ./cmd/segsync -run TestLargeImports -timeout 0 -v
func largeImport(t *testing.T) int {
	t.Helper()
	if text := os.Getenv("SEGSYNC_PROFILES"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 100 {
			t.Fatalf("SEGSYNC_PROFILES=%s: it must be a number of 100 or more", text)
		}
		return n
	}
	if full {
		return 20_000
	}
	return 1_000
}

// largePerson is the ith of many made-up profiles of 12 traits, in the order of their ids.
func largePerson(i int) sandbox.Person {
	email := fmt.Sprintf("customer.%07d@example.com", i)
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return sandbox.Person{
		SegmentID: fmt.Sprintf("use_%07d", i),
		ExternalIDs: []sandbox.ExternalID{
			{Type: "user_id", ID: fmt.Sprintf("user-%07d", i), CreatedAt: began},
			{Type: "email", ID: email, CreatedAt: began},
		},
		Traits: map[string]any{
			"name": fmt.Sprint("Made-up Customer ", i), "email": email, "phone": fmt.Sprintf("+1555%07d", i),
			"description": fmt.Sprint("Customer since ", 2000+i%25), "birthdate": fmt.Sprintf("19%02d-%02d-%02d", 40+i%60, 1+i%12, 1+i%28),
			"address":  map[string]any{"street": fmt.Sprint(i%1000, " Main Street"), "city": "Hillview", "postalCode": fmt.Sprintf("%05d", i%100000), "country": "US"},
			"metadata": map[string]any{"lang": "en", "test": true}, "plan": "pro", "vip": i%7 == 0, "lifetime_value": i % 10000,
			"favorite_brands": []string{"Acme", "Globex"}, "createdAt": "2022-11-02T08:00:01.101Z",
		},
	}
}

// imported is what an import came to.
type imported struct {
	customers map[string]json.RawMessage
	megabytes int // the most memory of any of its processes
	took      time.Duration
}

// importLarge imports n profiles in batches of a hundredth, or of 1,000. Unless killAt is 0, the process is
// killed when Voucherify has taken so many batches, and another one continues.
func importLarge(t *testing.T, n, killAt int, env []string, from string) (got imported) {
	t.Helper()
	var mu sync.Mutex
	var running *process
	sent := 0
	box := sandbox.New(sandbox.Options{OnAnswer: func(r sandbox.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.Method == http.MethodPost {
			if sent++; sent == killAt {
				kill(running)
			}
		}
	}})
	server, err := box.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	w := &world{box: box, server: server, dir: t.TempDir()}
	check(t, os.Mkdir(filepath.Join(w.dir, "out"), 0o700)) // or --resume would refuse it
	env = w.environ(slices.Concat(env, noSegment, []string{"VOUCHERIFY_BATCH_SIZE=" + itoa(min(n/100, 1000))})...)
	began := time.Now()
	for run := 1; ; run++ {
		mu.Lock()
		p := startProcess(t, w.dir, env, nil, "import", "--resume", "--dir", "out", "--verify-interval", "1s", "--from", from)
		running = p
		mu.Unlock()
		got.megabytes = max(got.megabytes, peakMemory(p.cmd.Process.Pid, p.exited))
		if run == 1 && killAt > 0 {
			if code := p.cmd.ProcessState.ExitCode(); code != killed {
				t.Fatalf("it was not killed, but ended with %d:\n%s", code, p.stderr)
			}
			continue
		}
		p.wantExit(t, app.ExitDone)
		if !strings.HasSuffix(p.stdout.String(), ": it adds up\n") {
			t.Errorf("the summary:\n%s", p.stdout)
		}
		break
	}
	got.took = time.Since(began)
	got.customers = box.Customers()
	if len(got.customers) != n {
		t.Errorf("%d customers, want %d", len(got.customers), n)
	}
	return got
}

// Many profiles of each vendor become the customers that they become from a file, byte for byte, though the
// import is killed once and a result is gone once. What it knows of each profile is in memory, and little else.
func TestLargeImports(t *testing.T) {
	n := largeImport(t)
	if n < 100_000 {
		t.Parallel()
	}
	people := filepath.Join(t.TempDir(), "people.ndjson")
	check(t, writeNDJSON(people, os.Stdout, func(yield func(sandbox.Person) bool) {
		for i := 0; i < n && yield(largePerson(i)); i++ {
		}
	}))
	file := importLarge(t, n, 0, nil, people)
	t.Logf("%d profiles from NDJSON: %.0f s, %d MB", n, file.took.Seconds(), file.megabytes)

	rows := func(i int) []warehousetest.Row { return warehousetest.PersonRows(largePerson(i)) }
	const pageBytes = 16 << 20 // vendors make pages of 10 to 20 MB
	maxMegabytes := 64 + n*110>>20
	if len(buildFlags) > 0 {
		maxMegabytes *= 3 // the race detector has memory of its own
	}
	for _, vendor := range sample(3, vendors) {
		t.Run(vendor, func(t *testing.T) {
			if n < 100_000 { // else the times count
				t.Parallel()
			}
			f := warehousetest.New(t, vendor, n, rows)
			f.Do(func() {
				f.Written = time.Now().AddDate(0, 0, -7)
				f.PageRows = min(pageBytes/f.RowBytes(0), n/10)
				f.GonePage = 2
			})
			killAt := 1 + rand.IntN(90*n/100/min(n/100, 1000))
			got := importLarge(t, n, killAt, fakeSettings(f), "warehouse")
			t.Logf("%d profiles, killed at batch %d: %.0f s, %d MB", n, killAt, got.took.Seconds(), got.megabytes)
			f.Do(func() { wantGone(t, f) })
			for id, want := range file.customers {
				if !bytes.Equal(sortMembers(t, got.customers[id]), sortMembers(t, want)) {
					t.Fatalf("the customer from the file:\n%s\nand from the warehouse:\n%s", want, got.customers[id])
				}
			}
			if got.megabytes > maxMegabytes {
				t.Errorf("it took %d MB, more than %d", got.megabytes, maxMegabytes)
			}
		})
	}
}

// sortMembers returns JSON with its members sorted, as the sandbox has those of a customer that it got twice.
func sortMembers(t *testing.T, customer json.RawMessage) []byte {
	sorted, err := json.Marshal(decoded(customer))
	check(t, err)
	return sorted
}
