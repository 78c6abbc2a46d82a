package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"segsync/internal/app"
	"segsync/internal/sandbox"
)

// Secrets with characters that change their look in JSON, URLs and base64.
const (
	canaryToken  = "canary-T0ken&<of>Segment/+7"
	canaryAppID  = "canary-app-1d&<of>Voucherify"
	canarySecret = "canary-Key=\"of\"+Voucherify\\9"
)

var canaries = []string{canaryToken, canaryAppID, canarySecret}

// echo answers with everything that it was sent, in words that each client understands.
func echo(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		seen := echoed(r)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(map[string]any{
			"error":      map[string]any{"code": seen, "message": seen},
			"key":        seen,
			"message":    seen,
			"details":    seen,
			"request_id": seen,
		})
	}
}

// echoText does so with a body that is no JSON.
func echoText(status int, contentType string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		io.WriteString(w, "<html>"+echoed(r)+"</html>")
	}
}

// echoHeaders does so in the headers.
func echoHeaders(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"Request-Id", "X-Rate-Limit-Type", "Retry-After", "Location", "Content-Type"} {
			w.Header().Set(name, echoed(r))
		}
		w.WriteHeader(status)
	}
}

func echoed(r *http.Request) string {
	var all []string
	for _, name := range []string{"Authorization", "X-App-Token", "X-App-Id"} {
		if v := r.Header.Get(name); v != "" {
			all = append(all, v)
			if name != "Authorization" { // that has it in base64 already
				all = append(all, base64.StdEncoding.EncodeToString([]byte(v)))
			}
		}
	}
	user, _, _ := r.BasicAuth()
	return strings.Join(append(all, user, base64.StdEncoding.EncodeToString([]byte(user))), " ")
}

