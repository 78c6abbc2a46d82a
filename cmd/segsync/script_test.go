package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"segsync/internal/sandbox"
)

// TestScripts runs testdata/script/*.txtar. Beside the commands of testscript they
// have
//
//	sandbox [PROFILES] [plain] [shuffled] [no-updated-at] [max-customers=N] [max-body=N]
//	        [identified=SHARE] [action-delay=D] [bulk-calls=N] [api-calls=N] [schema=FILE]
//	        [too-large-key] [bare-ids] [null-ids] [no-canonical-id] [nameless=N]
//	        [export-missing=N] [export-files=N] [export-list]
//	        [fail-action=N] [reject=REGEXP] [poison=REGEXP] [gone=FROM-TO] [clean]
//	                         starts a sandbox, and sets the environment to use it; it
//	                         rejects the customers whose source_id matches reject, refuses
//	                         whole requests with one that matches poison, and does not have
//	                         the profiles listed at FROM to TO
//	answer REGEXP STATUS [FROM [TO]] [HEADER=VALUE ...] [body=TEXT]
//	                         answers requests so, of those whose "METHOD /path?query"
//	                         (and " body") matches; in it @150 is the segment id of
//	                         profile 150
//	clock-off D              dates all answers so far off
//	metrics FILE [NAME=N ...]
//	                         checks the format of the metrics, and the numbers
//	mend                     ends all of those, and the rejections
//	touch N                  makes the profile active
//	leave N ...              deletes the profiles in Segment
//	customer SOURCE_ID ...   creates customers in Voucherify, as another program does
//	write FILE LINE ...      writes a file of these lines, with @150 as above
//	requests N REGEXP        checks how many requests the sandbox has seen
//	exits CODE PROGRAM [ARG ...]
//	                         like exec, and checks the exit code
//	continue CODE            runs the command that is the last line of stderr, by a shell
//	offset N                 checks the offset in the line before it
//	customers-complete       checks that the project has all customers of the space
//	reports-exact DIR        checks the reports line by line
//	summary-adds-up [LABEL=N ...]
//	                         checks the numbers in stdout; what has no row is zero
//	json FILE PATH=VALUE ... checks values in a JSON document
//	json-lines FILE          checks that each line is a JSON object
//	mode PERM FILE ...       checks the permissions of files
//	summary-valid FILE       checks a JSON summary against its schema
//
// and the condition full, without which those that only vary another one are skipped.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Condition: func(name string) (bool, error) {
			if name != "full" {
				return false, fmt.Errorf("unknown condition %s", name)
			}
			return full, nil
		},
		Setup: func(env *testscript.Env) error {
			example, err := filepath.Abs("../../.env-example")
			env.Setenv("ENV_EXAMPLE", example)
			env.Values[worldKey{}] = &scriptWorld{}
			env.Vars = append(env.Vars, cheapSettings()...)
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"sandbox":            cmdSandbox,
			"answer":             cmdAnswer,
			"mend":               cmdMend,
			"clock-off":          cmdClockOff,
			"metrics":            cmdMetrics,
			"requests":           cmdRequests,
			"exits":              cmdExits,
			"continue":           cmdContinue,
			"offset":             cmdOffset,
			"customers-complete": cmdCustomersComplete,
			"reports-exact":      cmdReportsExact,
			"summary-adds-up":    cmdSummaryAddsUp,
			"json":               cmdJSON,
			"json-lines":         cmdJSONLines,
			"mode":               cmdMode,
			"touch":              cmdTouch,
			"leave":              cmdLeave,
			"customer":           cmdCustomer,
			"write":              cmdWrite,
			"summary-valid":      cmdSummaryValid,
		},
	})
}

type worldKey struct{}

// scriptWorld is the world of a script, once its command sandbox has started it.
type scriptWorld struct{ *world }

func worldOf(ts *testscript.TestScript) *world {
	w := ts.Value(worldKey{}).(*scriptWorld).world
	if w == nil {
		ts.Fatalf("the script has started no sandbox")
	}
	return w
}

