package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime"

	"github.com/sandwarden/sandwarden/config"
)

// profile serves profiles of the daemon to who is on this machine, where that is
// asked for, until the returned function is called. They tell nothing of what
// sandboxes run, but names of functions and sizes of memory. The command line
// is not among them, as it may have secrets.
func profile(ctx context.Context, c config.Config, logger *slog.Logger) (end func(), err error) {
	if c.PprofListen == "" {
		return func() {}, nil
	}
	host, port, err := net.SplitHostPort(c.PprofListen)
	if err != nil {
		return nil, err
	}
	const other = "--pprof or SANDWARDEN_PPROF_LISTEN"
	listeners, err := entrance{host: host, port: port, connections: maxProfilers, otherPort: other, otherHost: other}.open(ctx, logger)
	if err != nil {
		return nil, err
	}
	contention(c.PprofContention)
	server := &http.Server{Handler: profiles(), ReadHeaderTimeout: c.HeaderTimeout, MaxHeaderBytes: int(c.HeaderBytes)}
	for _, l := range listeners {
		go func() { // ends with the server
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				logger.Warn("profiles are not served any more", "err", err)
			}
		}()
	}
	logger.InfoContext(ctx, "serving profiles", "addr", "http://"+reachable(c.PprofListen)+"/debug/pprof/", "contention", c.PprofContention)
	return func() {
		closeAll(listeners) // a server that has not begun to serve them does not know them
		_ = server.Close()  // who is still reading a profile gets no more of it
		contention(false)
	}, nil
}

// maxProfilers is how many connections there may be at once.
const maxProfilers = 8

// How much of what waits is recorded: one event of so many nanoseconds, and one
// of so many of a mutex.
const (
	blockRate     = 10_000
	mutexFraction = 100
)

func contention(on bool) {
	block, mutex := 0, 0
	if on {
		block, mutex = blockRate, mutexFraction
	}
	runtime.SetBlockProfileRate(block)
	runtime.SetMutexProfileFraction(mutex)
}

// profiles are the profiles as go tool pprof asks for them. A page of strangers
// gets none, whatever name it has made to point at this machine.
func profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", http.NotFound)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if !config.IsLoopback(host) || r.Header.Get("Origin") != "" {
			http.Error(w, "profiles are for who is on this machine", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
}
