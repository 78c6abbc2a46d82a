package journal

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"slices"
)

// table is a hash table on disk, from an identity to a value of valueBytes, which may be
// none. A space may have millions of profiles, and memory must not grow with it.
//
// The table has buckets, at most three quarters full. An entry is in its bucket or, where
// that is full, in one after it; slots are filled from the first. A slot whose identity is
// zero is free.
type table struct {
	file    *os.File
	width   int    // bytes of a slot
	base    int64  // where the table is in the file: behind the smaller ones that it replaced
	buckets uint64 // a power of two of them
	used    uint64 // slots
	bucket  []byte // the last one that was read, as the file has it now
	at      int64  // where it is in the file; -1: none was read
}

const (
	idBytes     = len(identity{})
	bucketSlots = 32
)

// newTable returns an empty table with room for n entries, in a new file at path.
func newTable(path string, valueBytes int, n int64) (*table, error) {
	os.Remove(path) // of a run that was killed
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	os.Remove(path) // already now, where the system can: a killed process leaves nothing behind
	t := &table{file: file, width: idBytes + valueBytes, buckets: 1, at: -1}
	t.bucket = make([]byte, bucketSlots*t.width)
	for t.room() < uint64(n) {
		t.buckets *= 2
	}
	return t, nil
}

// room is how many entries the table takes before it grows.
func (t *table) room() uint64 { return t.buckets * bucketSlots * 3 / 4 }

// fill adds the entries that a log has; a later one takes the place of an earlier one. It
// ends early with ctx.
func (t *table) fill(ctx context.Context, log *io.SectionReader) error {
	entries, entry := bufio.NewReader(log), make([]byte, t.width)
	for range log.Size() / int64(t.width) {
		if _, err := io.ReadFull(entries, entry); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := t.put(identity(entry[:idBytes]), entry[idBytes:]); err != nil {
			return err
		}
	}
	return nil
}

func (t *table) close() error {
	err := t.file.Close()
	os.Remove(t.file.Name())
	return err
}

// get returns the value of the identity, and whether it is in the table.
func (t *table) get(id identity) (value []byte, found bool, err error) {
	slot, found, err := t.find(id)
	if err != nil || !found {
		return nil, false, err
	}
	at := int(slot - t.at)
	return t.bucket[at+idBytes : at+t.width], true, nil
}

// put adds the entry, or gives the identity another value.
func (t *table) put(id identity, value []byte) error {
	slot, found, err := t.find(id)
	if err != nil {
		return err
	}
	entry := t.bucket[slot-t.at:][:t.width]
	copy(entry, id[:])
	copy(entry[idBytes:], value)
	if _, err := t.file.WriteAt(entry, slot); err != nil {
		t.at = -1
		return err
	}
	if found {
		return nil
	}
	t.used++
	if t.used > t.room() {
		return t.grow()
	}
	return nil
}

// find returns where in the file the identity is, or else where to put it. Its bucket is
// then in t.bucket.
func (t *table) find(id identity) (slot int64, found bool, err error) {
	for i := t.home(id); ; i++ {
		start := t.base + int64(i&(t.buckets-1))*int64(len(t.bucket))
		if err := t.readBucket(start); err != nil {
			return 0, false, err
		}
		for at := 0; at < len(t.bucket); at += t.width {
			switch identity(t.bucket[at : at+idBytes]) {
			case id:
				return start + int64(at), true, nil
			case identity{}:
				return start + int64(at), false, nil
			}
		}
	}
}

// home is the number of the bucket that the identity belongs to.
func (t *table) home(id identity) uint64 { return binary.BigEndian.Uint64(id[:8]) & (t.buckets - 1) }

// readBucket reads the bucket at start, unless it is the last one that was read.
func (t *table) readBucket(start int64) error {
	if t.at == start {
		return nil
	}
	t.at = -1
	n, err := t.file.ReadAt(t.bucket, start)
	if err := neverWritten(t.bucket[n:], err); err != nil {
		return err
	}
	t.at = start
	return nil
}

// neverWritten takes what is behind the end of the file, where reading it ended, for free.
func neverWritten(rest []byte, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		clear(rest)
		return nil
	}
	return err
}

