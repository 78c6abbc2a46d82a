package importer

import (
	"context"
	"time"
)

// Profiles are read by as many readers as it takes to use the quota: rate × latency of
// them, neither of which is known here. So more are tried from time to time, and kept if
// more profiles are read with them.
const (
	maxReaders  = 256
	readersStep = 250 * time.Millisecond // how long a number of readers is tried at least
	readersLag  = 3                      // how many profiles each must have time for
	readersHold = 2 * time.Second        // how long to leave it when more did not help, at first
	longestHold = 32 * time.Second       // after doubling each time
	readersGain = 1.1                    // how much more must be read for more to be kept
)

// keepReaders keeps readers until all profiles are dispatched. start makes one, and one
// ends for each value sent on quit.
func (r *run) keepReaders(ctx context.Context, readers int, start func(), quit chan<- struct{}) {
	readers = min(readers, maxReaders)
	for range readers {
		start()
	}
	throughput := func(d time.Duration) (perSecond float64, goOn bool) {
		began, before := time.Now(), r.read.Load()
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			return float64(r.read.Load()-before) / time.Since(began).Seconds(), true
		case <-r.dispatched:
		case <-ctx.Done():
		}
		return 0, false
	}
	hold := readersHold
	best, goOn := throughput(readersStep)
	for goOn && readers < maxReaders {
		more := min(max(readers/2, 1), maxReaders-readers)
		for range more {
			start()
		}
		perProfile := time.Duration(float64(readers) / max(best, 1) * float64(time.Second))
		var reached float64
		if reached, goOn = throughput(min(max(readersStep, readersLag*perProfile), readersHold)); reached > best*readersGain {
			readers, best, hold = readers+more, reached, readersHold
			continue
		}
		for range more {
			select {
			case quit <- struct{}{}:
			case <-r.dispatched: // all of them end
				return
			case <-ctx.Done():
				return
			}
		}
		if goOn {
			best, goOn = throughput(hold)
			hold = min(2*hold, longestHold)
		}
	}
}
