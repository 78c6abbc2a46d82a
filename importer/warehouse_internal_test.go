package importer

import (
	"testing"
	"time"

	"segsync/importer/journal"
)

// A second statement reads another snapshot: the import began with the first, and what that
// one gave is read again where it has changed.
func TestSecondStatementIsAnotherSnapshot(t *testing.T) {
	first := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	r := &warehouseReading{intake: &intake{state: journal.NewState(journal.Identity{}, Beginning)}, pager: pager{page: new(page)}}
	r.at.Offset = Beginning
	r.statement(first)
	if p := r.pager.page; !p.first || !p.began.Equal(first) || r.behind != "" {
		t.Errorf("the first statement: %v, %v, behind %q", p.first, p.began, r.behind)
	}
	r.pager.page = new(page)
	r.at.Offset = "use_50"
	r.statement(first.Add(time.Hour))
	if r.pager.page.first || !r.started.Equal(first) || r.behind != "use_50" {
		t.Errorf("the second statement: first %v, began %v, behind %q", r.pager.page.first, r.started, r.behind)
	}
}
