//go:build !windows

package main

import (
	"encoding/xml"
	"io"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hinshun/vt10x"
)

func text(f frame) string {
	var lines []string
	for _, line := range f.lines {
		var b strings.Builder
		for _, g := range line {
			b.WriteRune(g.Char)
		}
		lines = append(lines, b.String())
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

func TestRecord(t *testing.T) {
	cmd := exec.Command("sh", "-c", `printf 'read 1\n'; printf '\033[A\033[2Kread \033[31m2\033[0m <&>\n'; test -t 1 && echo terminal; exit 3`)
	frames, err := record(cmd, 20, 4, "$ show\r\n")
	if err != nil {
		t.Fatal(err)
	}
	if got := text(frames[0]); got != "$ show" {
		t.Errorf("the first frame is %q", got)
	}
	last := frames[len(frames)-1]
	if diff := cmp.Diff("$ show\nread 2 <&>\nterminal", text(last)); diff != "" {
		t.Errorf("the last frame (-want +got):\n%s", diff)
	}
	if two := last.lines[1][5]; two.Char != '2' || two.FG != vt10x.Red {
		t.Errorf("2 is drawn as %+v, not in red", two)
	}
}

func TestThin(t *testing.T) {
	frames := []frame{{at: 0}, {at: 10}, {at: 30}, {at: 250}, {at: 260}}
	frames[2].lines = [][]vt10x.Glyph{{{Char: 'a'}}}
	frames[4].lines = [][]vt10x.Glyph{{{Char: 'b'}}}
	got := thin(frames, 100)
	want := []frame{{0, frames[2].lines}, {250, frames[4].lines}}
	if !slices.EqualFunc(got, want, func(a, b frame) bool { return a.at == b.at && text(a) == text(b) }) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestDraw(t *testing.T) {
	show := func(at time.Duration, written string) frame {
		screen := vt10x.New(vt10x.WithSize(12, 3))
		screen.Write([]byte(written))
		return frame{at, glyphs(screen)}
	}
	svg := string(draw([]frame{
		show(0, "$ show"),
		show(time.Second, "$ show\r\na <&> b"),
		show(5*time.Second, "$ show\r\n\x1b[31mend\x1b[0m"),
	}))
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("%v\n%s", err, svg)
		}
	}
	var got []string
	line := regexp.MustCompile(`<g( visibility="\w+")?>(?:<animate .*?values="(.*?)" keyTimes="(.*?)".*?/>)?<text .*?( fill="#\w+")?>(.*?)</text></g>`)
	for _, m := range line.FindAllStringSubmatch(svg, -1) {
		got = append(got, strings.Join(m[1:], "|"))
	}
	want := []string{
		"||||$ show",
		` visibility="hidden"|hidden;visible;hidden|0;0.1000;0.5000||a &lt;&amp;&gt; b`,
		` visibility="visible"|hidden;visible|0;0.5000| fill="#ff7b72"|end`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s\n%s", diff, svg)
	}
}