// growBuffer is how much of a table is read, and of each half of the new one written, at once.
const growBuffer = 64 << 10

// grow moves all entries to a table of twice the size. Those of a bucket belong to the one
// of the same number now, or to the one as far behind the old number of buckets, so both
// halves are written from their first bucket to their last.
func (t *table) grow() error {
	n, size := t.buckets, int64(len(t.bucket))
	from := bufio.NewReaderSize(io.NewSectionReader(t.file, t.base, int64(n)*size), growBuffer)
	t.base, t.buckets, t.used, t.at = t.base+int64(n)*size, 2*n, 0, -1
	var halves [2]*bufio.Writer
	for i := range halves {
		halves[i] = bufio.NewWriterSize(io.NewOffsetWriter(t.file, t.base+int64(i)*int64(n)*size), growBuffer)
	}
	buckets := [2][]byte{make([]byte, 0, size), make([]byte, 0, size)}
	var displaced []byte // entries whose buckets were full
	for i := range n {
		read, err := io.ReadFull(from, t.bucket)
		if err := neverWritten(t.bucket[read:], err); err != nil {
			return err
		}
		for entry := range slices.Chunk(t.bucket, t.width) {
			id := identity(entry)
			switch home := t.home(id); {
			case id == identity{}:
			case home%n != i:
				displaced = append(displaced, entry...)
			default:
				buckets[home/n] = append(buckets[home/n], entry...)
				t.used++
			}
		}
		for half, entries := range buckets {
			clear(entries[len(entries):size])
			if _, err := halves[half].Write(entries[:size]); err != nil {
				return err
			}
			buckets[half] = entries[:0]
		}
	}
	if err := errors.Join(halves[0].Flush(), halves[1].Flush()); err != nil {
		return err
	}
	for entry := range slices.Chunk(displaced, t.width) {
		if err := t.put(identity(entry), entry[idBytes:]); err != nil {
			return err
		}
	}
	return nil
}

// Profiles is the set of the profiles that were listed. Segment sorts the list by recent
// activity: while it is read, profiles move to its head and push others onto the next
// page, where they are listed again. It has one user at a time.
type Profiles struct {
	table *table
	hash  string
}

// Add reports whether the profile was not in the set yet.
func (p *Profiles) Add(segmentID string) (bool, error) {
	id := identityOf(p.hash, segmentID)
	_, found, err := p.table.get(id)
	if err != nil || found {
		return false, err
	}
	return true, p.table.put(id, nil)
}

// Has reports whether the profile is in the set.
func (p *Profiles) Has(segmentID string) (bool, error) {
	_, found, err := p.table.get(identityOf(p.hash, segmentID))
	return found, err
}

// Len returns the number of profiles in the set.
func (p *Profiles) Len() int { return int(p.table.used) }

// Close removes the set; the journal keeps what it is made from.
func (p *Profiles) Close() error { return p.table.close() }

// Sources says for each source_id with which profile it was sent last. It has one user at
// a time.
type Sources struct {
	table *table
	hash  string
}

// Sender says who sent a source_id last.
type Sender int

const (
	Nobody  Sender = iota
	Itself         // the profile that is asked about
	Another        // another profile
	Someone        // it is not known who: an import that version 1 began
)

// Sender returns which profile the source_id was sent with last.
func (s *Sources) Sender(sourceID, segmentID string) (Sender, error) {
	by, found, err := s.table.get(identityOf(s.hash, sourceID))
	switch {
	case err != nil || !found:
		return Nobody, err
	case identity(by) == identity{}:
		return Someone, nil
	case identity(by) == identityOf(s.hash, segmentID):
		return Itself, nil
	}
	return Another, nil
}

// Claim notes that the source_id is sent with the profile.
func (s *Sources) Claim(sourceID, segmentID string) error {
	by := identityOf(s.hash, segmentID)
	return s.table.put(identityOf(s.hash, sourceID), by[:])
}

// Close removes the table; the journal keeps what it is made from.
func (s *Sources) Close() error { return s.table.close() }
