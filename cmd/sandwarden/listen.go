package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/net/netutil"

	"github.com/sandwarden/sandwarden/config"
)

// listen opens what clients connect to. The name localhost is both loopback
// addresses, as clients differ in which one they take for it; a host without
// IPv6 is served on the other alone.
func listen(ctx context.Context, c config.Config, logger *slog.Logger) ([]net.Listener, error) {
	if !strings.EqualFold(c.Host, "localhost") {
		l, err := listenOn(ctx, "tcp", c.Host, c)
		if err != nil {
			return nil, err
		}
		return []net.Listener{l}, nil
	}
	four, err := listenOn(ctx, "tcp4", "127.0.0.1", c)
	if err != nil {
		return nil, err
	}
	six, err := listenOn(ctx, "tcp6", "::1", c)
	switch {
	case err == nil:
		return []net.Listener{four, six}, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, errors.Join(err, four.Close())
	}
	logger.WarnContext(ctx, "serving 127.0.0.1 only, as ::1 is not there", "err", err)
	return []net.Listener{four}, nil
}

// listenOn opens one address, or says what to do about it. Clients beyond the
// limit wait to be accepted.
func listenOn(ctx context.Context, network, host string, c config.Config) (net.Listener, error) {
	address := net.JoinHostPort(host, strconv.Itoa(c.Port))
	l, err := new(net.ListenConfig).Listen(ctx, network, address)
	switch {
	case err == nil:
		return netutil.LimitListener(l, c.Connections), nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%w: another program listens on %s: stop it, or choose another port with --port or MCP_SERVER_PORT", syscall.EADDRINUSE, address)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%w: this user may not listen on %s: choose a port from 1024 on with --port or MCP_SERVER_PORT", syscall.EACCES, address)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%w: this machine has no address %s: choose another with --host or MCP_SERVER_HOST", syscall.EADDRNOTAVAIL, host)
	}
	return nil, fmt.Errorf("cannot listen on %s: %w", address, err)
}

// closeAll closes listeners that no server has taken over.
func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		l.Close() //nolint:errcheck,gosec // a server may have closed it before
	}
}
