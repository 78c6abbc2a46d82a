package importer

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"segsync/segmentprofiles"
)

// countAfter is how many profiles are read before those that are left are counted: in a
// small space the requests are better spent on reading.
const countAfter = 2000

// countMost is more profiles than any space has.
const countMost = 1e10

// Count estimates the number of profiles in the space while they are imported, to within
// one percent. It is 0 as long as the import has not read enough for it to be worth the
// requests, or if they cannot be counted.
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
	return CountProfiles(ctx, im.segment, at, im.log)
}

// CountProfiles estimates the number of profiles in the space, of which there are at least
// so many, to within one percent, by some twenty requests for single profiles. It is 0 if
// they cannot be counted: the list's cursors are documented as opaque, and happen to be
// offsets. It is for people only: no error of it matters.
func CountProfiles(ctx context.Context, segment *segmentprofiles.Client, atLeast int, log *slog.Logger) int {
	anyAt := func(offset int) (bool, error) {
		page, err := segment.Profiles(ctx, strconv.Itoa(offset), 1)
		if err != nil {
			log.Debug("counting the profiles", "offset", offset, "error", err)
			return false, err
		}
		return len(page.Data) > 0, nil
	}
	low, high := atLeast, max(2*atLeast, 100) // there are profiles at low
	for {
		there, err := anyAt(high)
		if err != nil || high > countMost { // a list that answers whatever is asked for
			return 0
		} else if !there {
			break
		}
		low, high = high, 2*high
	}
	for high-low > max(low/100, 1) {
		middle := low + (high-low)/2
		there, err := anyAt(middle)
		if err != nil {
			return 0
		}
		if there {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}
