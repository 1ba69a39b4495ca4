package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"github.com/sandwarden/sandwarden/config"
)

// newServer makes the HTTP server around a handler, with TLS where there is a
// certificate. There is no limit on writing: answers and streams have theirs,
// which know what they wait for.
func newServer(life context.Context, handler http.Handler, c config.Config, cert *certificate, logger *slog.Logger) *http.Server {
	connections := &connLog{logger: logger.With("part", "http"), most: int64(c.Connections)}
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: c.HeaderTimeout,
		IdleTimeout:       c.IdleTimeout,
		MaxHeaderBytes:    int(c.HeaderBytes),
		BaseContext:       func(net.Listener) context.Context { return life },
		ConnState:         connections.state,
		ErrorLog:          slog.NewLogLogger(connections, slog.LevelInfo),
	}
	if cert != nil {
		server.TLSConfig = cert.config()
	}
	return server
}

// start serves all listeners, and those of the microsandbox API. The channel gets
// the first one's failure.
func (d *daemon) start(listeners, api []net.Listener) <-chan error {
	failed := make(chan error, len(listeners)+len(api))
	serveAll(d.server, listeners, failed)
	if d.api != nil {
		serveAll(d.api.server, api, failed)
	}
	return failed
}

func serveAll(server *http.Server, listeners []net.Listener, failed chan<- error) {
	serve := server.Serve
	if server.TLSConfig != nil {
		serve = func(l net.Listener) error { return server.ServeTLS(l, "", "") }
	}
	for _, l := range listeners {
		go func() { // ends with the server
			if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("cannot serve %s any more: %w", l.Addr(), err)
			}
		}()
	}
}
