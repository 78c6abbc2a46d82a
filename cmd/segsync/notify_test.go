package main

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"segsync/internal/app"
	"segsync/internal/report"
	"segsync/internal/sandbox"
	"segsync/internal/sandboxtest"
)

// The end of an import is told whatever it was: also that it never began, or was interrupted;
// and the exit code is what it would have been.
func TestEndIsToldByTheProgram(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env   []string
		args  string
		code  int
		pings []string
		began bool
	}{
		"done":                      {nil, "import", app.ExitDone, []string{"GET /ping/s3cret/start", "GET /ping/s3cret"}, true},
		"rejected":                  {[]string{"REJECT=1"}, "import", app.ExitNotImported, []string{"GET /ping/s3cret/start", "GET /ping/s3cret/fail"}, true},
		"wrong credentials":         {[]string{"SEGMENT_ACCESS_TOKEN=x"}, "import", app.ExitUsage, []string{"GET /ping/s3cret/start", "GET /ping/s3cret/fail"}, true},
		"missing settings":          {[]string{"SEGMENT_ACCESS_TOKEN="}, "import", app.ExitUsage, []string{"GET /ping/s3cret/fail"}, false},
		"a wrong .env file":         {nil, "import --env-file missing.env", app.ExitUsage, []string{"GET /ping/s3cret/fail"}, false},
		"nothing to verify":         {nil, "verify", app.ExitUsage, []string{"GET /ping/s3cret/fail"}, false},
		"a missing directory":       {nil, "import --resume --dir nowhere", app.ExitUsage, []string{"GET /ping/s3cret/fail"}, false},
		"a mistyped flag":           {nil, "import --since yesterdy", app.ExitUsage, nil, false},
		"plan, which tells nothing": {[]string{"SEGMENT_ACCESS_TOKEN="}, "plan", app.ExitUsage, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := startWorld(t, sandbox.Options{Profiles: 10, Plain: true})
			if slices.Contains(c.env, "REJECT=1") {
				w.reject.Store(regexp.MustCompile("7$"))
			}
			r := sandboxtest.NewReceiver(t, http.StatusOK)
			env := append(c.env, "PING_URL="+r.URL+"/ping/s3cret", "NOTIFY_URL="+r.URL+"/hook/s3cret")
			p := startProcess(t, w.dir, w.environ(env...), nil, strings.Fields(c.args)...)
			p.wantExit(t, c.code)
			var pings []string
			for i, request := range r.Requests {
				if request != "POST /hook/s3cret" {
					pings = append(pings, request)
					continue
				}
				var got report.Notification
				check(t, json.Unmarshal([]byte(r.Bodies[i]), &got))
				if got.ExitCode != c.code || got.Command != "segsync "+strings.Fields(c.args)[0] || (got.Import != nil) != c.began {
					t.Errorf("told: %s", r.Bodies[i])
				}
			}
			if !slices.Equal(pings, c.pings) || len(r.Requests)-len(pings) != min(len(pings), 1) {
				t.Errorf("requests %q, want the pings %q", r.Requests, c.pings)
			}
			if strings.Contains(p.stdout.String()+p.stderr.String(), "s3cret") {
				t.Errorf("the secret is shown:\n%s%s", p.stdout, p.stderr)
			}
		})
	}
}
