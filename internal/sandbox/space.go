package sandbox

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// space computes the profiles of the Segment space. A profile is known by its
// index, from 0; everything about it follows from the seed and the index.
type space struct {
	seed       uint64
	profiles   int
	plain      bool
	idForm     IDForm
	identified float64  // as in Options, 0 replaced
	cycle      []shape  // the shape of profile i is cycle[i%len(cycle)]
	deleted    sync.Map // indexes, by Sandbox.Delete
	plainSlot  int      // a place in cycle that has the plain shape
}

func newSpace(o Options) *space {
	s := &space{seed: o.Seed, profiles: o.Profiles, plain: o.Plain, idForm: o.IDForm, identified: o.Identified, cycle: mixedShapes()}
	if o.Clean {
		s.cycle = cleanShapes()
	}
	if o.Plain {
		s.cycle = []shape{plain}
		if s.identified == 0 {
			s.identified = 1
		}
	}
	r := rand.New(rand.NewPCG(o.Seed, 1))
	r.Shuffle(len(s.cycle), func(i, j int) { s.cycle[i], s.cycle[j] = s.cycle[j], s.cycle[i] })
	s.plainSlot = slices.Index(s.cycle, plain)
	return s
}

// shape returns the shape of profile i.
func (s *space) shape(i int) shape {
	sh := s.cycle[i%len(s.cycle)]
	if sh == anonymous && s.identified > 0 && s.hasUserID(i) {
		return plain
	}
	return sh
}

// hasUserID reports whether profile i has an identifier.
func (s *space) hasUserID(i int) bool {
	switch {
	case s.identified == 0: // the default mix
		return s.cycle[i%len(s.cycle)] != anonymous
	case s.identified < 0:
		return false
	case s.identified >= 1:
		return true
	case s.plain: // spread evenly, so that the share is exact
		return int(float64(i+1)*s.identified) > int(float64(i)*s.identified)
	default:
		return fraction(mix(s.seed, uint64(i), 0x1dea)) < s.identified
	}
}

func (s *space) segmentID(i int) string { return token("use_", s.seed, i) }

// bySegmentID returns the index of the profile with this id.
func (s *space) bySegmentID(id string) (int, bool) {
	i, ok := parseToken("use_", s.seed, id)
	return i, ok && i < s.profiles
}

// lookUp returns the index of the profile that an identifier such as
// "segment_id:use_..." or "user_id:..." names. A vanished profile is not found.
func (s *space) lookUp(identifier string) (int, bool) {
	typ, value, typed := strings.Cut(identifier, ":")
	i, ok := 0, false
	switch {
	case !typed && s.idForm != TypedForm:
		i, ok = s.bySegmentID(identifier)
	case typ == "segment_id" && s.idForm != BareForm:
		i, ok = s.bySegmentID(value)
	case typ != "segment_id":
		i, ok = s.byExternalID(typ, value)
	}
	return i, ok && !s.vanished(i)
}

// vanished reports whether the reads of profile i answer 404.
func (s *space) vanished(i int) bool {
	_, deleted := s.deleted.Load(i)
	return deleted || s.shape(i) == vanished
}

// byExternalID finds the profile by the index that the first digits of every
// id hold.
func (s *space) byExternalID(typ, value string) (int, bool) {
	start := strings.IndexAny(value, "0123456789")
	if start < 0 {
		return 0, false
	}
	digits := value[start:]
	if end := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		digits = digits[:end]
	}
	i, err := strconv.Atoi(digits)
	if err != nil || i >= s.profiles {
		return 0, false
	}
	return i, slices.ContainsFunc(s.externalIDs(i), func(id externalID) bool {
		return id.typ == typ && id.value == value
	})
}

// externalID is one external id of a profile.
type externalID struct {
	typ, value string
	created    time.Time
}

// userID is the first user_id of profile i: merged profiles share that of a
// plain one.
func (s *space) userID(i int) string {
	if s.shape(i) == merged {
		if twin := i - i%len(s.cycle) + s.plainSlot; twin < s.profiles && s.hasUserID(twin) {
			i = twin
		}
	}
	return "user-" + padded(i)
}

// externalIDs returns the ids of profile i in the order in which the API gives
// them, which is not by time.
func (s *space) externalIDs(i int) []externalID {
	n := padded(i)
	// Below a day, so that nine days more are always newer.
	at := func(k int) time.Time {
		h := mix(s.seed, uint64(i), uint64(k))
		day := time.Date(2023, 1, 1+i%300, 0, 0, 0, 0, time.UTC)
		return day.Add(time.Duration(h%80_000_000_000) * time.Microsecond)
	}
	anonymousID := externalID{"anonymous_id", "anon-" + n, at(0)}
	if !s.hasUserID(i) {
		return []externalID{anonymousID}
	}
	email := externalID{"email", "ada." + n + "@example.com", at(1)}
	user := externalID{"user_id", s.userID(i), at(2)}
	ids := []externalID{anonymousID, user, email}
	numbered := func(typ, prefix string, k int, created time.Time) externalID {
		return externalID{typ, fmt.Sprintf("%s-%s-%02d", prefix, n, k), created}
	}
	switch s.shape(i) {
	case severalIDs: // the newest stands in the middle
		return append(ids,
			numbered("user_id", "user", 1, at(2).AddDate(0, 0, 9)),
			numbered("user_id", "user", 2, at(2).AddDate(0, 0, -9)))
	case tiedIDs: // two newest ones; the smaller id stands last
		newest := at(2).AddDate(0, 0, 9)
		return append(ids,
			numbered("user_id", "user", 2, newest),
			numbered("user_id", "user", 1, newest))
	case hiddenID: // the only user_id stands on the second page of 25
		hidden := make([]externalID, 0, 32)
		for k := range 29 {
			hidden = append(hidden, numbered("anonymous_id", "anon", k, at(3+k)))
		}
		return append(hidden, ids...)
	case manyIDs:
		for k := range 56 {
			ids = append(ids, numbered("user_id", "user", k, at(3+k)))
		}
		// The newest stands on the third page of 25.
		ids = append(ids, numbered("user_id", "user", 56, at(60).AddDate(0, 0, 9)))
		return append(ids, numbered("user_id", "user", 57, at(61)))
	}
	return ids
}

// sourceID is the identifier that an importer must choose for profile i: the
// newest user_id, of equally new ones the smallest.
func (s *space) sourceID(i int) string {
	var best externalID
	for _, id := range s.externalIDs(i) {
		if id.typ != "user_id" {
			continue
		}
		if order := id.created.Compare(best.created); best.value == "" || order > 0 || order == 0 && id.value < best.value {
			best = id
		}
	}
	return best.value
}

// padded writes an index as the ids have it.
func padded(i int) string {
	s := strconv.Itoa(i)
	return "0000000"[:max(0, 7-len(s))] + s
}
