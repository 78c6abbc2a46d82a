//go:build !windows

package screen_test

import (
	"bufio"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
	"github.com/hinshun/vt10x"

	"segsync/internal/screen"
)

var update = flag.Bool("update", false, "write the golden files anew")

// tty is a real pseudo-terminal, and an emulator that shows what is on it.
type tty struct {
	t      *testing.T
	file   *os.File // what a program writes to
	master *os.File
	vt     vt10x.Terminal
	titles chan string
	marks  int
}

func newTTY(t *testing.T, width, height int) *tty {
	t.Helper()
	master, file, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	term := &tty{t: t, file: file, master: master, vt: vt10x.New(vt10x.WithSize(width, height)), titles: make(chan string)}
	term.resize(width, height)
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

func (term *tty) resize(width, height int) {
	term.t.Helper()
	if err := pty.Setsize(term.master, &pty.Winsize{Cols: uint16(width), Rows: uint16(height)}); err != nil {
		term.t.Fatal(err)
	}
	term.vt.Resize(width, height)
}

// frame returns what a person sees once all that was written before is shown. The cursor
// is drawn as ▁.
func (term *tty) frame() string {
	term.marks++
	mark := fmt.Sprintf("mark %d", term.marks)
	fmt.Fprintf(term.file, "\x1b]2;%s\x07", mark)
	for <-term.titles != mark {
	}
	cols, rows := term.vt.Size()
	cursor := term.vt.Cursor()
	var lines []string
	for y := range rows {
		var line strings.Builder
		for x := range cols {
			switch char := term.vt.Cell(x, y).Char; {
			case cursor.X == x && cursor.Y == y:
				line.WriteRune('▁')
			case char == 0:
				line.WriteRune(' ')
			default:
				line.WriteRune(char)
			}
		}
		lines = append(lines, strings.TrimRight(line.String(), " "))
	}
	if !term.vt.CursorVisible() {
		term.t.Error("the cursor is hidden")
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

func TestWhatIsATerminal(t *testing.T) {
	dumb := func(key string) string { return map[string]string{"TERM": "dumb"}[key] }
	none := func(string) string { return "" }
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if screen.Terminal(w, none) != nil {
		t.Error("a pipe is taken for a terminal")
	}
	tty := newTTY(t, 80, 24)
	if screen.Terminal(tty.file, dumb) != nil {
		t.Error("TERM=dumb is taken for a terminal that can move its cursor")
	}
	size := screen.Terminal(tty.file, none)
	if size == nil {
		t.Fatal("a terminal is not recognized")
	}
	for _, columns := range []int{80, 40} {
		tty.resize(columns, 24)
		if width, height := size(); width != columns || height != 24 {
			t.Errorf("the terminal has %d × %d, want %d × 24", width, height, columns)
		}
	}
}

// play is an import whose progress the test sets.
type play struct {
	*tty
	screen  *screen.Screen
	now     atomic.Pointer[screen.Progress]
	asked   chan struct{}
	golden  strings.Builder
	started bool
}

func newPlay(t *testing.T, width int) *play {
	term := newTTY(t, width, 16)
	p := &play{tty: term, asked: make(chan struct{})}
	p.screen = screen.New(term.file, screen.Terminal(term.file, func(string) string { return "" }), screen.Style{})
	return p
}

func (p *play) fold(text string, indent int) string {
	return strings.Join(screen.Fold(text, indent, screen.Columns(p.file)), "\n")
}

// set changes the progress, and waits until it has been drawn.
func (p *play) set(progress screen.Progress) {
	p.now.Store(&progress)
	if !p.started {
		p.started = true
		p.screen.Start(head, p.progress)
		return
	}
	p.wait()
}

func (p *play) wait() {
	for range 4 { // the last question but one was about the new progress, and at the new width
		<-p.asked
	}
}

func (p *play) progress() screen.Progress {
	select {
	case p.asked <- struct{}{}:
	default:
	}
	return *p.now.Load()
}

// keep adds what is seen now to the golden file.
func (p *play) keep(title string) {
	fmt.Fprintf(&p.golden, "──── %s\n%s\n", title, p.frame())
}

func (p *play) compare(file string) {
	p.t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(p.golden.String()), 0o644); err != nil {
			p.t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		p.t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(p.golden.String(), "\n")); diff != "" {
		p.t.Error(diff)
	}
}

func TestScreens(t *testing.T) {
	for _, width := range []int{40, 80, 120} {
		t.Run(fmt.Sprint(width, " columns"), func(t *testing.T) {
			t.Parallel()
			p := newPlay(t, width)
			log := slog.New(screen.NewHandler(p.screen, p.fold, slog.LevelInfo, screen.Style{}))
			p.set(screen.Progress{Now: began, Percent: -1, Left: -1})
			p.keep("start, the total is not known yet")
			p.set(middle())
			p.keep("middle")
			log.Warn(`birthdate "05/02/1984" of user-0000428 is not YYYY-MM-DD`)
			log.Info("1,200 more profiles became active")
			p.wait()
			p.keep("a warning and a line above")
			p.set(waiting())
			p.keep("waiting")
			p.screen.Suspend()
			fmt.Fprint(p.screen, "Continue? [y/n] ")
			p.keep("a question")
			fmt.Fprintln(p.screen, "y")
			p.screen.Resume()
			p.wait()
			p.keep("after the answer")
			p.resize(width*3/4, 16)
			p.wait()
			p.set(middle())
			p.keep("a narrower window")
			p.resize(width, 16)
			p.wait()
			p.keep("as wide as before")
			p.screen.Stop(done(), true)
			fmt.Fprintln(p.screen, "$")
			p.keep("end, and a line behind it")
			p.compare(fmt.Sprintf("testdata/screen-%d.txt", width))
		})
	}
}

func TestScreensOfEnds(t *testing.T) {
	tests := map[string]func(*play){
		"interrupted": func(p *play) { p.screen.Stop(waiting(), true) },
		"erased":      func(p *play) { p.screen.Stop(done(), false) },
		"killed":      func(*play) {},
	}
	for name, end := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlay(t, 80)
			fmt.Fprintln(p.screen, "$ segsync import")
			p.set(middle())
			end(p)
			fmt.Fprintln(p.file, "$")
			p.keep(name)
			p.screen.Stop(middle(), false)
			p.compare("testdata/" + name + ".txt")
		})
	}
}
