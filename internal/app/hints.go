package app

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"segsync/importer/deletion"
	"segsync/importer/sink/plan"
	"segsync/importer/source"
	"segsync/importer/source/profileapi"

	"segsync/importer"
	"segsync/importer/journal"
	"segsync/internal/httpretry"
	"segsync/profilessync"
	"segsync/segmentprofiles"
	"segsync/voucherify"
)

// hintOf returns the advice on this error alone, or "".
func hintOf(err error) string {
	if errors.Is(err, profileapi.ErrUndated) && errors.Unwrap(err) == nil {
		return "import everything: leave out --since"
	}
	switch e := err.(type) {
	case interface{ Hint() string }:
		return e.Hint()
	case *httpretry.WaitError:
		if e.Quota == voucherify.BulkQuota {
			return "continue after that time, or wait longer with --max-wait. " + moreBulk
		}
		return "continue after that time, or wait longer with --max-wait"
	case *httpretry.OutageError:
		switch {
		case e.Status == http.StatusTooManyRequests && e.API == "Segment":
			return segmentHint(&segmentprofiles.Error{Status: e.Status})
		case e.Status == http.StatusTooManyRequests && e.API == "Voucherify":
			return voucherifyHint(&voucherify.Error{Status: e.Status})
		case e.Never && (e.API == "Segment" || e.API == "Voucherify"):
			return "is the network up, and is " + strings.ToUpper(e.API) + "_API_URL right?"
		}
		return "continue later, or retry longer with --retry-for"
	case *httpretry.TimeoutError:
		return "Voucherify takes requests and does not answer them; continue later"
	case *source.NoneReadableError:
		return "is SEGMENT_API_URL right, and does Segment answer for a profile in its app?"
	case *importer.UnreadableError:
		return "Segment has a problem; continue later"
	case *importer.RefusedError:
		return "Voucherify refuses every customer, not only some: read its last error, fix the cause, then continue"
	case *profileapi.EndlessListError, *segmentprofiles.EndError, *segmentprofiles.CursorError:
		return "the profile list is not what Segment documents; continue later, or import the profiles of a list with --profiles-from"
	case *deletion.UnknownProfilesError:
		return "are SEGMENT_SPACE_ID and SEGMENT_API_URL those of the import? A wrong space has none of the profiles, so all would seem to have left"
	case *deletion.RefusedError:
		return "may the application key delete customers?"
	case *importer.TooManyRejectsError:
		return "look at the reasons in the file of profiles that were not imported; then continue with a larger --max-rejects"
	case *plan.ExportError:
		return "try again later, or take an export of the customers in Voucherify and give it to segsync plan --existing"
	case *plan.ShortExportError:
		return "try again later; or take an export of the customers in Voucherify and give it to segsync plan --existing"
	case *httpretry.StatusError:
		return downloadHint(e)
	case *importer.ClearsError:
		return "is the source complete? segsync plan shows what would be cleared; if that is right, continue with a larger --max-clears"
	case *journal.DamagedError:
		if e.Newer {
			return "use that segsync, or start anew with --restart, which keeps the log in segsync-data/history"
		}
		return "put the file back, or start anew with --restart, which keeps the log in segsync-data/history"
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

// moreBulk says how to get along with the quota of bulk calls.
const moreBulk = "Voucherify's packages raise the calls a minute, not the bulk calls; with a larger VOUCHERIFY_BATCH_SIZE, fewer calls are needed"

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
	case e.Status == http.StatusTooManyRequests && e.LimitType == voucherify.BulkQuota:
		return "the project's quota of bulk calls is used up: continue later. " + moreBulk
	case e.Status == http.StatusTooManyRequests:
		return "the project's quota is used up, or its subscription has ended: look in Project Settings, then continue later"
	case e.Status >= 500:
		return "Voucherify has a problem; continue later"
	}
	return ""
}

