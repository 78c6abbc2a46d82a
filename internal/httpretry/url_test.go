package httpretry_test

import (
	"strings"
	"testing"

	"segsync/internal/httpretry"
)

func TestParseBaseURL(t *testing.T) {
	for raw, want := range map[string]string{
		"https://api.example.com":           "https://api.example.com",
		"https://api.example.com/":          "https://api.example.com",
		"https://api.example.com//":         "https://api.example.com",
		"https://api.example.com/proxy/v0/": "https://api.example.com/proxy/v0",
		"HTTPS://api.example.com:8443":      "https://api.example.com:8443",
		"http://127.0.0.1:41234":            "http://127.0.0.1:41234",
		"http://[::1]:41234/":               "http://[::1]:41234",
		"http://localhost":                  "http://localhost",
		"http://LOCALHOST:8080":             "http://localhost:8080",
		"https://API.Example.COM/V1":        "https://api.example.com/V1",
	} {
		u, err := httpretry.ParseBaseURL(raw)
		if err != nil {
			t.Errorf("ParseBaseURL(%q): %v", raw, err)
		} else if u.String() != want {
			t.Errorf("ParseBaseURL(%q) = %q, want %q", raw, u, want)
		}
	}
}

func TestParseBaseURLRefuses(t *testing.T) {
	for raw, want := range map[string]string{
		"":                                "is not a URL",
		"api.example.com":                 "is not a URL",
		"api.example.com:443":             "is not a URL",
		"/v1":                             "is not a URL",
		"https://":                        "is not a URL",
		"https://:443":                    "is not a URL",
		"https:api.example.com":           "is not a URL",
		"https://api.example.com:port":    "is not a URL",
		"https://api\x1b.example.com":     "is not a URL",
		"https://api.example.com?a=b":     "no user, query or fragment",
		"https://api.example.com?":        "no user, query or fragment",
		"https://api.example.com/#x":      "no user, query or fragment",
		"https://canary@api.example.com":  "no user, query or fragment",
		"https://u:canary@127.0.0.1":      "no user, query or fragment",
		"http://api.example.com":          "must begin with https://",
		"http://10.0.0.1":                 "must begin with https://",
		"http://127.0.0.1.example.com":    "must begin with https://",
		"http://localhost.example.com":    "must begin with https://",
		"http://[::1%25eth0]":             "must begin with https://",
		"ftp://127.0.0.1":                 "must begin with https://",
		"file://localhost/etc/passwd":     "must begin with https://",
		"https://u:canary@exa mple.com":   "no user, query or fragment",
		"https://u:canary@example.com:x/": "no user, query or fragment",
	} {
		u, err := httpretry.ParseBaseURL(raw)
		if err == nil {
			t.Errorf("ParseBaseURL(%q) = %q, want an error", raw, u)
			continue
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("ParseBaseURL(%q): %q, want the words %q", raw, err, want)
		}
		if strings.Contains(err.Error(), "canary") {
			t.Errorf("ParseBaseURL(%q) shows the password: %q", raw, err)
		}
		if strings.Contains(err.Error(), "\x1b") {
			t.Errorf("ParseBaseURL(%q) shows a control character: %q", raw, err)
		}
	}
}
