package sandbox

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// listing is the order of the profile list, which changes when profiles
// become active.
type listing struct {
	start    time.Time
	profiles int
	offset   time.Duration // as Options.ClockOffset

	mu      sync.Mutex
	order   []int32             // indexes in list order; nil: 0, 1, 2, ...
	touched map[int32]time.Time // updated_at of profiles that became active
}

func newListing(o Options) *listing {
	l := &listing{start: time.Now().UTC().Add(o.ClockOffset), profiles: o.Profiles, offset: o.ClockOffset, touched: map[int32]time.Time{}}
	if o.Order == Shuffled {
		l.fill()
		r := rand.New(rand.NewPCG(o.Seed, 2))
		r.Shuffle(len(l.order), func(i, j int) { l.order[i], l.order[j] = l.order[j], l.order[i] })
	}
	return l
}

// fill writes the order down.
func (l *listing) fill() {
	l.order = make([]int32, l.profiles)
	for i := range l.order {
		l.order[i] = int32(i)
	}
}

// listed is one line of the list.
type listed struct {
	index            int
	created, updated time.Time
}

// page returns up to limit lines from offset.
func (l *listing) page(offset, limit int) []listed {
	l.mu.Lock()
	defer l.mu.Unlock()
	offset = min(offset, l.profiles)
	lines := make([]listed, min(limit, l.profiles-offset))
	for k := range lines {
		i := int32(offset + k)
		if l.order != nil {
			i = l.order[offset+k]
		}
		created, updated := l.times(i)
		lines[k] = listed{int(i), created, updated}
	}
	return lines
}

// times returns created_at and updated_at of profile i. l.mu must be held.
func (l *listing) times(i int32) (created, updated time.Time) {
	base := l.start.Add(-time.Hour - time.Duration(i)*time.Second)
	created = base.AddDate(0, 0, -1-int(i)%500)
	if t, ok := l.touched[i]; ok {
		return created, t
	}
	return created, base
}

// line returns the line of profile i.
func (l *listing) line(i int) listed {
	l.mu.Lock()
	defer l.mu.Unlock()
	created, updated := l.times(int32(i))
	return listed{i, created, updated}
}

// touch makes profile i active now.
func (l *listing) touch(i int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.order == nil {
		l.fill()
	}
	at := slices.Index(l.order, int32(i))
	copy(l.order[1:at+1], l.order[:at])
	l.order[0] = int32(i)
	l.touched[int32(i)] = time.Now().UTC().Add(l.offset)
}

// Touch makes a profile active now: its updated_at is the present and it
// moves to the front of the list. An unknown id is ignored.
func (s *Sandbox) Touch(segmentID string) {
	if i, ok := s.space.bySegmentID(segmentID); ok {
		s.list.touch(i)
	}
}

// stir makes random profiles active, Options.Activity on average.
func (s *Sandbox) stir() {
	if s.o.Profiles == 0 {
		return
	}
	for left := s.o.Activity; left > 0; left-- {
		if left >= 1 || s.draw() < left {
			s.list.touch(int(s.draw() * float64(s.o.Profiles)))
		}
	}
}
