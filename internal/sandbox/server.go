package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// A Server serves a Sandbox on a loopback address.
type Server struct {
	URL string // http://127.0.0.1:port, without a slash at its end

	http    []*http.Server // the APIs, and the host of the downloads
	cancel  context.CancelFunc
	running sync.WaitGroup // the accept loop and the connections
}

// connKey is the context key under which a request finds its connection.
type connKey struct{}

// Listen serves the sandbox on addr, such as "127.0.0.1:0", until Close. Only
// loopback addresses are accepted: the sandbox has well-known credentials.
func (s *Sandbox) Listen(addr string) (*Server, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("address of the sandbox: %w", err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("address of the sandbox: %q is not a loopback address", addr)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("starting the sandbox: %w", err)
	}
	downloads, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("starting the sandbox: %w", err)
	}
	s.exports.mu.Lock()
	s.exports.host = "http://" + downloads.Addr().String()
	s.exports.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	srv := &Server{URL: "http://" + l.Addr().String(), cancel: cancel}
	srv.serve(ctx, l, s)
	srv.serve(ctx, downloads, http.HandlerFunc(s.ServeDownload))
	return srv, nil
}

// serve serves h on l until Close.
func (srv *Server) serve(ctx context.Context, l net.Listener, h http.Handler) {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				srv.running.Add(1)
			case http.StateHijacked, http.StateClosed:
				srv.running.Done()
			}
		},
	}
	srv.http = append(srv.http, server)
	srv.running.Go(func() { server.Serve(l) }) // its error is always ErrServerClosed
}

// Close ends the server at once, answers that are waiting included, and
// returns when nothing of it runs any more.
func (srv *Server) Close() error {
	var errs []error
	for _, server := range srv.http { // before the waits end, so that none is answered
		errs = append(errs, server.Close())
	}
	srv.cancel()
	srv.running.Wait()
	return errors.Join(errs...)
}
