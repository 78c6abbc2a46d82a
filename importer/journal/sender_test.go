package journal_test

import (
	"testing"
	"testing/synctest"
	"time"

	"segsync/importer/journal"
)

// The last import that sent a customer is the last one, also where it was not the first of its kind. Those of
// another kind are known for as long as the directory is.
func TestLastSenderIsTheLastOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names := finished(t)
		was, err := journal.LastSender(names)
		must(t, err)
		other := start(journal.Discard)
		other.AnySender, other.Identity.Identifier = true, "email"
		same := start(journal.Discard)
		same.AnySender = true
		for _, s := range []journal.Start{other, same, same} {
			time.Sleep(time.Second)
			_, err := run(t, names, s, -1)
			must(t, err)
			last, err := journal.LastSender(names)
			must(t, err)
			if last.Identity != s.Identity || !last.At.After(was.At) {
				t.Errorf("the last sender is %+v, want one of %s after %s", last, s.Identity.Identifier, was.At)
			}
			was = last
		}
		state, err := journal.Load(names)
		must(t, err)
		if earlier := state.Before.Earlier; len(earlier) != 2 || earlier[1].Identifier != "email" {
			t.Errorf("earlier senders: %+v", earlier)
		}
	})
}
