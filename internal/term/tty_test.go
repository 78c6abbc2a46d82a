//go:build !windows

package term_test

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
	"github.com/hinshun/vt10x"

	"segsync/internal/term"
)

// tty is a real pseudo-terminal, and an emulator that shows what is on it.
type tty struct {
	t      *testing.T
	file   *os.File // what a program writes to
	master *os.File
	vt     vt10x.Terminal
	titles chan string
	marks  int
}

func newTTY(t *testing.T, columns int) *tty {
	t.Helper()
	master, file, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	term := &tty{t: t, file: file, master: master, vt: vt10x.New(vt10x.WithSize(columns, 24)), titles: make(chan string)}
	term.resize(columns)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		term.show()
	}()
	t.Cleanup(func() {
		file.Close() // ends the reads of master
		<-ended
		master.Close()
	})
	return term
}

// show feeds the emulator until the terminal is closed.
func (term *tty) show() {
	title := ""
	for in := bufio.NewReader(term.master); ; {
		if err := term.vt.Parse(in); err != nil {
			return
		}
		if now := term.vt.Title(); now != title {
			title = now
			term.titles <- title
		}
	}
}

func (term *tty) resize(columns int) {
	term.t.Helper()
	if err := pty.Setsize(term.master, &pty.Winsize{Cols: uint16(columns), Rows: 24}); err != nil {
		term.t.Fatal(err)
	}
	term.vt.Resize(columns, 24)
}

