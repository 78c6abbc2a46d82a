package httpretry_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"segsync/internal/httpretry"
)

// A large answer can be read twice, and takes little memory meanwhile.
func TestCompactAnswer(t *testing.T) {
	text := "[" + strings.Repeat(`{"name":"Ada","email":"ada@example.com"},`, 200_000) + "0]" // 8 MB
	tr := httpretry.New(httpretry.Options{Base: &script{answers: []server{answer(200, text)}}, Compact: true})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	resp, err := get(t, tr)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	runtime.GC()
	runtime.ReadMemStats(&after)
	if more := int64(after.HeapAlloc) - int64(before.HeapAlloc); more > int64(len(text)/4) {
		t.Errorf("an answer of %d bytes takes %d", len(text), more)
	}
	for range 2 {
		got, err := io.ReadAll(resp.Body)
		if err != nil || !bytes.Equal(got, []byte(text)) {
			t.Errorf("read %d bytes of %d: %v", len(got), len(text), err)
		}
		if _, err := resp.Body.(io.Seeker).Seek(0, io.SeekStart); err != nil {
			t.Error(err)
		}
	}
	if _, err := resp.Body.(io.Seeker).Seek(1, io.SeekStart); err == nil {
		t.Error("it pretends to be in the middle")
	}
}

func TestWrongCompactAnswers(t *testing.T) {
	for text, want := range map[string]string{
		`{"cut":"of`:                  "not valid JSON",
		`{} {}`:                       "not valid JSON",
		``:                            "not valid JSON",
		`"` + strings.Repeat("x", 99): "larger than 90 bytes",
	} {
		synctest.Test(t, func(t *testing.T) {
			tr := httpretry.New(httpretry.Options{Base: &script{answers: []server{answer(200, text)}}, Compact: true, Attempts: 2, RetryFor: -1,
				MaxBody: func(*http.Request) int64 { return 90 }})
			_, err := get(t, tr)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v", text, err)
			}
			if _, large := errors.AsType[*httpretry.TooLargeError](err); large != strings.Contains(want, "larger") || large != (tr.Stats().Requests == 1) {
				t.Errorf("%q: %d requests, %v", text, tr.Stats().Requests, err)
			}
		})
	}
}