// Whatever goes wrong, no secret is in the output or in a file.
func TestSecretsAreNeverShown(t *testing.T) {
	t.Parallel()
	var strangers atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		strangers.Add(1)
		echo(400)(w, r)
	}))
	defer other.Close()
	refused := refusedURL(t)

	type wrong struct {
		name  string
		code  int
		match string // the requests that are answered wrongly
		times int    // 0: always
		how   http.HandlerFunc
		env   []string
		file  string // .env
		args  []string
	}
	cases := []wrong{
		{name: "nothing goes wrong", code: 0},
		{name: "Segment does not know the token", code: 2, env: []string{"SEGMENT_ACCESS_TOKEN=" + canaryToken + "x"}},
		{name: "Voucherify does not know the key", code: 2, env: []string{"VOUCHERIFY_SECRET_KEY=" + canarySecret + "x"}},
		{name: "Segment answers profiles with 400", code: 1, match: "/traits", how: echo(400)},
		{name: "Segment answers a vanished profile", code: 0, match: "/external_ids", times: 3, how: echo(404)},
		{name: "settings that are wrong", code: 2, env: []string{
			"SEGMENT_API_URL=https://" + url.QueryEscape(canaryToken) + ":" + url.QueryEscape(canarySecret) + "@profiles.segment.com",
			"VOUCHERIFY_API_URL=https://api.voucherify.io?key=" + url.QueryEscape(canarySecret),
		}},
		{name: "URLs that cannot be parsed", code: 2, env: []string{
			"SEGMENT_API_URL=https://user:" + canarySecret + "@profiles segment.com",
			"VOUCHERIFY_API_URL=https://:" + canarySecret + "@:99999",
		}},
		{name: "secrets with a space", code: 2, env: []string{
			"SEGMENT_ACCESS_TOKEN=a " + canaryToken, "VOUCHERIFY_SECRET_KEY=" + canarySecret + "\u00a0b", "VOUCHERIFY_APPLICATION_ID=é" + canaryAppID,
		}},
		{name: "a malformed .env", code: 2, file: "SEGMENT_ACCESS_TOKEN='" + canaryToken + "'\nVOUCHERIFY_APPLICATION_ID '" + canaryAppID + "'\nVOUCHERIFY_SECRET_KEY='" + canarySecret + "'\n"},
		{name: "a quote of .env that is not closed", code: 2, file: "SEGMENT_ACCESS_TOKEN='" + canaryToken + "\nVOUCHERIFY_SECRET_KEY=" + canarySecret + "\n"},
		{name: "a flag that is a secret", code: 2, args: []string{"--log-format", "xml"}, env: []string{"SEGMENT_ACCESS_TOKEN="}},
	}
	for _, api := range []struct{ name, match string }{{"Segment", "^GET"}, {"Voucherify", "^POST"}} {
		for _, status := range []int{400, 401, 402, 403, 404, 413} {
			code := 1
			if status == 401 || status == 403 || status == 404 && api.name == "Segment" {
				code = 2
			}
			cases = append(cases, wrong{name: fmt.Sprint(api.name, " answers ", status), code: code, match: api.match, how: echo(status)})
		}
		cases = append(cases,
			wrong{name: api.name + " answers 429", code: 0, match: api.match, times: 2, how: echo(429)},
			wrong{name: api.name + " answers 500", code: 0, match: api.match, times: 2, how: echo(500)},
			wrong{name: api.name + " answers 200 with HTML", code: 0, match: api.match, times: 1, how: echoText(200, "text/html")},
			wrong{name: api.name + " answers 400 with HTML", code: 1, match: api.match, how: echoText(400, "text/html")},
			wrong{name: api.name + " answers 502 with text", code: 0, match: api.match, times: 1, how: echoText(502, "text/plain")},
			wrong{name: api.name + " answers with headers", code: 1, match: api.match, how: echoHeaders(400)},
			wrong{name: api.name + " redirects to another host", code: 1, match: api.match, how: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", other.URL+"/?"+url.QueryEscape(echoed(r)))
				echo(http.StatusTemporaryRedirect)(w, r)
			}},
		)
	}
	t.Run("cases", func(t *testing.T) {
		for _, c := range sample(3, cases) {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				w := startWorld(t, sandbox.Options{Profiles: 50, AccessToken: canaryToken, AppID: canaryAppID, SecretKey: canarySecret})
				if c.match != "" {
					w.answer(c.match, 1, c.times, c.how)
				}
				if c.file != "" {
					if err := os.WriteFile(filepath.Join(w.dir, ".env"), []byte(c.file), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				for _, format := range []string{"text", "json"} {
					args := append([]string{"import", "-v", "--dir", "out", "--summary", "sum.json", "--log-format", format}, c.args...)
					p := startProcess(t, w.dir, w.environ(c.env...), nil, args...)
					await(t, "the end of segsync", p.exited)
					if n := p.cmd.ProcessState.ExitCode(); format == "text" || n != app.ExitNotImported { // what is known to be bad ends no run again
						p.wantExit(t, c.code)
					}
					wantNoSecrets(t, "stdout", p.stdout.String())
					wantNoSecrets(t, "stderr", p.stderr.String())
					if c.times > 0 { // the second run finds nothing wrong
						break
					}
				}
				if c.file == "" {
					wantNoSecretsInFiles(t, w.dir)
				}
			})
		}
		t.Run("nobody listens", func(t *testing.T) {
			t.Parallel()
			w := startWorld(t, sandbox.Options{Profiles: 50, AccessToken: canaryToken, AppID: canaryAppID, SecretKey: canarySecret})
			p := startProcess(t, w.dir, w.environ("SEGMENT_API_URL="+refused), nil, "import", "-v")
			p.stderr.await(t, "attempt=2", 1)
			p.cmd.Process.Kill()
			await(t, "the end", p.exited)
			wantNoSecrets(t, "stderr", p.stderr.String())
		})
	})
	if n := strangers.Load(); n > 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

// refusedURL returns the URL of a port on which nobody listens.
func refusedURL(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

func wantNoSecretsInFiles(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		wantNoSecrets(t, path, string(data))
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// wantNoSecrets looks for the secrets in all forms that they may take.
func wantNoSecrets(t *testing.T, where, text string) {
	t.Helper()
	encode := base64.StdEncoding.EncodeToString
	for _, secret := range canaries {
		inJSON, _ := json.Marshal(secret)
		for _, form := range []string{
			secret, url.QueryEscape(secret), url.PathEscape(secret), strings.Trim(string(inJSON), `"`), strings.Trim(fmt.Sprintf("%q", secret), `"`),
			encode([]byte(secret))[:24], encode([]byte(secret + ":")), encode([]byte("Basic " + encode([]byte(secret+":"))))[:40],
			"canary", // none of them is shown in part either
		} {
			if i := strings.Index(text, form); i >= 0 {
				t.Errorf("%s shows a secret: …%s…", where, text[max(0, i-100):min(len(text), i+100)])
				return
			}
		}
	}
}
