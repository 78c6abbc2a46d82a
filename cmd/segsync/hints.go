package main

import (
	"errors"
	"net/http"
	"strings"

	"segsync/importer"
	"segsync/importer/journal"
	"segsync/internal/httpretry"
	"segsync/profilessync"
	"segsync/segmentprofiles"
	"segsync/voucherify"
)

// hintOf returns the advice on this error alone, or "".
func hintOf(err error) string {
	if errors.Is(err, importer.ErrUndated) && errors.Unwrap(err) == nil {
		return "import everything: leave out --since"
	}
	switch e := err.(type) {
	case interface{ Hint() string }:
		return e.Hint()
	case *httpretry.WaitError:
		return "continue after that time, or wait longer with --max-wait"
	case *httpretry.OutageError:
		if e.Never {
			return "is the network up, and is " + strings.ToUpper(e.API) + "_API_URL right?"
		}
		return "continue later, or retry longer with --retry-for"
	case *httpretry.TimeoutError:
		return "Voucherify takes requests and does not answer them; continue later"
	case *importer.GoneError:
		return "is SEGMENT_API_URL right, and does Segment answer for a profile in its app?"
	case *importer.UnreadableError:
		return "Segment has a problem; continue later"
	case *importer.RefusedError:
		return "look at Voucherify's words: it refuses more than single customers; then continue"
	case *importer.EndlessListError, *segmentprofiles.EndError, *segmentprofiles.CursorError:
		return "the profile list is not what Segment documents; continue later, or import the profiles of a list with --profiles-from"
	case *importer.TooManyRejectsError:
		return "look at the reasons in the file of profiles that were not imported; then continue with a larger --max-rejects"
	case *importer.ExportError:
		return "try again later, or take an export of the customers in Voucherify and give it to segsync plan --existing"
	case *httpretry.StatusError:
		return downloadHint(e)
	case *importer.ClearsError:
		return "is the source complete? segsync plan shows what would be cleared; if that is right, continue with a larger --max-clears"
	case *journal.DamagedError:
		if e.Newer {
			return "use that segsync, or start anew with --restart, which keeps the state as a .bak file"
		}
		return "put the file back, or start anew with --restart, which keeps the state as a .bak file"
	case *profilessync.FileError:
		return fileHint(e)
	case *profilessync.Error:
		return warehouseHint(e)
	case *segmentprofiles.Error:
		return segmentHint(e)
	case *voucherify.Error:
		return voucherifyHint(e)
	case *voucherify.ForeignAnswerError:
		return "is VOUCHERIFY_API_URL right?"
	}
	return ""
}

func downloadHint(e *httpretry.StatusError) string {
	if e.Status >= 300 && e.Status < 400 {
		return "redirects are not followed; segsync plan --existing takes an export that was downloaded in Voucherify"
	}
	return "the link of the export may be no longer valid: try again; segsync plan --existing takes an export that was downloaded in Voucherify"
}

func segmentHint(e *segmentprofiles.Error) string {
	switch {
	case e.Status >= 300 && e.Status < 400:
		return "redirects are not followed; check SEGMENT_API_URL"
	case e.Status == http.StatusBadRequest && e.Route == segmentprofiles.RouteTraits:
		return "the API may take fewer traits per request: try SEGMENT_TRAITS_LIMIT=100"
	case e.Status == http.StatusUnauthorized:
		return "SEGMENT_ACCESS_TOKEN is wrong, or SEGMENT_API_URL is another region's than the workspace's " +
			"(in the EU https://profiles.euw1.segment.com); tokens are made in Unify > Unify settings > API access"
	case e.Status == http.StatusForbidden:
		return "the access token may not read this space; make one for it in Unify > Unify settings > API access"
	case e.Status == http.StatusNotFound && e.Route == segmentprofiles.RouteList:
		return "SEGMENT_SPACE_ID is wrong, or the space is in another region (SEGMENT_API_URL); " +
			"the id is shown in Unify > Unify settings > API access"
	case e.Status == http.StatusTooManyRequests:
		return "somebody else is using up the quota of this space; lower SEGMENT_RATE_LIMIT, or continue later"
	case e.Status >= 500:
		return "Segment has a problem; continue later"
	}
	return ""
}

func voucherifyHint(e *voucherify.Error) string {
	switch {
	case e.Status >= 300 && e.Status < 400:
		return "redirects are not followed; check VOUCHERIFY_API_URL"
	case e.Status == http.StatusUnauthorized:
		return "VOUCHERIFY_APPLICATION_ID or VOUCHERIFY_SECRET_KEY is wrong, or VOUCHERIFY_API_URL is another region's " +
			"than the project's (such as https://us1.api.voucherify.io); the keys are in Project Settings > Application Keys"
	case e.Status == http.StatusPaymentRequired:
		return "the plan of this Voucherify project does not include this; nothing more can be imported until it does"
	case e.Status == http.StatusForbidden:
		return "the application key may not do this: check its permissions and its list of allowed IP addresses " +
			"in Project Settings > Application Keys"
	case e.Status == http.StatusNotFound, e.Status == http.StatusMethodNotAllowed:
		return "check VOUCHERIFY_API_URL: it is the host alone, with no path"
	case e.QuotaUsedUp():
		return "the calls of this billing cycle are used up; continue in the next one, or raise the plan"
	case e.Status == http.StatusTooManyRequests:
		return "the project's quota is used up, or its subscription has ended: look in Project Settings, then continue later"
	case e.Status >= 500:
		return "Voucherify has a problem; continue later"
	}
	return ""
}
