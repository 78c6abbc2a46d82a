package journal

import (
	"encoding/binary"
	"encoding/hex"
	"hash/fnv"
	"strconv"

	"segsync/importer/outcome"
)

// ContentOf returns a hash of a customer, its JSON, by which a later import knows what was sent.
func ContentOf(customer []byte) string {
	return hex.EncodeToString(binary.BigEndian.AppendUint64(nil, hashOf(customer)))
}

func hashOf(text []byte) uint64 {
	h := fnv.New64a()
	h.Write(text)
	return h.Sum64()
}

// Confirmed is what the customers were that the last import sent and that Voucherify confirmed, and those
// that it found unchanged.
type Confirmed struct{ contents map[uint64]uint64 } // hashes of the customers, by those of their source ids

// ReadConfirmed reads the log of a directory. It knows no customer where there is no log, and where that is of
// another space, project or identifier. The errors are *DamagedError and those of reading.
func ReadConfirmed(names Names, id Identity) (*Confirmed, error) {
	c := &Confirmed{contents: make(map[uint64]uint64)}
	confirmed := make(map[string]bool) // async actions
	for _, take := range []func(*line){
		func(l *line) {
			if v := l.Verdict; v != nil && !v.Failed && v.Unnamed == 0 {
				confirmed[v.ActionID] = true
			}
		},
		func(l *line) { c.take(l, confirmed) },
	} {
		if err := scanOwn(names.LogPath(), id, take); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// scanOwn calls take with each line of a log, if its import had the same target and identifier.
func scanOwn(path string, id Identity, take func(*line)) error {
	return scanLines(path, func(l *line, at int64) error {
		if at == 0 && (l.Import == nil || !l.Import.isSameTarget(id) || l.Import.Identifier != id.Identifier) {
			return errStop
		}
		take(l)
		return nil
	})
}

func (c *Confirmed) take(l *line, actions map[string]bool) {
	switch e := l.Entry; {
	case l.Deletion != nil:
		delete(c.contents, hashOf([]byte(l.Deletion.SourceID)))
	case e == nil || e.SourceID == "" || e.Outcome == outcome.Merged || e.Outcome == outcome.Confirmed:
	case e.Outcome == outcome.Unchanged && e.Content != "", e.Outcome == outcome.Sent && e.Content != "" && actions[e.ActionID]:
		c.contents[hashOf([]byte(e.SourceID))], _ = strconv.ParseUint(e.Content, 16, 64) // what is no hash is of no customer
	default:
		delete(c.contents, hashOf([]byte(e.SourceID)))
	}
}

// Has reports whether the customer was last sent as it is now, and confirmed.
func (c *Confirmed) Has(sourceID string, customer []byte) bool {
	content, isKnown := c.contents[hashOf([]byte(sourceID))]
	return isKnown && content == hashOf(customer)
}