// frame returns what a person sees once all that was written before is shown.
func (term *tty) frame() string {
	term.marks++
	mark := fmt.Sprintf("mark %d", term.marks)
	fmt.Fprintf(term.file, "\x1b]2;%s\x07", mark)
	for <-term.titles != mark {
	}
	cols, rows := term.vt.Size()
	var lines []string
	for y := range rows {
		var line strings.Builder
		for x := range cols {
			char := term.vt.Cell(x, y).Char
			if char == 0 {
				char = ' '
			}
			line.WriteRune(char)
		}
		lines = append(lines, strings.TrimRight(line.String(), " "))
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

// want compares what a person sees.
func (term *tty) want(what string, lines ...string) {
	term.t.Helper()
	if diff := cmp.Diff(lines, strings.Split(term.frame(), "\n")); diff != "" {
		term.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// play is an import whose status the test sets.
type play struct {
	*tty
	out   *term.Output
	now   atomic.Pointer[term.Status]
	asked chan struct{}
	stop  func(term.Status)
}

func newPlay(t *testing.T, columns int, options term.Options) *play {
	t.Helper()
	t.Setenv("TERM", "xterm")
	p := &play{tty: newTTY(t, columns), asked: make(chan struct{})}
	var err error
	if p.out, err = term.New(p.file, p.file, options); err != nil {
		t.Fatal(err)
	}
	return p
}

// set changes the status, and waits until it is drawn.
func (p *play) set(s term.Status) {
	p.now.Store(&s)
	if p.stop == nil {
		p.stop = p.out.Progress(func() term.Status {
			select {
			case p.asked <- struct{}{}:
			default:
			}
			return *p.now.Load()
		})
		return
	}
	p.wait()
}

// wait waits until the bar was drawn once more.
func (p *play) wait() {
	for range 3 { // the last question but one was about the new status, and at the new width
		<-p.asked
	}
}

var now = time.Date(2026, 11, 21, 13, 30, 0, 0, time.UTC)

func middle() term.Status {
	return term.Status{Numbers: term.Numbers{Read: 126_400, Total: 300_000, Confirmed: 101_100, Rejected: 2},
		Now: now, Elapsed: 2500 * time.Second, Rate: 50, Percent: 42, Left: 58 * time.Minute}
}

func waiting() term.Status {
	s := middle()
	s.Left, s.Rate = -1, 0
	s.Waits = []term.Wait{{What: "Voucherify's bulk quota", Short: "quota", Since: now, Until: now.Add(50 * time.Minute)}}
	return s
}

func done() term.Status {
	s := middle()
	s.Read, s.Done, s.Percent, s.Left, s.Rejected, s.Elapsed = 300_000, true, 100, 0, 0, 98*time.Minute
	return s
}

func TestBar(t *testing.T) {
	p := newPlay(t, 80, term.Options{})
	p.set(term.Status{Now: now, Numbers: term.Numbers{Total: 300_000}, Left: -1})
	p.want("start", "   0% ░░░░░░░░░░░░░░░░░░░░░░░░  0 of 300,000")
	p.set(middle())
	bar := "  42% ███████░░░░░░░░░░░░  126,400 of 300,000 · 58 min left · 50/s · 2 rejected"
	p.want("middle", bar)
	p.out.Log.Warn(`birthdate "05/02/1984" is not a date`, "id", "u-7")
	p.out.Err.Linef("a line")
	p.wait()
	lines := []string{`warning  birthdate "05/02/1984" is not a date (id u-7)`, "a line"}
	p.want("lines of the log go above the bar", append(lines, bar)...)
	p.set(waiting())
	p.want("waiting", append(lines, "  42% ████░░░░░░░  waiting: quota until 14:20 · 126,400 of 300,000 · 2 rejected")...)
	p.resize(60)
	p.wait()
	p.want("narrower", append(lines, "  42% ██████████░░░░░░░░░░░░░░  waiting: quota until 14:20")...)
	p.resize(80)
	p.set(middle())
	p.want("as wide as before", append(lines, bar)...)
	p.stop(done())
	p.out.Err.Linef("$")
	p.want("the end", append(lines, " 100% ████████████████  300,000 read · in 1 h 38 min · 50/s · 101,100 confirmed", "$")...)
}

func TestBarOf40Columns(t *testing.T) {
	p := newPlay(t, 40, term.Options{})
	p.set(middle())
	p.want("middle", "  42% █████░░░░░░░░  126,400 of 300,000")
	p.set(waiting())
	p.want("waiting", "  42% ██░░░  waiting: quota until 14:20")
	outage := waiting()
	outage.Waits = append(outage.Waits, term.Wait{Short: "Segment outage", Since: now.Add(-41 * time.Second)})
	p.set(outage)
	p.want("two waits", "  42%   waiting: quota until 14:20; Se…")
	p.stop(middle())
	p.out.Err.Linef("$")
	p.want("stopped", "  42% █████░░░░░░░░  126,400 of 300,000", "$")
}

// Without a total there is no percentage; at the end there is.
func TestBarWithoutATotal(t *testing.T) {
	p := newPlay(t, 80, term.Options{})
	unknown := term.Status{Now: now, Numbers: term.Numbers{Read: 1200}, Rate: 4.25, Percent: -1, Left: -1}
	p.set(unknown)
	if got := p.frame(); !strings.HasSuffix(got, "  1,200 read · 4.2/s") || strings.Contains(got, "%") {
		t.Errorf("got %q", got)
	}
	p.stop(term.Status{Now: now, Numbers: term.Numbers{Read: 1300, Total: 1300, Done: true}, Percent: 100, Elapsed: time.Minute})
	p.want("the end", " 100% ████████████████████████  1,300 read · in 1 min")
}

// A run that is killed leaves its last line; one with -q or a log of JSON has none.
func TestNoBar(t *testing.T) {
	for _, options := range []term.Options{{Quiet: true}, {LogFormat: "json"}} {
		p := newPlay(t, 80, options)
		p.out.Progress(middle)(done())
		p.out.Log.Error("an error")
		if got := p.frame(); strings.Contains(got, "%") || !strings.Contains(got, "an error") {
			t.Errorf("%+v: got %q", options, got)
		}
	}
}

// A value that is too long has a line of its own, and only a path or a command is wider than that.
func TestTablesFitTheTerminal(t *testing.T) {
	p := newPlay(t, 40, term.Options{Color: "never"})
	p.out.Out.Title("Segment space spa_4fAbC…  →  Voucherify eu, app 9c1…")
	p.out.Out.Table(nil, []term.Row{
		{Cells: []string{"Profiles read", "300,000", ""}},
		{Mark: term.MarkFailed, Cells: []string{"Rejected", "2", "in not-imported.csv"}},
		{Cells: []string{"Warnings", "50", "phone 201 · name 40 · birthdate 31 · address 2"}},
	})
	p.out.Out.Table([]string{"ID", "SINCE", "REASON", "DETAIL"}, []term.Row{
		{Cells: []string{"use_3fAbCdEfGhIj", "2026-11-01", "rule", "a detail that is too long"}},
		{Cells: []string{"use_4", "2026-11-01", "rule", "short"}},
	})
	p.out.Out.Command("Continue:", "segsync import --resume")
	p.out.Out.Command("Continue:", "segsync import --resume --dir out")
	p.want("tables", "Segment space spa_4fAbC…  →  Voucherify", "eu, app 9c1…",
		"  Profiles read  300,000", "✗ Rejected             2", "    in not-imported.csv",
		"  Warnings            50", "    phone 201 · name 40 · birthdate 31 ·", "    address 2", "  ID                SINCE       REASON", "    DETAIL",
		"  use_3fAbCdEfGhIj  2026-11-01  rule", "    a detail that is too long", "  use_4             2026-11-01  rule", "    short",
		"Continue: segsync import --resume", "Continue:", "segsync import --resume --dir out")
}