func cmdSandbox(ts *testscript.TestScript, neg bool, args []string) {
	o := sandbox.Options{Profiles: 500}
	var reject *regexp.Regexp
	var gone [2]int // from and to, in the list
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		n, _ := strconv.Atoi(value)
		switch name {
		case "plain":
			o.Plain = true
		case "shuffled":
			o.Order = sandbox.Shuffled
		case "no-updated-at":
			o.Order = sandbox.NoUpdatedAt
		case "action-delay":
			d, err := time.ParseDuration(value)
			ts.Check(err)
			o.ActionDelay = d
		case "bulk-calls":
			o.BulkCalls = sandbox.Bucket{Limit: n}
		case "api-calls":
			o.APICalls = sandbox.Bucket{Limit: n}
		case "schema":
			o.Schema = json.RawMessage(ts.ReadFile(value))
			o.EnforceSchema = true
		case "fail-action":
			o.FailActions = func(action int) bool { return action == n }
		case "reject":
			reject = regexp.MustCompile(value)
		case "gone":
			from, to, _ := strings.Cut(value, "-")
			first, err := strconv.Atoi(from)
			ts.Check(err)
			last, err := strconv.Atoi(to)
			ts.Check(err)
			gone = [2]int{first, last + 1}
		case "clean":
			o.Clean = true
		case "max-customers":
			o.MaxCustomers = n
		case "max-body":
			o.MaxBody = n
		case "too-large-key":
			o.TooLargeKey = true
		case "bare-ids":
			o.IDForm = sandbox.BareForm
		case "null-ids":
			o.NullIDs = true
		case "no-canonical-id":
			o.NoCanonicalID = true
		case "nameless":
			o.Nameless = n
		case "export-missing":
			o.Exports.Missing = n
		case "export-files":
			o.Exports.Files = n
		case "export-list":
			o.Exports.FileList = true
		case "identified":
			share, err := strconv.ParseFloat(value, 64)
			ts.Check(err)
			o.Identified = share
		default:
			profiles, err := strconv.Atoi(name)
			ts.Check(err)
			o.Profiles = profiles
		}
	}
	w, err := newWorld(o, ts.MkAbs("."))
	ts.Check(err)
	ts.Defer(w.close)
	w.reject.Store(reject)
	w.answerGone(gone[0], gone[1])
	ts.Value(worldKey{}).(*scriptWorld).world = w
	for _, s := range w.box.Settings(w.server.URL) {
		ts.Setenv(s.Name, s.Value)
	}
	ts.Setenv("SEGMENT_RATE_LIMIT", "100000")
	ts.Setenv("SANDBOX_URL", w.server.URL)
}

func cmdAnswer(ts *testscript.TestScript, neg bool, args []string) {
	numbers := []int{0, 1, 0} // status, from, to
	header, body := map[string]string{}, ""
	for i, arg := range args[1:] {
		if name, value, found := strings.Cut(arg, "="); found && name == "body" {
			body = value
			continue
		} else if found {
			header[name] = value
			continue
		}
		n, err := strconv.Atoi(arg)
		ts.Check(err)
		numbers[i] = n
	}
	worldOf(ts).answer(args[0], numbers[1], numbers[2], func(rw http.ResponseWriter, req *http.Request) {
		for name, value := range header {
			rw.Header().Set(name, value)
		}
		if body != "" {
			rw.WriteHeader(numbers[0])
			io.WriteString(rw, body)
			return
		}
		status(numbers[0])(rw, req)
	})
}

func cmdClockOff(ts *testscript.TestScript, neg bool, args []string) {
	off, err := time.ParseDuration(args[0])
	ts.Check(err)
	w := worldOf(ts)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clockOff = off
}

func cmdMetrics(ts *testscript.TestScript, neg bool, args []string) {
	got, err := parseMetrics(ts.ReadFile(args[0]))
	ts.Check(err)
	for _, arg := range args[1:] {
		i := strings.LastIndex(arg, "=")
		want, err := strconv.ParseFloat(arg[i+1:], 64)
		ts.Check(err)
		if n, there := got[arg[:i]]; !there || n != want {
			ts.Fatalf("%s is %v (%v), want %v", arg[:i], n, there, want)
		}
	}
	if _, err := os.Stat(ts.MkAbs(args[0]) + ".tmp"); err == nil {
		ts.Fatalf("%s.tmp is left", args[0])
	}
}

func cmdTouch(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	for _, arg := range args {
		w.box.Touch(w.expand("@" + arg))
	}
}

func cmdLeave(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	for _, arg := range args {
		w.box.Delete(w.expand("@" + arg))
	}
}

func cmdCustomer(ts *testscript.TestScript, neg bool, args []string) {
	for _, id := range args {
		ts.Check(worldOf(ts).createCustomer(id))
	}
}

