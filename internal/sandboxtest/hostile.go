package sandboxtest

import (
	"compress/gzip"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Hostile is a server that means harm on one route. It needs a server on loopback, see
// sandbox.Sandbox.Listen.
type Hostile struct {
	Name    string
	Route   string // a key of hostileRoutes
	Handler http.HandlerFunc
}

// hostileRoutes are the requests of an import, as "METHOD /path".
var hostileRoutes = map[string]*regexp.Regexp{
	routeList:        regexp.MustCompile(`^GET /v1/spaces/.*/profiles$`),
	routeExternalIDs: regexp.MustCompile(`^GET /v1/spaces/.*/external_ids$`),
	routeTraits:      regexp.MustCompile(`^GET /v1/spaces/.*/traits$`),
	routeBulk:        regexp.MustCompile(`^POST /v1/customers/bulk/async$`),
	routeActions:     regexp.MustCompile(`^GET /v1/async-actions$`),
	routeAction:      regexp.MustCompile(`^GET /v1/async-actions/.`),
	routeSchema:      regexp.MustCompile(`^GET /v1/metadata-schemas/.`),
}

const (
	routeList        = "list"
	routeExternalIDs = "external_ids"
	routeTraits      = "traits"
	routeBulk        = "bulk"
	routeActions     = "actions"
	routeAction      = "action"
	routeSchema      = "schema"
)

// Intercept answers the requests of the server's route, as sandbox.Options.Intercept does.
func (h Hostile) Intercept(w http.ResponseWriter, r *http.Request) bool {
	if !h.Answers(r) {
		return false
	}
	h.Handler(w, r)
	return true
}

// Answers reports whether r is of the server's route.
func (h Hostile) Answers(r *http.Request) bool {
	return hostileRoutes[h.Route].MatchString(r.Method + " " + r.URL.EscapedPath())
}

// Hostiles returns all hostile servers: the general kinds on each route, then
// those of one route. Some of them echo the secrets.
func Hostiles(secrets []string) []Hostile {
	var all []Hostile
	for _, route := range slices.Sorted(maps.Keys(hostileRoutes)) {
		for _, list := range [][]Hostile{hostileProtocols(), hostileBodies(), hostileEchoes(secrets)} {
			for _, h := range list {
				h.Route = route
				all = append(all, h)
			}
		}
	}
	return append(all, hostileRouteAnswers()...)
}

// hostileProtocols are hostile below the body.
func hostileProtocols() []Hostile {
	return []Hostile{
		{Name: "101 and silence", Handler: hijack(func(ctx context.Context, c net.Conn) {
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: silence\r\n\r\n")
			<-ctx.Done()
		})},
		{Name: "no answer", Handler: hijack(func(ctx context.Context, _ net.Conn) { <-ctx.Done() })},
		{Name: "9 MB reason phrase", Handler: hijack(func(_ context.Context, c net.Conn) {
			io.WriteString(c, "HTTP/1.1 400 ")
			repeat(c, "reason ", 9<<20)
			io.WriteString(c, "\r\nContent-Length: 2\r\n\r\n{}")
		})},
		{Name: "64 MB header", Handler: hijack(func(_ context.Context, c net.Conn) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nX-Long: ")
			repeat(c, "header ", 64<<20)
			io.WriteString(c, "\r\nContent-Length: 2\r\n\r\n{}")
		})},
		{Name: "redirect to another host", Handler: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://evil.example.com"+r.URL.RequestURI(), http.StatusTemporaryRedirect)
		}},
	}
}

