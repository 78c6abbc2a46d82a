package screen_test

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rivo/uniseg"

	"segsync/internal/screen"
)

var (
	head   = screen.Head{From: "spa_4fAbC…", To: "Voucherify eu, app 9c1…", Began: began}
	escape = regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]`)
)

func middle() screen.Progress {
	return screen.Progress{Numbers: screen.Numbers{Read: 126_400, Total: 300_000, Confirmed: 101_100, Sent: 400,
		Rejected: 2, Vanished: 31, Warnings: 412}, Now: after(2500), Elapsed: 2500 * time.Second, Rate: 50, Percent: 42, Left: 58 * time.Minute}
}

func waiting() screen.Progress {
	p := middle()
	p.Left, p.Rate = -1, 0
	p.Waits = []screen.Wait{
		{What: "Voucherify's bulk quota", Detail: "10 calls an hour", Since: after(2400), Until: after(1800 * 2)},
		{What: "Segment", Detail: "no answer, attempt 4", Since: after(2499), Until: after(2508)},
	}
	return p
}

func done() screen.Progress {
	p := middle()
	p.Read, p.Done, p.Percent, p.Left = 300_000, true, 100, 0
	p.Confirmed, p.Sent, p.Elapsed = 299_967, 0, 98*time.Minute
	return p
}

// recorder keeps what is written, and when.
type recorder struct {
	mu     sync.Mutex
	writes []written
}

type written struct {
	text string
	at   time.Time
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writes = append(r.writes, written{string(p), time.Now()})
	return len(p), nil
}

func (r *recorder) all() []written {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.writes)
}

func sized(width, height int) func() (int, int) {
	return func() (int, int) { return width, height }
}

func TestNothingIsWiderOrHigherThanTheTerminal(t *testing.T) {
	huge := waiting()
	huge.Read, huge.Total, huge.Confirmed, huge.Warnings = 9_876_543_210, 12_345_678_901, 9_876_500_000, 1_234_567
	unknown := middle()
	unknown.Total, unknown.Percent, unknown.Left = 0, -1, -1
	wide := screen.Head{From: "顧客データ・スペース", To: "👩‍👩‍👧 バウチャリファイ eu, アプリ", Began: began}
	style, err := screen.NewStyle("always", true, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []screen.Progress{{}, middle(), waiting(), done(), huge, unknown} {
		for _, h := range []screen.Head{head, wide} {
			for width := 2; width <= 130; width += 1 + width/20 {
				for _, height := range []int{3, 24} {
					var out bytes.Buffer
					s := screen.New(&out, sized(width, height), style)
					s.Start(h, func() screen.Progress { return p })
					first := escape.ReplaceAllString(out.String(), "")
					s.Stop(p, true)
					lines := strings.Split(strings.TrimSuffix(first, "\n"), "\n")
					if len(lines) > height-1 {
						t.Errorf("%d×%d: %d lines:\n%s", width, height, len(lines), first)
					}
					for _, line := range append(lines, strings.Split(escape.ReplaceAllString(out.String(), ""), "\n")...) {
						if w := uniseg.StringWidth(strings.TrimPrefix(line, "\r")); w > width-1 {
							t.Errorf("%d×%d: this line has %d columns: %s", width, height, w, line)
						}
					}
				}
			}
		}
	}
}

func TestTheBarAgreesWithThePercent(t *testing.T) {
	for percent := range 101 {
		p := middle()
		p.Percent = percent
		var out bytes.Buffer
		s := screen.New(&out, sized(100, 24), screen.Style{})
		s.Start(head, func() screen.Progress { return p })
		s.Stop(p, false)
		full, empty := strings.Count(out.String(), "█"), strings.Count(out.String(), "░")
		if full+empty != 24 || full != percent*24/100 || !strings.Contains(out.String(), fmt.Sprintf("   %d %%   ", percent)) {
			t.Errorf("%d %%: %d of %d columns are full:\n%s", percent, full, full+empty, out.String())
		}
	}
}

func TestNoMoreThanTenRedrawsASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &recorder{}
		s := screen.New(out, sized(80, 24), screen.Style{})
		p := middle()
		s.Start(head, func() screen.Progress { p.Read++; return p })
		for range 3000 {
			fmt.Fprintln(s, "warning")
			time.Sleep(time.Millisecond) // of the bubble
		}
		s.Stop(done(), true)

		var drawn []time.Time
		lines := 0
		for _, w := range out.all() {
			lines += strings.Count(w.text, "warning\n")
			if strings.Contains(w.text, " of 300,000") {
				drawn = append(drawn, w.at)
			}
		}
		if len(drawn) < 25 {
			t.Errorf("%d redraws in three seconds, want some thirty", len(drawn))
		}
		for i := 10; i < len(drawn)-1; i++ { // the last one is that of Stop
			if d := drawn[i].Sub(drawn[i-10]); d < time.Second {
				t.Errorf("eleven redraws in %v", d)
			}
		}
		if lines != 3000 {
			t.Errorf("%d of 3000 lines were written", lines)
		}
	})
}

// A line above the block does not take it away until the next tick.
func TestABlockStaysBelowALine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &recorder{}
		s := screen.New(out, sized(80, 24), screen.Style{})
		p := middle()
		s.Start(head, func() screen.Progress { p.Read++; return p })
		for range 10 {
			time.Sleep(112 * time.Millisecond) // just behind a redraw
			fmt.Fprintln(s, "warning")
			if last := out.all()[len(out.all())-1]; !strings.Contains(last.text, " of 300,000") {
				t.Errorf("the screen ends with %q", last.text)
			}
			time.Sleep(time.Second)
		}
		s.Stop(done(), true)
	})
}

func TestWhatHasNotChangedIsNotDrawnAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &recorder{}
		s := screen.New(out, sized(80, 24), screen.Style{})
		s.Start(head, middle)
		time.Sleep(time.Minute)
		if n := len(out.all()); n != 1 {
			t.Errorf("%d redraws, want 1", n)
		}
		s.Stop(middle(), false)
	})
}

func TestNoEscapeSequenceOffATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s := screen.New(&out, nil, screen.Style{})
		s.Start(head, func() screen.Progress { t.Error("progress was asked for"); return middle() })
		fmt.Fprintln(s, "warning")
		time.Sleep(time.Second)
		s.Suspend()
		fmt.Fprint(s, "Continue? ")
		s.Resume()
		s.Stop(done(), true)
		if got := out.String(); got != "warning\nContinue? " {
			t.Errorf("got %q", got)
		}
	})
}

func TestTheBlockRestsWhileTheWindowIsDragged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &recorder{}
		start := time.Now()
		size := func() (int, int) { return 120 - int(min(time.Since(start), 2*time.Second)/(50*time.Millisecond)), 24 }
		s := screen.New(out, size, screen.Style{})
		s.Start(head, middle)
		time.Sleep(2 * time.Second)
		if n := len(out.all()); n != 1 {
			t.Errorf("%d redraws while the window is dragged, want 1", n)
		}
		time.Sleep(time.Second)
		if drawn := out.all(); len(drawn) != 2 || drawn[1].at.Sub(start) > 2300*time.Millisecond {
			t.Errorf("want a second redraw soon after 2 s, and no third: %v", drawn)
		}
		s.Stop(middle(), false)
	})
}

func TestUseByManyGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s := screen.New(&out, sized(80, 24), screen.Style{})
		s.Start(head, middle)
		stopped := make(chan struct{})
		for i := range 4 {
			go func() {
				defer func() { stopped <- struct{}{} }()
				for j := range 100 {
					fmt.Fprintf(s, "line %d of %d\n", j, i)
					s.Suspend()
					time.Sleep(time.Millisecond)
					s.Resume()
				}
			}()
		}
		for range 4 {
			<-stopped
		}
		s.Stop(done(), true)
		if n := strings.Count(out.String(), "line "); n != 400 {
			t.Errorf("%d of 400 lines were written", n)
		}
	})
}
