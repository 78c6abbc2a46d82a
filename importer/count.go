package importer

import (
	"context"
	"strconv"
	"time"
)

// countAfter is how many profiles are read before those that are left are counted: in a
// small space the requests are better spent on reading.
const countAfter = 2000

// countMost is more profiles than any space has.
const countMost = 1e10

// Count estimates the number of profiles in the space, to within one percent. It is 0 as
// long as the import has not read enough for it to be worth the requests, some twenty, or
// if the list's cursors are no numbers. It is for people only: no error of it matters.
func (im *Importer) Count(ctx context.Context) int {
	if im.settings.From != nil || im.settings.Profiles != nil || !im.State().Since.IsZero() {
		return 0
	}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	at, err := 0, error(nil)
	for im.ProfilesRead() < countAfter || at <= 0 {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return 0
		}
		if at, err = strconv.Atoi(im.State().Position.Offset); err != nil {
			return 0
		}
	}
	low, high := at, 2*at // there are profiles at low
	for there := true; there; {
		if high > countMost {
			return 0 // a list that answers whatever is asked for
		}
		if there, err = im.anyAt(ctx, high); err != nil {
			return 0
		} else if there {
			low, high = high, 2*high
		}
	}
	for high-low > max(low/100, 1) {
		middle := low + (high-low)/2
		there, err := im.anyAt(ctx, middle)
		switch {
		case err != nil:
			return 0
		case there:
			low = middle
		default:
			high = middle
		}
	}
	return high
}

// anyAt reports whether the list has a profile at the offset.
func (im *Importer) anyAt(ctx context.Context, offset int) (bool, error) {
	page, err := im.segment.Profiles(ctx, strconv.Itoa(offset), 1)
	if err != nil {
		im.log.Debug("counting the profiles", "offset", offset, "error", err)
		return false, err
	}
	return len(page.Data) > 0, nil
}
