package sandboxtest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Receiver takes the notifications of an import, and answers with the statuses in turn, then with the
// last of them.
type Receiver struct {
	*httptest.Server
	Requests []string // such as GET /secret/start
	Bodies   []string

	mu       sync.Mutex
	statuses []int
}

// NewReceiver returns a Receiver that listens until the test ends.
func NewReceiver(t testing.TB, statuses ...int) *Receiver {
	r := &Receiver{statuses: statuses}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.Requests = append(r.Requests, req.Method+" "+req.URL.RequestURI())
		r.Bodies = append(r.Bodies, string(body))
		status := r.statuses[0]
		if len(r.statuses) > 1 {
			r.statuses = r.statuses[1:]
		}
		w.WriteHeader(status)
		if status != http.StatusNoContent {
			io.WriteString(w, "OK, but no JSON: "+req.URL.Path)
		}
	}))
	t.Cleanup(r.Close)
	return r
}
