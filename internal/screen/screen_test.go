package screen_test

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
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
	writes []string
	at     []time.Time
}

func (r *recorder) Write(p []byte) (int, error) {
	r.writes, r.at = append(r.writes, string(p)), append(r.at, time.Now())
	return len(p), nil
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
	for _, p := range []screen.Progress{{}, middle(), waiting(), done(), huge, unknown} {
		for _, h := range []screen.Head{head, wide} {
			for width := 2; width <= 130; width++ {
				for _, height := range []int{3, 24} {
					var out bytes.Buffer
					s := screen.New(&out, sized(width, height), screen.Style{})
					s.Start(h, func() screen.Progress { return p })
					first := out.String()
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
		for i, text := range out.writes {
			if strings.Contains(text, " of 300,000") {
				drawn = append(drawn, out.at[i])
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
		if n := strings.Count(strings.Join(out.writes, ""), "warning\n"); n != 3000 {
			t.Errorf("%d of 3000 lines were written", n)
		}
	})
}

func TestWhatHasNotChangedIsNotDrawnAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &recorder{}
		s := screen.New(out, sized(80, 24), screen.Style{})
		s.Start(head, middle)
		time.Sleep(time.Minute)
		if len(out.writes) != 1 {
			t.Errorf("%d redraws, want 1", len(out.writes))
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
