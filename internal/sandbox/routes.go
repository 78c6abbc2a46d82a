package sandbox

import (
	"net/http"
	"strings"
)

// The routes of both APIs.
const (
	routeList         = "list"          // GET .../profiles
	routeExternalIDs  = "external_ids"  // GET .../profiles/{id}/external_ids
	routeTraits       = "traits"        // GET .../profiles/{id}/traits
	routeBulk         = "bulk"          // POST /v1/customers/bulk/async
	routeActions      = "actions"       // GET /v1/async-actions
	routeAction       = "action"        // GET /v1/async-actions/{id}
	routeSchemas      = "schemas"       // GET /v1/metadata-schemas
	routeSchema       = "schema"        // GET /v1/metadata-schemas/{resource}
	routeCustomers    = "customers"     // GET /v1/customers
	routeUpsert       = "upsert"        // POST /v1/customers
	routeCustomer     = "customer"      // GET /v1/customers/{id or source_id}
	routeDelete       = "delete"        // DELETE /v1/customers/{id or source_id}
	routePermanent    = "permanent"     // POST /v1/customers/{id or source_id}/permanent-deletion
	routeExports      = "exports"       // POST /v1/exports
	routeExport       = "export"        // GET /v1/exports/{id}
	routeExportList   = "export_list"   // GET /v1/exports
	routeExportDelete = "export_delete" // DELETE /v1/exports/{id}
	routeDownload     = "download"      // GET /v1/exports/{id} of the download host
)

const bulkPath = "/v1/customers/bulk/async"

// routeOf returns the route of a request to either API, or "". path is
// escaped; last is what stands in it behind the last slash.
func routeOf(method, path string) (route, last string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path
	}
	parent, last := path[:i], path[i+1:]
	if strings.HasPrefix(path, segmentPrefix) {
		switch last {
		case "traits":
			return routeTraits, last
		case "external_ids":
			return routeExternalIDs, last
		case "profiles":
			return routeList, last
		}
		return "", last
	}
	if id, ok := strings.CutSuffix(strings.TrimPrefix(path, "/v1/customers/"), permanently); ok && method == http.MethodPost {
		return routePermanent, id
	}
	switch method + " " + path {
	case http.MethodPost + " " + bulkPath:
		return routeBulk, last
	case http.MethodPost + " /v1/customers":
		return routeUpsert, last
	case http.MethodPost + " /v1/exports":
		return routeExports, last
	case http.MethodGet + " /v1/customers":
		return routeCustomers, last
	case http.MethodGet + " /v1/exports":
		return routeExportList, last
	case http.MethodGet + " /v1/async-actions":
		return routeActions, last
	case http.MethodGet + " /v1/metadata-schemas":
		return routeSchemas, last
	}
	switch method + " " + parent {
	case http.MethodGet + " /v1/async-actions":
		return routeAction, last
	case http.MethodGet + " /v1/metadata-schemas":
		return routeSchema, last
	case http.MethodGet + " /v1/customers":
		return routeCustomer, last
	case http.MethodDelete + " /v1/customers":
		return routeDelete, last
	case http.MethodGet + " /v1/exports":
		return routeExport, last
	case http.MethodDelete + " /v1/exports":
		return routeExportDelete, last
	}
	return "", last
}
