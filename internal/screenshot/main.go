//go:build !windows

// Screenshot runs a program on a pseudo-terminal and records what a person sees as an
// animated SVG. Where nothing animates it, the SVG shows the end of the run.
//
//	go run ./internal/screenshot [-out FILE] [-width COLUMNS] [-height LINES] PROGRAM [ARGUMENT…]
//
// The exit code of the program does not matter: a run that fails is recorded, too.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/creack/pty"
	"github.com/hinshun/vt10x"
)

func main() {
	out := flag.String("out", "screen.svg", "`file` for the recording")
	width := flag.Int("width", 100, "`columns` of the terminal")
	height := flag.Int("height", 28, "`lines` of the terminal")
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*out, *width, *height, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "screenshot: error:", err)
		os.Exit(1)
	}
}

func run(out string, width, height int, command []string) error {
	home, err := os.MkdirTemp("", "screenshot-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(home)
	program, err := exec.LookPath(command[0])
	if err != nil {
		return err
	}
	if program, err = filepath.Abs(program); err != nil {
		return err
	}
	cmd := exec.Command(program, command[1:]...)
	cmd.Dir = home
	// No setting of the person who records may show.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TERM=xterm-256color", "LANG=C.UTF-8"}
	prompt := "$ " + strings.Join(append([]string{filepath.Base(program)}, command[1:]...), " ") + "\r\n"
	frames, err := record(cmd, width, height, prompt)
	if err != nil {
		return err
	}
	return os.WriteFile(out, draw(thin(frames, shortest)), 0o644)
}

// A frame is what the terminal shows from a time on, counted from the start of the program.
type frame struct {
	at    time.Duration
	lines [][]vt10x.Glyph
}

// record runs the program to its end. The first frame shows the prompt; then there is one
// for each write of the program that changes the screen.
func record(cmd *exec.Cmd, width, height int, prompt string) ([]frame, error) {
	screen := vt10x.New(vt10x.WithSize(width, height))
	if _, err := screen.Write([]byte(prompt)); err != nil {
		return nil, err
	}
	frames := []frame{{0, glyphs(screen)}}
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: uint16(width), Rows: uint16(height)})
	if err != nil {
		return nil, err
	}
	defer terminal.Close()
	began := time.Now()
	for in := bufio.NewReader(terminal); ; {
		if err := screen.Parse(in); err != nil {
			break // the program has ended; which error says so depends on the system
		}
		now := glyphs(screen)
		if !slices.EqualFunc(now, frames[len(frames)-1].lines, slices.Equal) {
			frames = append(frames, frame{time.Since(began), now})
		}
	}
	var failed *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &failed) {
		return nil, err
	}
	return frames, nil
}

// glyphs returns the lines of the screen, without what is empty at their ends.
func glyphs(screen vt10x.View) [][]vt10x.Glyph {
	columns, rows := screen.Size()
	lines := make([][]vt10x.Glyph, rows)
	for y := range rows {
		for x := range columns {
			lines[y] = append(lines[y], screen.Cell(x, y))
		}
		for n := len(lines[y]); n > 0 && lines[y][n-1].Char == ' ' && lines[y][n-1].BG == vt10x.DefaultBG; n-- {
			lines[y] = lines[y][:n-1]
		}
	}
	return lines
}

// shortest is how long a frame is seen at least: a person sees no more, and the file is
// smaller.
const shortest = 200 * time.Millisecond

// thin drops frames that were seen for less than the time; the one that follows them takes
// their place. The last frame stays.
func thin(frames []frame, least time.Duration) []frame {
	var kept []frame
	for _, f := range frames {
		if n := len(kept); n > 0 && f.at-kept[n-1].at < least {
			f.at = kept[n-1].at
			kept = kept[:n-1]
		}
		kept = append(kept, f)
	}
	return kept
}

// A span is a line of the screen, and how long it is seen there without a change.
type span struct {
	y          int
	line       []vt10x.Glyph
	begin, end time.Duration
}

// hold is how long the last frame is seen before the recording starts again.
const hold = 5 * time.Second

