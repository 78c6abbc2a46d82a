package importer

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
)

// seen is a set of hashes: of the profiles that were listed, or of the source ids that were
// sent. Segment sorts the list by recent activity: while it is read, profiles move to its
// head and push others onto the next page, where they are listed again.
//
// A space may have millions of profiles, so the set is a hash table in a file, and memory
// does not grow with it. The table has buckets, at most three quarters full. A hash is in
// its bucket or, where that is full, in one after it; slots are filled from the first.
type seen struct {
	file    *os.File
	base    int64  // where the table is in the file: behind the smaller ones that it replaced
	buckets uint64 // a power of two of them
	used    uint64 // slots
	zero    bool   // the hash 0 is in the set: in the table, 0 is a free slot

	bucket [bucketSlots * slotBytes]byte // the last one that was read
}

const (
	slotBytes   = 8
	bucketSlots = 64
	bucketBytes = bucketSlots * slotBytes
)

// newSeen returns an empty set with room for n hashes, that keeps its table in a new file
// at path. Close removes the file.
func newSeen(path string, n int64) (*seen, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	os.Remove(path) // already now, where the system can: a killed process leaves nothing behind
	s := &seen{file: file, buckets: 1}
	for s.room() < uint64(n) {
		s.buckets *= 2
	}
	return s, nil
}

// room is how many hashes the table takes before it grows.
func (s *seen) room() uint64 { return s.buckets * bucketSlots * 3 / 4 }

// fill adds the hashes that a file has. It ends early with ctx.
func (s *seen) fill(ctx context.Context, file *io.SectionReader) error {
	hashes := bufio.NewReader(file)
	for range file.Size() / slotBytes {
		var hash [slotBytes]byte
		if _, err := io.ReadFull(hashes, hash[:]); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := s.add(binary.LittleEndian.Uint64(hash[:])); err != nil {
			return err
		}
	}
	return nil
}

func (s *seen) close() error {
	err := s.file.Close()
	os.Remove(s.file.Name())
	return err
}

// add reports whether the hash was not there yet.
func (s *seen) add(hash uint64) (bool, error) {
	if hash == 0 {
		added := !s.zero
		s.zero = true
		return added, nil
	}
	slot, found, err := s.find(hash)
	if err != nil || found {
		return false, err
	}
	if _, err := s.file.WriteAt(binary.LittleEndian.AppendUint64(nil, hash), slot); err != nil {
		return false, err
	}
	s.used++
	if s.used > s.room() {
		err = s.grow()
	}
	return true, err
}

// find returns where in the file the hash is, or else where to put it.
func (s *seen) find(hash uint64) (slot int64, found bool, err error) {
	for i := hash; ; i++ {
		start := s.base + int64(i&(s.buckets-1))*bucketBytes
		if err := s.readBucket(start); err != nil {
			return 0, false, err
		}
		for at := 0; at < bucketBytes; at += slotBytes {
			switch binary.LittleEndian.Uint64(s.bucket[at:]) {
			case hash:
				return start + int64(at), true, nil
			case 0:
				return start + int64(at), false, nil
			}
		}
	}
}

// readBucket reads the bucket at start. What was never written is free.
func (s *seen) readBucket(start int64) error {
	n, err := s.file.ReadAt(s.bucket[:], start)
	if errors.Is(err, io.EOF) {
		clear(s.bucket[n:])
		return nil
	}
	return err
}

// grow moves all hashes to a table of twice the size.
func (s *seen) grow() error {
	from, to := s.base, s.base+int64(s.buckets)*bucketBytes
	s.base, s.buckets, s.used = to, 2*s.buckets, 0
	for ; from < to; from += bucketBytes {
		if err := s.readBucket(from); err != nil {
			return err
		}
		old := s.bucket
		for at := 0; at < bucketBytes; at += slotBytes {
			if hash := binary.LittleEndian.Uint64(old[at:]); hash != 0 {
				if _, err := s.add(hash); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
