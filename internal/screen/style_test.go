package screen_test

import (
	"testing"

	"segsync/internal/screen"
)

func TestColour(t *testing.T) {
	tests := map[string]struct {
		when     string
		terminal bool
		env      map[string]string
		want     bool
	}{
		"a terminal":                 {"auto", true, nil, true},
		"NO_COLOR":                   {"auto", true, map[string]string{"NO_COLOR": "1"}, false},
		"NO_COLOR empty":             {"auto", true, map[string]string{"NO_COLOR": ""}, true},
		"TERM=dumb":                  {"auto", true, map[string]string{"TERM": "dumb"}, false},
		"no terminal":                {"auto", false, nil, false},
		"always, no terminal":        {"always", false, nil, true},
		"always goes above NO_COLOR": {"always", true, map[string]string{"NO_COLOR": "1"}, true},
		"never":                      {"never", true, nil, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			style, err := screen.NewStyle(test.when, test.terminal, func(key string) string { return test.env[key] })
			if err != nil {
				t.Fatal(err)
			}
			want := "rejected 2"
			if test.want {
				want = "\x1b[31mrejected 2\x1b[0m"
			}
			if got := style.Red("rejected 2"); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	if _, err := screen.NewStyle("yes", true, func(string) string { return "" }); err == nil ||
		err.Error() != `invalid color "yes": want auto, always or never` {
		t.Errorf("yes: %v", err)
	}
}
