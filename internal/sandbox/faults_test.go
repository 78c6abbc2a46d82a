package sandbox_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"segsync/internal/sandbox"
)

// TestFaults sees each fault the way a client does.
func TestFaults(t *testing.T) {
	s, c := start(t, sandbox.Options{Profiles: 50, Faults: 1, Seed: 2, Stall: time.Millisecond, Record: true})
	seen := map[string]bool{}
	for range 400 {
		resp, err := c.Do(c.request("GET", profiles+"?limit=5", nil))
		var body []byte
		var readErr error
		if err == nil {
			body, readErr = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		all := s.Requests()
		last := all[len(all)-1]
		seen[last.Fault] = true
		if problem := wrongFault(last.Fault, resp, err, string(body), readErr); problem != "" {
			t.Fatalf("%s: %s; %v %v, body %q", last.Fault, problem, err, readErr, body)
		}
	}
	equal(t, "kinds of faults", len(seen), 13)
	equal(t, "Stats.Faults", s.Stats().Faults, s.Stats().SegmentRequests)
}

// wrongFault says what a client should have seen but did not.
func wrongFault(fault string, resp *http.Response, err error, body string, readErr error) string {
	if fault == "reset" {
		if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
			return "no reset"
		}
		return ""
	}
	if err != nil {
		return "no answer"
	}
	valid := json.Valid([]byte(body))
	html := strings.HasPrefix(body, "<html>")
	is := func(ok bool) string {
		if !ok {
			return "not as expected, status " + resp.Status
		}
		return ""
	}
	switch fault {
	case "429 with Retry-After":
		return is(resp.StatusCode == 429 && valid && resp.Header.Get("Retry-After") == "1")
	case "429":
		return is(resp.StatusCode == 429 && valid && resp.Header.Get("Retry-After") == "")
	case "500", "502", "503", "504":
		return is(strings.HasPrefix(resp.Status, fault) && valid)
	case "502 HTML", "200 HTML":
		return is(strings.HasPrefix(resp.Status, fault[:3]) && html)
	case "cut body", "cut chunk":
		return is(resp.StatusCode == 200 && errors.Is(readErr, io.ErrUnexpectedEOF))
	case "invalid JSON":
		return is(resp.StatusCode == 200 && !valid && !html && readErr == nil)
	case "stall":
		return is(resp.StatusCode == 200 && valid)
	}
	return "unknown fault"
}

func TestFaultsFollowFromTheSeed(t *testing.T) {
	draw := func() []string {
		s, c := start(t, sandbox.Options{Profiles: 1, Faults: 0.5, Seed: 7, Stall: time.Millisecond, Record: true})
		for range 40 {
			// A new connection for each: net/http repeats a GET on a kept one.
			c.CloseIdleConnections()
			if resp, err := c.Do(c.request("GET", profiles, nil)); err == nil {
				resp.Body.Close()
			}
		}
		var faults []string
		for _, r := range s.Requests() {
			faults = append(faults, r.Fault)
		}
		return faults
	}
	equal(t, "faults", draw(), draw())
}

func TestSomeAnswersAreLost(t *testing.T) {
	s, c := start(t, sandbox.Options{Faults: 1, Seed: 1, Stall: time.Millisecond, Record: true})
	for range 200 {
		if resp, err := c.Do(c.request("POST", bulk, []byte(`[{"source_id":"a"}]`))); err == nil {
			resp.Body.Close()
		}
	}
	answered := 0
	for _, r := range s.Requests() {
		if r.Status == 202 {
			answered++
		}
	}
	if st := s.Stats(); st.BulkAccepted <= answered || st.BulkAccepted >= st.BulkRequests {
		t.Errorf("%d of %d requests took effect, %d were answered 202", st.BulkAccepted, st.BulkRequests, answered)
	}
}

// TestCloseEndsAStall closes the server while an answer of a minute is under way.
func TestCloseEndsAStall(t *testing.T) {
	for seed := range uint64(100) {
		drawn := make(chan sandbox.Request, 1)
		s := sandbox.New(sandbox.Options{Faults: 1, Seed: seed, OnAnswer: func(r sandbox.Request) { drawn <- r }, OnRequest: func(r sandbox.Request) { drawn <- r }})
		srv, err := s.Listen("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() {
			c := &client{t, srv.URL, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
			resp, err := c.Do(c.request("GET", profiles, nil))
			if err == nil {
				resp.Body.Close()
			}
			ended <- err
		}()
		<-drawn // it was read
		select {
		case <-drawn: // it was answered: not a stall
			srv.Close()
			<-ended
			continue
		case <-time.After(200 * time.Millisecond):
		}
		srv.Close()
		if <-ended == nil {
			t.Error("the stalled request was answered")
		}
		return
	}
	t.Fatal("no seed stalls")
}