func cmdWrite(ts *testscript.TestScript, neg bool, args []string) {
	text := ""
	for _, line := range args[1:] {
		text += worldOf(ts).expand(line) + "\n"
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

func cmdSummaryValid(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(summaryValid([]byte(ts.ReadFile(args[0]))))
}

func cmdMend(ts *testscript.TestScript, neg bool, args []string) { worldOf(ts).mend() }

func cmdRequests(ts *testscript.TestScript, neg bool, args []string) {
	if n := worldOf(ts).requests(args[1]); strconv.Itoa(n) != args[0] {
		ts.Fatalf("%d requests match %s, want %s", n, args[1], args[0])
	}
}

func cmdExits(ts *testscript.TestScript, neg bool, args []string) { exits(ts, args[0], args[1:]...) }

func exits(ts *testscript.TestScript, code string, command ...string) {
	got := 0
	if err := ts.Exec(command[0], command[1:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%s: %v", command, err)
		}
		got = exit.ExitCode()
	}
	if strconv.Itoa(got) != code {
		ts.Fatalf("exit code %d, want %s", got, code)
	}
}

func cmdContinue(ts *testscript.TestScript, neg bool, args []string) {
	command, _, err := printedCommand(ts.ReadFile("stderr"))
	ts.Check(err)
	exits(ts, args[0], "sh", "-c", command)
}

func cmdOffset(ts *testscript.TestScript, neg bool, args []string) {
	_, offset, err := printedCommand(ts.ReadFile("stderr"))
	ts.Check(err)
	if offset != args[0] {
		ts.Fatalf("stopped at the offset %s, want %s", offset, args[0])
	}
}

func cmdCustomersComplete(ts *testscript.TestScript, neg bool, args []string) {
	err := worldOf(ts).complete()
	if neg && err == nil {
		ts.Fatalf("the customers are complete")
	}
	if !neg {
		ts.Check(err)
	}
}

func cmdReportsExact(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(worldOf(ts).reportsExact(ts.MkAbs(args[0])))
}

func cmdSummaryAddsUp(ts *testscript.TestScript, neg bool, args []string) {
	stdout := ts.ReadFile("stdout")
	ts.Check(worldOf(ts).addsUp(stdout))
	numbers, err := numbersOf(stdout)
	ts.Check(err)
	for _, arg := range args {
		label, want, _ := strings.Cut(arg, "=")
		n := numbers[label] // a row of zero is not there
		if strconv.Itoa(n) != want {
			ts.Fatalf("%s: %d, want %s", label, n, want)
		}
	}
}

func cmdJSONLines(ts *testscript.TestScript, neg bool, args []string) {
	text := ts.ReadFile(args[0])
	if text == "" {
		ts.Fatalf("%s is empty", args[0])
	}
	for line := range strings.Lines(text) {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			ts.Fatalf("%v in the line %s", err, line)
		}
	}
}

func cmdMode(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.ParseUint(args[0], 8, 32)
	ts.Check(err)
	for _, name := range args[1:] {
		info, err := os.Stat(ts.MkAbs(name))
		ts.Check(err)
		if info.Mode().Perm() != os.FileMode(want) {
			ts.Fatalf("%s has the mode %o, want %o", name, info.Mode().Perm(), want)
		}
	}
}

// cmdJSON checks values in a JSON document by their paths: sample.profiles=20.
func cmdJSON(ts *testscript.TestScript, neg bool, args []string) {
	document := decoded([]byte(ts.ReadFile(args[0])))
	for _, arg := range args[1:] {
		path, want, _ := strings.Cut(arg, "=")
		v := document
		for key := range strings.SplitSeq(path, ".") {
			switch inner := v.(type) {
			case map[string]any:
				v = inner[key]
			case []any:
				i, err := strconv.Atoi(key)
				ts.Check(err)
				if v = nil; i < len(inner) {
					v = inner[i]
				}
			default:
				ts.Fatalf("%s: there is no %s in %v", path, key, v)
			}
		}
		got, err := json.Marshal(v)
		ts.Check(err)
		if text, ok := v.(string); ok {
			quoted := strings.Trim(strconv.QuoteToASCII(text), `"`)
			got = []byte(quoted)
		}
		if string(got) != want {
			ts.Fatalf("%s is %s, want %s", path, got, want)
		}
	}
}
