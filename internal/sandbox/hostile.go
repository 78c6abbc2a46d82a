package sandbox

import "net/http"

// Hostile is a server that means harm on one route, see Hostiles.
type Hostile struct {
	Name    string
	Route   string // list, external_ids, traits, bulk, actions, action, schema, customer, exports, export or download
	Handler http.HandlerFunc
}
