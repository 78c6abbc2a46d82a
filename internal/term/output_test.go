package term_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"

	"segsync/internal/term"
)

// written returns what a command writes to stdout and stderr, which are no terminals.
func written(t *testing.T, options term.Options, write func(*term.Output)) (stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	o, wrong := term.New(&out, &err, options)
	if wrong != nil {
		t.Fatal(wrong)
	}
	write(o)
	return out.String(), err.String()
}

// withoutTime takes the times out of log lines.
func withoutTime(log string) string {
	var lines strings.Builder
	for line := range strings.Lines(log) {
		if i := strings.Index(line, "level"); i >= 0 {
			line = line[i:]
		}
		lines.WriteString(line)
	}
	return lines.String()
}

var problem = errors.Join(errors.New("the disk is full"), errors.New("the state is not saved"))

func TestErrorsAndHints(t *testing.T) {
	print := func(o *term.Output) { o.PrintError(problem, []string{"free some space"}) }
	for format, want := range map[string]string{
		"text": "segsync: error: the disk is full\n  the state is not saved\nsegsync: hint: free some space\n",
		"json": `level":"ERROR","msg":"the disk is full\nthe state is not saved","hints":["free some space"]}` + "\n",
	} {
		for _, quiet := range []bool{false, true} {
			stdout, stderr := written(t, term.Options{LogFormat: format, Quiet: quiet}, print)
			if withoutTime(stderr) != want || stdout != "" {
				t.Errorf("%s, quiet %v: got %q and %q, want %q", format, quiet, stderr, stdout, want)
			}
		}
	}
}

func TestLevels(t *testing.T) {
	log := func(o *term.Output) {
		o.Log.Debug("a")
		o.Log.Info("b")
		o.Log.Warn("c")
		o.Log.Error("d")
	}
	for want, options := range map[string]term.Options{
		"level=INFO msg=b\nlevel=WARN msg=c\nlevel=ERROR msg=d\n":                    {},
		"level=DEBUG msg=a\nlevel=INFO msg=b\nlevel=WARN msg=c\nlevel=ERROR msg=d\n": {Verbose: true},
		"level=ERROR msg=d\n": {Quiet: true},
	} {
		if _, stderr := written(t, options, log); withoutTime(stderr) != want {
			t.Errorf("%+v: got\n%s\nwant\n%s", options, stderr, want)
		}
	}
}

// Whatever way it takes, no secret is written, and nothing that changes a terminal.
func TestNoSecretAndNothingThatChangesATerminalIsWritten(t *testing.T) {
	const secret, hostile = "hunter2/pass", "\x1b[2J\u202e\u009b"
	for _, format := range []string{"text", "json"} {
		stdout, stderr := written(t, term.Options{LogFormat: format}, func(o *term.Output) {
			o.KeepSecret(secret)
			text := "the key " + secret + hostile
			o.PrintError(errors.New(text), []string{text})
			o.Log.Warn(text, "value", text)
			for _, p := range []*term.Printer{o.Out, o.Err} {
				p.Linef("%s", text)
				p.Title(text)
				p.Marked(term.MarkOK, text)
				p.Command(text, text)
				p.Table([]string{"key"}, []term.Row{{Cells: []string{text}}})
				if err := p.JSON(map[string]string{text: text}); err != nil {
					t.Error(err)
				}
			}
			o.Err.Linef("%s", o.CleanJSON([]byte(`{"key":"`+secret+"\u009b"+`"}`)))
		})
		for _, got := range []string{stdout, stderr} {
			if strings.Contains(got, secret) || strings.Contains(got, `hunter2\/pass`) || strings.ContainsAny(got, hostile[:1]+"\u202e\u009b") {
				t.Errorf("%s: got %q", format, got)
			}
			if n := strings.Count(got, "the key [secret]"); n < 7 {
				t.Errorf("%s: %d texts of 7 were written: %q", format, n, got)
			}
		}
	}
}

func TestColors(t *testing.T) {
	for when, want := range map[string]string{"auto": "✓ done\n", "never": "✓ done\n", "always": "\x1b[32m✓\x1b[0m done\n"} {
		stdout, _ := written(t, term.Options{Color: when}, func(o *term.Output) { o.Out.Marked(term.MarkOK, "done") })
		if stdout != want {
			t.Errorf("--color %s: got %q, want %q", when, stdout, want)
		}
	}
	if _, err := term.New(io.Discard, io.Discard, term.Options{Color: "blue"}); err == nil || err.Error() != `--color "blue": it must be auto, always or never` {
		t.Errorf("--color blue: %v", err)
	}
}

func TestNothingIsAskedWithoutATerminal(t *testing.T) {
	o, err := term.New(io.Discard, io.Discard, term.Options{Stdin: strings.NewReader("yes\n")})
	if err != nil || o.CanAsk() || o.IsTerminal() || o.HasBar() {
		t.Errorf("error %v, can ask %v, is a terminal %v, has a bar %v", err, o.CanAsk(), o.IsTerminal(), o.HasBar())
	}
}

func TestAsk(t *testing.T) {
	for input, want := range map[string]string{
		"continue\n": "continue", "what\nRESTART \n": "restart", "r\n": "restart", "c\ncancel\n": "cancel", "\n": "", "": "end", "restart": "restart",
	} {
		_, stderr := written(t, term.Options{Stdin: strings.NewReader(input)}, func(o *term.Output) {
			answer, ok := o.Ask("go on?", nil, "continue", "restart", "cancel", "")
			if !ok {
				answer = "end"
			}
			if answer != want {
				t.Errorf("%q: got %q, want %q", input, answer, want)
			}
		})
		if n := strings.Count(stderr, "go on? "); n != max(1, strings.Count(input, "\n")) {
			t.Errorf("%q: asked %d times", input, n)
		}
	}
	waiting, write := io.Pipe()
	defer write.Close()
	interrupted := make(chan struct{})
	close(interrupted)
	written(t, term.Options{Stdin: waiting}, func(o *term.Output) {
		if answer, ok := o.Ask("go on?", interrupted, "yes"); ok {
			t.Errorf("an interrupt is taken for %q", answer)
		}
	})
}

func TestTables(t *testing.T) {
	stdout, _ := written(t, term.Options{}, func(o *term.Output) {
		o.Out.Table(nil, []term.Row{{Cells: []string{"Profiles read", "3,000", ""}}, {Mark: term.MarkFailed, Cells: []string{"Rejected", "2", "in not-imported.csv"}}})
		o.Out.Table([]string{"trait", "have"}, []term.Row{{Cells: []string{"name", "1,200"}}, {Cells: []string{"顧客", "3"}}})
	})
	want := "  Profiles read  3,000\n✗ Rejected           2  in not-imported.csv\n" +
		"  trait   have\n  name   1,200\n  顧客       3\n"
	if stdout != want {
		t.Errorf("got\n%s\nwant\n%s", stdout, want)
	}
}

func TestLogRecordsHaveOneLine(t *testing.T) {
	_, stderr := written(t, term.Options{LogFormat: "json"}, func(o *term.Output) {
		slog.New(o.Log.Handler()).Warn("a\nb", "key", "c\nd")
	})
	if want := `level":"WARN","msg":"a\nb","key":"c\nd"}` + "\n"; withoutTime(stderr) != want {
		t.Errorf("got %q, want %q", stderr, want)
	}
}
