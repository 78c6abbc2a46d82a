package sandbox

import (
	"compress/gzip"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Hostile is a server that means harm on one route, for
// Misbehaviour.Hostile. It needs a server of Listen, not a ResponseRecorder.
type Hostile struct {
	Name    string
	Route   string // list, external_ids, traits, bulk, actions, action, schema, customer, exports, export or download
	Handler http.HandlerFunc
}

// hostileRoutes are the routes that every general kind of Hostile is for.
var hostileRoutes = []string{
	routeList, routeExternalIDs, routeTraits, routeBulk, routeActions, routeAction, routeSchema, routeCustomer,
	routeExports, routeExport, routeDownload,
}

// Hostiles returns all hostile servers: the general kinds on each route, then
// those of one route. Some of them echo the secrets.
func Hostiles(secrets []string) []Hostile {
	var all []Hostile
	for _, route := range hostileRoutes {
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
			for wait(r.Context(), time.Second) {
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
