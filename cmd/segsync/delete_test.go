//go:build !windows

package main

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"segsync/internal/app"
	"segsync/internal/sandbox"
)

// readDeleted returns the source ids in deleted.csv whose answer is deleted or not there.
func readDeleted(t *testing.T, w *world) map[string]bool {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(w.dir, "out", "deleted.csv"))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(string(data[:strings.LastIndexByte(string(data), '\n')+1]))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	ids := make(map[string]bool)
	for _, row := range rows {
		if row[2] == "deleted" || row[2] == "not there" {
			ids[row[0]] = true
		}
	}
	return ids
}

// Wherever a deletion is killed, no customer is gone that deleted.csv does not have, but for the one that
// was under way, and none that a profile has. --resume deletes the rest.
func TestKilledDeletionIsContinued(t *testing.T) {
	t.Parallel()
	const (
		read   = `^GET /v1/customers/user-`
		lookup = `^GET .*/user_id:user-`
		remove = `^DELETE /v1/customers/`
	)
	var points []point
	for _, match := range []string{remove, read, lookup} {
		for _, when := range []moment{answered, arrives, after} {
			points = append(points, point{match, 3, when})
		}
	}
	for _, p := range sample(3, append(points, point{remove, 1, answered}, point{remove, 6, answered}, point{lookup, 12, arrives})) {
		t.Run(fmt.Sprint(p), func(t *testing.T) {
			t.Parallel()
			k := newKiller(t, sandbox.Options{Profiles: 20, Plain: true}, kill, p)
			k.world.start(t, "import", "--dir", "out", "--verify-interval", "1s").wantExit(t, app.ExitDone)
			var list []string
			for i, e := range k.box.Want()[:8] {
				list = append(list, e.SourceID)
				if i != 4 { // that one stays
					k.box.Delete(e.SegmentID)
				}
			}
			check(t, os.WriteFile(filepath.Join(k.dir, "list.txt"), []byte(strings.Join(list, "\n")), 0o600))
			p := k.run(t, "delete", "--dir", "out", "--from", "list.txt", "--yes", "--max-deletes", "7", "--resume")
			p.wantExit(t, killed)
			noted, missing := readDeleted(t, k.world), 0
			for _, id := range list {
				if _, exists := k.box.Customers()[id]; !exists && !noted[id] {
					missing++
				}
			}
			if missing > 1 {
				t.Errorf("%d customers are gone that deleted.csv does not have", missing)
			}
			p = k.run(t, "delete", "--dir", "out", "--from", "list.txt", "--yes", "--max-deletes", "7", "--resume")
			p.wantExit(t, app.ExitDone)
			noted = readDeleted(t, k.world)
			for i, id := range list {
				if _, exists := k.box.Customers()[id]; exists != (i == 4) || noted[id] == (i == 4) {
					t.Errorf("customer %d: it exists: %v; it is in deleted.csv: %v", i, exists, noted[id])
				}
			}
			if n := len(k.box.Customers()); n != 13 || k.reached != 1 {
				t.Errorf("%d customers are left, and %d points were reached", n, k.reached)
			}
			// What was gone already was not asked again, but for the customer that was under way.
			if n := k.requests(remove); n > 8 {
				t.Errorf("%d deletions of 7 customers", n)
			}
		})
	}
}

// An interrupt ends a deletion behind a customer, and the printed command continues it, which status names, too.
func TestInterruptedDeletion(t *testing.T) {
	t.Parallel()
	k := newKiller(t, sandbox.Options{Profiles: 20, Plain: true}, terminate, point{`^DELETE /v1/customers/`, 2, answered})
	k.world.start(t, "import", "--dir", "out", "--verify-interval", "1s").wantExit(t, app.ExitDone)
	list := ""
	for _, e := range k.box.Want()[:8] {
		list += e.SourceID + "\n"
		k.box.Delete(e.SegmentID)
	}
	check(t, os.WriteFile(filepath.Join(k.dir, "list.txt"), []byte(list), 0o600))
	p := k.run(t, "delete", "--dir", "out", "--from", "list.txt", "--yes", "--max-deletes=8")
	p.wantExit(t, app.ExitTerminated)
	if n := len(readDeleted(t, k.world)); n < 2 || n == 8 || len(k.box.Customers()) != 20-n {
		t.Errorf("%d customers are in deleted.csv, and %d are left", n, len(k.box.Customers()))
	}
	status := func() string {
		p := k.world.start(t, "status", "--dir", "out")
		p.wantExit(t, app.ExitDone)
		return p.stdout.String()
	}
	command, _, err := printedCommand(p.stderr.String())
	if got := status(); err != nil || !strings.Contains(got, "a deletion of customers\n") || !strings.HasSuffix(got, "\nNext: "+command+"\n") {
		t.Errorf("status does not have %q, %v:\n%s", command, err, got)
	}
	k.resume(t, p, app.ExitDone)
	if got := status(); strings.Contains(got, "deletion") {
		t.Errorf("status speaks of a deletion that is finished:\n%s", got)
	}
	if n := k.requests(`^DELETE /v1/customers/`); n != 8 || len(k.box.Customers()) != 12 {
		t.Errorf("%d deletions, and %d customers are left", n, len(k.box.Customers()))
	}
}

// On a terminal a person types how many customers there are. Nothing else deletes.
func TestDeletionAsksForTheNumber(t *testing.T) {
	t.Parallel()
	w := startWorld(t, sandbox.Options{Profiles: 60, Plain: true, APICalls: sandbox.Bucket{Limit: 6000}})
	w.start(t, "import", "--verify-interval", "1s").wantExit(t, app.ExitDone)
	var list []string
	for _, e := range w.box.Want()[:12] {
		list = append(list, e.SourceID)
		w.box.Delete(e.SegmentID)
	}
	check(t, os.WriteFile(filepath.Join(w.dir, "list.txt"), []byte(strings.Join(list, "\n")), 0o600))
	const question = "press Enter to cancel:"
	for _, c := range []struct {
		answer        string
		code, deleted int
	}{{"\r", app.ExitInterrupted, 0}, {"yes\r1\r11\r\x04", app.ExitInterrupted, 0}, {"13\r12\r", app.ExitDone, 12}} {
		p, keyboard := w.onTerminal(t, "delete", "--from", "list.txt", "--yes")
		answerEach(t, p, keyboard, question, c.answer)
		p.wantExit(t, c.code)
		if n := w.requests("^DELETE /v1/customers"); n != c.deleted {
			t.Errorf("answer %q: %d deletions, want %d", c.answer, n, c.deleted)
		}
		for _, want := range []string{"type 12 to delete 12 customers at most, or", "  user-0000000", "  and 2 more", "24 calls, less than 1 min of Voucherify's 6,000 calls a minute"} {
			if !strings.Contains(p.stderr.String(), want) {
				t.Errorf("%q is not in the question:\n%s", want, p.stderr)
			}
		}
	}
	many := ""
	for i := range 101 {
		many += fmt.Sprintf("gone-%d\n", i)
	}
	check(t, os.WriteFile(filepath.Join(w.dir, "many.txt"), []byte(many), 0o600))
	p, _ := w.onTerminal(t, "delete", "--from", "many.txt", "--yes")
	p.wantExit(t, app.ExitUsage)
	if want := "up to 101 customers would be deleted, more than the 100 allowed:\r\n  nothing was deleted"; !strings.Contains(p.stderr.String(), want) {
		t.Errorf("%q is not in\n%s", want, p.stderr)
	}
}