// spans returns the lines that are not empty, in order of y and time, and the length of
// the recording.
func spans(frames []frame) ([]span, time.Duration) {
	length := frames[len(frames)-1].at + hold
	var all []span
	for y := range frames[0].lines {
		for i := 0; i < len(frames); {
			s := span{y, frames[i].lines[y], frames[i].at, length}
			for i++; i < len(frames) && slices.Equal(frames[i].lines[y], s.line); i++ {
			}
			if i < len(frames) {
				s.end = frames[i].at
			}
			if len(s.line) > 0 {
				all = append(all, s)
			}
		}
	}
	return all, length
}

// Sizes in pixels.
const (
	cellWidth  = 8.4
	cellHeight = 18
	margin     = 14
)

// draw returns the frames as an SVG. Each line is there once for each time that it is seen.
func draw(frames []frame) []byte {
	all, length := spans(frames)
	columns, rows := 0, 0
	for _, s := range all {
		columns, rows = max(columns, len(s.line)), max(rows, s.y+1)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%d" font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace" font-size="14" fill="%s">`+"\n",
		float64(columns)*cellWidth+2*margin, rows*cellHeight+2*margin, foreground)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" rx="8" fill="%s"/>`+"\n", background)
	for _, s := range all {
		s.draw(&b, length)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func (s span) draw(b *bytes.Buffer, length time.Duration) {
	if s.begin == 0 && s.end == length {
		b.WriteString(`<g>`)
	} else {
		visibility := "hidden"
		if s.end == length {
			visibility = "visible"
		}
		fmt.Fprintf(b, `<g visibility="%s">`, visibility)
		values, times := "hidden;visible;hidden", fmt.Sprintf("0;%s;%s", share(s.begin, length), share(s.end, length))
		if s.begin == 0 {
			values, times = "visible;hidden", "0;"+share(s.end, length)
		} else if s.end == length {
			values, times = "hidden;visible", "0;"+share(s.begin, length)
		}
		fmt.Fprintf(b, `<animate attributeName="visibility" calcMode="discrete" values="%s" keyTimes="%s" dur="%.1fs" repeatCount="indefinite"/>`, values, times, length.Seconds())
	}
	for x := 0; x < len(s.line); {
		n := x + 1
		for n < len(s.line) && sameStyle(s.line[x], s.line[n]) {
			n++
		}
		drawRun(b, s.line[x:n], x, s.y)
		x = n
	}
	b.WriteString("</g>\n")
}

func share(part, length time.Duration) string {
	return fmt.Sprintf("%.4f", part.Seconds()/length.Seconds())
}

func sameStyle(a, b vt10x.Glyph) bool {
	a.Char = b.Char
	return a == b
}

// drawRun draws glyphs of one style. textLength keeps the columns of the terminal,
// whatever font there is.
func drawRun(b *bytes.Buffer, run []vt10x.Glyph, x, y int) {
	left, top, width := margin+float64(x)*cellWidth, margin+y*cellHeight, float64(len(run))*cellWidth
	style := run[0]
	if style.BG != vt10x.DefaultBG {
		fmt.Fprintf(b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>`, left, top, width, cellHeight, colour(style.BG))
	}
	var text strings.Builder
	for _, g := range run {
		text.WriteRune(g.Char)
	}
	if strings.TrimSpace(text.String()) == "" {
		return
	}
	fmt.Fprintf(b, `<text x="%.1f" y="%d" textLength="%.1f" lengthAdjust="spacingAndGlyphs" xml:space="preserve"`, left, top+14, width)
	if style.FG != vt10x.DefaultFG {
		fmt.Fprintf(b, ` fill="%s"`, colour(style.FG))
	}
	const bold = 1 << 2 // of vt10x.Glyph.Mode, which has no name for it
	if style.Mode&bold != 0 {
		b.WriteString(` font-weight="bold"`)
	}
	fmt.Fprintf(b, ">%s</text>", strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text.String()))
}

const foreground, background = "#d0d7de", "#161b22"

var palette = [16]string{
	"#484f58", "#ff7b72", "#3fb950", "#d29922", "#58a6ff", "#bc8cff", "#39c5cf", "#b1bac4",
	"#6e7681", "#ffa198", "#56d364", "#e3b341", "#79c0ff", "#d2a8ff", "#56d4dd", "#f0f6fc",
}

// colour returns one of the 16 colours of a terminal, or the default.
func colour(c vt10x.Color) string {
	switch {
	case c.ANSI():
		return palette[c]
	case c == vt10x.DefaultBG:
		return background
	}
	return foreground
}