// hostileBodies have a body that is too much, too slow, or not what was asked
// for.
func hostileBodies() []Hostile {
	return []Hostile{
		{Name: "gzip bomb", Handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed) // the level exists
			io.WriteString(z, `{"data":["`)
			repeat(z, "a", 4<<30)
			z.Close()
		}},
		{Name: "47 MB error", Handler: func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"code":400,"message":"`)
			repeat(w, "message ", 47<<20)
			io.WriteString(w, `"}`)
		}},
		{Name: "spaces without end", Handler: func(w http.ResponseWriter, _ *http.Request) { repeat(w, " ", 1<<62) }},
		{Name: "one byte a second", Handler: func(w http.ResponseWriter, r *http.Request) {
			for Slowly(time.Second)(w, r); r.Context().Err() == nil; Slowly(time.Second)(w, r) {
				io.WriteString(w, " ")
				http.NewResponseController(w).Flush()
			}
		}},
		{Name: "nested a million deep", Handler: func(w http.ResponseWriter, _ *http.Request) {
			repeat(w, "[", 1_000_000)
			repeat(w, "]", 1_000_000)
		}},
		{Name: "wrong types", Handler: always(200, `{"data":"x","traits":[1],"cursor":7,"async_action_id":{},"async_actions":true,"id":[],"status":1,"result":"x","properties":[],"fields":null}`)},
		{Name: "an array", Handler: always(200, `[1,{},"x"]`)},
		{Name: "null", Handler: always(200, `null`)},
		{Name: "cut JSON", Handler: always(200, `{"data":[{"segment_id":"use_`)},
		{Name: "empty 200", Handler: always(200, ``)},
		{Name: "HTML 200", Handler: always(200, `<html><body>Please log in</body></html>`)},
		{Name: "terminal escapes", Handler: always(400, `{"code":400,"key":"k\u001b[2J","message":"\u001b]0;x\u0007\u009b31m\u202e\r\nexit code 0","details":"\u2066x","error":{"code":"c\n","message":"\u001b[2J\u009b31m\u202e\nwarning"}}`)},
		{Name: "raw terminal escapes", Handler: always(500, "\x1b[2J\x9b31m\u202e\u009b\r\n\x00exit code 0")},
	}
}

// hostileEchoes give the secrets back, each in the forms in which they may
// stand in a text.
func hostileEchoes(secrets []string) []Hostile {
	var escaped, quotedURL, pairs []string
	for i, s := range secrets {
		var b strings.Builder
		for _, c := range []byte(s) {
			fmt.Fprintf(&b, `\u%04X`, c)
		}
		escaped = append(escaped, b.String())
		quotedURL = append(quotedURL, url.QueryEscape(s))
		pairs = append(pairs, base64.StdEncoding.EncodeToString([]byte(s+":")))
		for k, t := range secrets {
			if k != i {
				pairs = append(pairs, base64.StdEncoding.EncodeToString([]byte(s+":"+t)))
			}
		}
	}
	raw := strings.Join(secrets, " ")
	body := func(text string) http.HandlerFunc {
		return always(400, `{"code":400,"key":"`+text+`","message":"`+text+`","details":"`+text+`","error":{"code":"x","message":"`+text+`"}}`)
	}
	return []Hostile{
		{Name: "secrets echoed", Handler: body(raw)},
		{Name: "secrets echoed, escaped in JSON", Handler: body(strings.Join(escaped, " "))},
		{Name: "secrets echoed, escaped as in a URL", Handler: body(strings.Join(quotedURL, " "))},
		{Name: "secrets echoed in base64", Handler: body(strings.Join(pairs, " "))},
		{Name: "secrets echoed, not in JSON", Handler: always(500, "<html>"+raw+"</html>")},
		{Name: "secrets in the reason phrase", Handler: hijack(func(_ context.Context, c net.Conn) {
			io.WriteString(c, "HTTP/1.1 400 "+raw+"\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
		})},
		{Name: "secrets in Request-Id", Handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Request-Id", raw)
			io.WriteString(w, "neither JSON nor HTML")
		}},
		{Name: "secrets in Location", Handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "https://evil.example.com/?q="+strings.Join(quotedURL, "+"))
			w.WriteHeader(http.StatusFound)
		}},
		{Name: "secrets in a cursor object", Handler: always(200, `{"data":[],"traits":{},"cursor":{"has_more":true,"next":{"`+raw+`":"`+raw+`"}}}`)},
	}
}

// always answers with a status and a body of JSON.
func always(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// hijack lets f answer on the bare connection. ctx ends when the client or the
// server goes away.
func hijack(f func(ctx context.Context, c net.Conn)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler) // no server of Listen
		}
		ctx, cancel := context.WithCancel(r.Context())
		gone := make(chan struct{})
		go func() { // ends with the connection
			defer close(gone)
			io.Copy(io.Discard, c)
			cancel()
		}()
		stop := context.AfterFunc(ctx, func() { c.Close() })
		f(ctx, c)
		stop()
		c.Close()
		cancel()
		<-gone
	}
}

