package importer

// seen is a set of the hashes of the profiles that were listed. Segment sorts the list by
// recent activity: while it is read, profiles move to its head and push others onto the
// next page, where they are listed again.
//
// A space may have millions of profiles, so it is a table of the bare hashes, at most
// seven eighths full: 9 to 18 bytes a profile.
type seen struct {
	slots []uint64 // a power of two of them; 0 is empty. A hash is at its place or after it
	used  int
	zero  bool // the hash 0 is in the set
}

// leastSlots is for a page of profiles.
const leastSlots = 256

// newSeen returns an empty set with room for n hashes.
func newSeen(n int) *seen {
	size := leastSlots
	for size*7/8 < n {
		size *= 2
	}
	return &seen{slots: make([]uint64, size)}
}

// has reports whether the hash is in the set; a nil set is empty.
func (s *seen) has(hash uint64) bool {
	if s == nil {
		return false
	}
	if hash == 0 {
		return s.zero
	}
	return s.slots[s.find(hash)] == hash
}

// add reports whether the hash was not there yet.
func (s *seen) add(hash uint64) bool {
	if hash == 0 {
		added := !s.zero
		s.zero = true
		return added
	}
	i := s.find(hash)
	if s.slots[i] == hash {
		return false
	}
	s.slots[i] = hash
	s.used++
	if s.used > len(s.slots)*7/8 {
		s.grow()
	}
	return true
}

// find returns the slot that has the hash, or the one to put it into.
func (s *seen) find(hash uint64) int {
	i := int(hash) & (len(s.slots) - 1)
	for s.slots[i] != 0 && s.slots[i] != hash {
		i = (i + 1) & (len(s.slots) - 1)
	}
	return i
}

func (s *seen) grow() {
	old := s.slots
	s.slots = make([]uint64, 2*len(old))
	for _, hash := range old {
		if hash != 0 {
			s.slots[s.find(hash)] = hash
		}
	}
}
