package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
)

// net/http logs what a server sends between two answers. None of it is on stderr.
func TestNothingOfAnswersIsOnStderr(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	defer served.Wait()
	defer listener.Close()
	served.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			served.Go(func() { answerTooMuch(conn) })
		}
	})
	url := "http://" + listener.Addr().String()
	env := append(os.Environ(), "SEGMENT_ACCESS_TOKEN=token", "SEGMENT_SPACE_ID=spa_1", "VOUCHERIFY_APPLICATION_ID=app",
		"VOUCHERIFY_SECRET_KEY=key", "SEGMENT_API_URL="+url, "VOUCHERIFY_API_URL="+url)
	p := startProcess(t, t.TempDir(), env, nil, "import", "-v")
	p.stderr.await(t, "trying again", 3)
	check(t, p.cmd.Process.Kill())
	await(t, "the end", p.exited)
	if got := p.stderr.String(); strings.Contains(got, "somebody") || strings.Contains(got, "Unsolicited") {
		t.Errorf("stderr:\n%s", got)
	}
}

// answerTooMuch answers each request with 500 and with a body behind the answer's.
func answerTooMuch(conn net.Conn) {
	defer conn.Close()
	for requests := bufio.NewReader(conn); ; {
		if _, err := http.ReadRequest(requests); err != nil {
			return
		}
		io.WriteString(conn, "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\n{}")
		io.WriteString(conn, `{"email":"somebody@example.com"}`)
	}
}