// Hints returns the advice that the error and those it wraps have to give.
func Hints(err error) []string {
	var all []string
	if hint := hintOf(err); hint != "" {
		all = append(all, hint)
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			all = append(all, Hints(inner)...)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			all = append(all, Hints(inner)...)
		}
	}
	return slices.Compact(all) // an error and what it wraps may give the same advice
}

func fileHint(e *profilessync.FileError) string {
	switch {
	case e.Hint != "":
		return e.Hint
	case errors.Is(e, profilessync.ErrOtherFile):
		return "give the file that the import began with, or start anew with --restart"
	case errors.Is(e, profilessync.ErrReadOnce):
		return "start anew with --restart, or save it to a file, and import that"
	case e.Opening:
		return "docs/sources.md has the formats"
	}
	return "correct it there; what was imported before is kept, and lines after it may change. docs/sources.md has the formats"
}

// vendorRights are what a user of a warehouse needs, in the words of the vendor.
var vendorRights = map[string]string{
	"snowflake":  "the role needs USAGE on the warehouse, the database and the schema, and SELECT on user_traits and user_identifiers; nothing is written",
	"bigquery":   "the account needs the roles BigQuery Job User on the project and BigQuery Data Viewer on the dataset; nothing is written",
	"databricks": "the user needs USE CATALOG, USE SCHEMA and SELECT on user_traits and user_identifiers, and CAN USE of the SQL warehouse; nothing is written",
}

var vendorLogin = map[string]string{
	"snowflake":  "set SNOWFLAKE_PRIVATE_KEY_FILE, whose public key the user of SEGSYNC_WAREHOUSE_URL has (ALTER USER … SET RSA_PUBLIC_KEY), or SNOWFLAKE_TOKEN",
	"bigquery":   "set GOOGLE_APPLICATION_CREDENTIALS to the file with the key of a service account, or GOOGLE_OAUTH_ACCESS_TOKEN",
	"databricks": "set DATABRICKS_TOKEN, or DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET of a service principal",
}

func warehouseHint(e *profilessync.Error) string {
	switch {
	case vendorRights[e.Vendor] == "":
	case e.Problem == profilessync.PermissionDenied, e.Problem == profilessync.MissingTable:
		return vendorRights[e.Vendor]
	case e.Problem == profilessync.LoginRefused:
		return vendorLogin[e.Vendor]
	}
	switch e.Problem {
	case profilessync.InvalidURL:
		return "see SEGSYNC_WAREHOUSE_URL in .env-example"
	case profilessync.Unreachable:
		return "is the server up, and are host and port in SEGSYNC_WAREHOUSE_URL right?"
	case profilessync.TLSFailed:
		return "sslmode in SEGSYNC_WAREHOUSE_URL says how TLS is used: require takes any certificate, verify-full with sslrootcert=FILE " +
			"one of that authority, disable does without TLS"
	case profilessync.WrongPassword:
		return "check user and password in SEGSYNC_WAREHOUSE_URL; special characters are percent-encoded, such as %40 for @"
	case profilessync.LoginRefused:
		return "check user and password in SEGSYNC_WAREHOUSE_URL; or the server refuses this address, or wants TLS, which sslmode=disable prevents"
	case profilessync.UnknownDatabase:
		return "check the end of SEGSYNC_WAREHOUSE_URL: /DATABASE"
	case profilessync.UnknownSchema:
		return "check SEGSYNC_WAREHOUSE_SCHEMA; Segment shows it in Unify > Profiles Sync"
	case profilessync.MissingTable, profilessync.MissingColumn:
		return "is SEGSYNC_WAREHOUSE_SCHEMA the one of Profiles Sync, and are user_traits and user_identifiers among its selected tables?"
	case profilessync.NoTimes:
		return "import everything: leave out --since"
	case profilessync.PermissionDenied:
		return "the user needs USAGE of the schema, and SELECT of user_traits and user_identifiers"
	case profilessync.ConnectionLost:
		return "continue when the warehouse is reachable again; the import resumes where it stopped"
	}
	return ""
}
