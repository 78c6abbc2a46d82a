package profileapi

import (
	"context"
	"log/slog"
	"strconv"

	"segsync/segmentprofiles"
)

// maxCounted is more profiles than a space can have.
const maxCounted = 1e10

// CountProfiles estimates the number of profiles in the space to within one percent, by some
// twenty requests for single profiles. It returns 0 on any error, or if the cursors of the list are not
// offsets: they are documented as opaque.
func CountProfiles(ctx context.Context, segment *segmentprofiles.Client, log *slog.Logger) int {
	isPresent := func(offset int) (bool, error) {
		page, err := segment.Profiles(ctx, strconv.Itoa(offset), 1)
		if err != nil {
			log.Debug("counting the profiles", "offset", offset, "error", err)
			return false, err
		}
		return len(page.Data) > 0, nil
	}
	low, high := 0, 100 // there are profiles at low
	for {
		found, err := isPresent(high)
		if err != nil || high > maxCounted { // the list does not end
			return 0
		} else if !found {
			break
		}
		low, high = high, 2*high
	}
	for high-low > max(low/100, 1) {
		middle := low + (high-low)/2
		found, err := isPresent(middle)
		if err != nil {
			return 0
		}
		if found {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}