// repeat writes text over and over, n bytes, or until w takes no more.
func repeat(w io.Writer, text string, n int64) {
	block := strings.Repeat(text, max(1, min(64<<10, int(min(n, 1<<30)))/len(text)))
	for n > 0 {
		part := block[:min(int64(len(block)), n)]
		if _, err := io.WriteString(w, part); err != nil {
			return
		}
		n -= int64(len(part))
	}
}

// hostileRouteAnswers are hostile in what one route means.
func hostileRouteAnswers() []Hostile {
	all := []Hostile{
		{"one action for all batches", routeBulk, always(202, `{"async_action_id":"aa_0000000000000000000000"}`)},
		{"action id with escapes", routeBulk, always(202, `{"async_action_id":"aa_\u001b[2J\r\n../../x?token=\u202e"}`)},
		{"action ids are a number", routeBulk, always(202, `{"async_action_id":7}`)},
		{"actions without end", routeActions, endlessActions()},
		{"ids without end", routeExternalIDs, endless(`{"data":[{"source_id":"x","collection":"users","id":"id-%[1]d","type":"user_id","created_at":"2023-01-02T03:04:05Z"}],"cursor":{"has_more":true,"next":"map_%[1]d"}}`)},
		{"traits without end", routeTraits, endless(`{"traits":{"t%[1]d":1},"cursor":{"has_more":true,"next":"t%[1]d"}}`)},
		{"list without end", routeList, endless(`{"data":[{"segment_id":"use_%027[1]d","metadata":{"created_at":"2023-01-02T03:04:05Z","updated_at":"2023-01-02T03:04:05Z"}}],"cursor":{"has_more":true,"next":"%[1]d"}}`)},
		{"list that repeats", routeList, endless(`{"data":[{"segment_id":"use_000000000000000000000000001","metadata":{"created_at":"2023-01-02T03:04:05Z","updated_at":"2023-01-02T03:04:05Z"}}],"cursor":{"has_more":true,"next":"%[1]d"}}`)},
		{"cursor with escapes", routeList, always(200, `{"data":[],"cursor":{"has_more":true,"next":"7\u001b[2J\r\n\u202eContinue with: curl"}}`)},
		{"segment_id with escapes", routeList, always(200, `{"data":[{"segment_id":"use_\u001b[2J\r\n../../x?a=b","metadata":{"created_at":"2023-01-02T03:04:05Z","updated_at":"2023-01-02T03:04:05Z"}}],"cursor":{"has_more":false,"next":""}}`)},
	}
	for name, count := range map[string]string{
		"negative": "-9223372036854775808", "huge": "1e300", "more than sent": "1000000000", "a fraction": "1.5", "a text": `"1"`,
	} {
		all = append(all, Hostile{"done_count is " + name, routeAction, always(200, `{"id":"aa_1","type":"CUSTOMERS.BULK_UPDATE","status":"DONE","operation_status":"SUCCESS","progress":100,"created_at":"2023-01-02T03:04:05Z","result":{"done_count":`+count+`,"failed_count":0,"errors":[]}}`)})
	}
	return all
}

// endless answers with form, in which %[1]d is a number that grows with each
// request.
func endless(form string) http.HandlerFunc {
	var n atomic.Int64
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, form, n.Add(1)) }
}

// endlessActions answers with a full page of ever older actions.
func endlessActions() http.HandlerFunc {
	var n atomic.Int64
	now := time.Now()
	return func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"object":"list","data_ref":"async_actions","has_more":true,"async_actions":[`)
		for i := range 100 {
			k := n.Add(1)
			if i > 0 {
				fmt.Fprint(w, ",")
			}
			fmt.Fprintf(w, `{"id":"aa_%x","type":"CUSTOMERS.BULK_UPDATE","status":"DONE","progress":100,"created_at":"%s","object":"async_action"}`,
				k, now.Add(-time.Duration(k)*time.Millisecond).UTC().Format("2006-01-02T15:04:05.000Z07:00"))
		}
		fmt.Fprint(w, `]}`)
	}
}
