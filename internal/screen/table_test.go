package screen_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rivo/uniseg"

	"segsync/internal/screen"
)

var tableRows = []screen.Row{
	{Name: "Profiles read", Number: 300_000, Always: true},
	{Name: "Confirmed", Number: 299_967, Mark: screen.MarkOK, Always: true},
	{Name: "Merged into another", Number: 0},
	{Name: "Rejected", Number: 2, Mark: screen.MarkFailed, Note: "in /srv/segsync/spaces/spa_4fAbCdEfGhIjKlMnOpQrStUvWx/not-imported.csv"},
	{Name: "Without identifier", Number: 31, Note: "in profiles-without-identifier.txt"},
	{Name: "Unconfirmed", Number: 0, Always: true},
}

func TestTable(t *testing.T) {
	head := screen.Head{From: "spa_4fAbC…", To: "Voucherify eu, app 9c1…", Began: began, Ended: began.Add(98 * time.Minute)}
	tests := map[string]struct {
		width int
		want  string
	}{
		"any width": {0, `
spa_4fAbC…  →  Voucherify eu, app 9c1…
started 21 Nov 2026 01:30, ended 03:08, 1 h 38 min
  Profiles read       300,000
✓ Confirmed           299,967
✗ Rejected                  2  in /srv/segsync/spaces/spa_4fAbCdEfGhIjKlMnOpQrStUvWx/not-imported.csv
  Without identifier       31  in profiles-without-identifier.txt
  Unconfirmed               0
`},
		"80 columns": {80, `
spa_4fAbC…  →  Voucherify eu, app 9c1…
started 21 Nov 2026 01:30, ended 03:08, 1 h 38 min
  Profiles read       300,000
✓ Confirmed           299,967
✗ Rejected                  2
    in /srv/segsync/spaces/spa_4fAbCdEfGhIjKlMnOpQrStUvWx/not-imported.csv
  Without identifier       31  in profiles-without-identifier.txt
  Unconfirmed               0
`},
		"40 columns": {40, `
spa_4fAbC…  →  Voucherify eu, app 9c1…
started 21 Nov 2026 01:30, ended 03:08,
1 h 38 min
  Profiles read       300,000
✓ Confirmed           299,967
✗ Rejected                  2
    in
    /srv/segsync/spaces/spa_4fAbCdEfGhIj
    KlMnOpQrStUvWx/not-imported.csv
  Without identifier       31
    in profiles-without-identifier.txt
  Unconfirmed               0
`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := screen.Table(&out, test.width, screen.Style{}, head, tableRows); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, "\n"+out.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTheTableIsNeverWiderThanTheTerminal(t *testing.T) {
	head := screen.Head{From: "顧客スペース顧客スペース", To: "Voucherify", Began: began, Ended: began.Add(time.Hour)}
	rows := append([]screen.Row{{Name: "顧客データの読み込み", Number: 12, Note: "顧客データの読み込み顧客データの読み込み"}}, tableRows...)
	for width := 14; width <= 120; width++ {
		var out bytes.Buffer
		if err := screen.Table(&out, width, screen.Style{}, head, rows); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if w := uniseg.StringWidth(strings.TrimSuffix(line, "\n")); w > width {
				t.Errorf("%d columns: this line has %d: %s", width, w, line)
			}
		}
	}
}
