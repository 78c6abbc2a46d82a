package httpretry

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// ParseBaseURL parses the base URL of an API: https, or http to a loopback
// address, because every request carries a secret. It has no user, query or
// fragment; a slash at its end is dropped, and the host is lower-cased.
func ParseBaseURL(raw string) (*url.URL, error) {
	// Its user and query may be secrets: what has them is not quoted.
	if strings.ContainsAny(raw, "@?#") {
		return nil, errors.New("the URL must have no user, query or fragment")
	}
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" {
		return nil, fmt.Errorf("%q is not a URL such as https://api.example.com", raw)
	}
	u.Host = strings.ToLower(u.Host) // Go's proxy settings know only "localhost"
	if !isSafe(u) {
		return nil, fmt.Errorf("%q must begin with https:// (plain http would show the secrets; it is for loopback only)", raw)
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = ""
	return u, nil
}

// isSafe reports whether a secret may be sent to u.
func isSafe(u *url.URL) bool {
	return u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname())
}

// isLoopback goes no further than Go's proxy settings, which make an exception of loopback
// only for "localhost" and for addresses without a zone.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Zone() == "" && addr.IsLoopback()
}
