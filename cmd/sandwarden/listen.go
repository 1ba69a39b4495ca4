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

// An entrance is where clients connect, and how a person chooses another.
type entrance struct {
	host, port  string
	connections int    // more wait to be accepted
	otherPort   string // what to set for another port
	otherHost   string
}

// listen opens what clients of the daemon connect to.
func listen(ctx context.Context, c config.Config, logger *slog.Logger) ([]net.Listener, error) {
	return entrance{
		host: c.Host, port: strconv.Itoa(c.Port), connections: c.Connections,
		otherPort: "--port or MCP_SERVER_PORT", otherHost: "--host or MCP_SERVER_HOST",
	}.open(ctx, logger)
}

// listenAPI opens what clients of the microsandbox API connect to, and returns a
// configuration that names it. Nobody who left the choice to us goes without a
// daemon because another program has the place.
func listenAPI(ctx context.Context, c config.Config, logger *slog.Logger) ([]net.Listener, config.Config, error) {
	address, auto := c.MSBListen, c.MSBListen == "auto"
	c.MSBListen = ""
	if address == "" || c.Transport == stdio {
		return nil, c, nil
	}
	if auto {
		address = config.UsualAPI
	}
	const other = "--msb-listen or SANDWARDEN_MSB_LISTEN"
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, c, err
	}
	listeners, err := entrance{host: host, port: port, connections: c.Connections, otherPort: other, otherHost: other}.open(ctx, logger)
	switch {
	case err == nil:
		c.MSBListen = address
		return listeners, c, nil
	case !auto:
		return nil, c, err
	case ownAddress(c.ServerURL, address): // the server that was asked for is there
		logger.InfoContext(ctx, "the microsandbox API is not served, as the server has its place", "addr", address)
	default:
		logger.WarnContext(ctx, "the microsandbox API is not served", "err", err)
	}
	return nil, c, nil
}

// open opens the entrance. The name localhost is both loopback addresses, as
// clients differ in which one they take for it; a host without IPv6 is served on
// the other alone.
func (e entrance) open(ctx context.Context, logger *slog.Logger) ([]net.Listener, error) {
	if !strings.EqualFold(e.host, "localhost") {
		l, err := e.on(ctx, "tcp", e.host)
		if err != nil {
			return nil, err
		}
		return []net.Listener{l}, nil
	}
	four, err := e.on(ctx, "tcp4", "127.0.0.1")
	if err != nil {
		return nil, err
	}
	six, err := e.on(ctx, "tcp6", "::1")
	switch {
	case err == nil:
		return []net.Listener{four, six}, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, errors.Join(err, four.Close())
	}
	logger.WarnContext(ctx, "serving 127.0.0.1 only, as ::1 is not there", "err", err)
	return []net.Listener{four}, nil
}

// on opens one address, or says what to do about it.
func (e entrance) on(ctx context.Context, network, host string) (net.Listener, error) {
	address := net.JoinHostPort(host, e.port)
	l, err := new(net.ListenConfig).Listen(ctx, network, address)
	switch {
	case err == nil:
		return netutil.LimitListener(l, e.connections), nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%w: another program listens on %s: stop it, or choose another port with %s", syscall.EADDRINUSE, address, e.otherPort)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%w: this user may not listen on %s: choose a port from 1024 on with %s", syscall.EACCES, address, e.otherPort)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%w: this machine has no address %s: choose another with %s", syscall.EADDRNOTAVAIL, host, e.otherHost)
	}
	return nil, fmt.Errorf("cannot listen on %s: %w", address, err)
}

// closeAll closes listeners that no server has taken over.
func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		l.Close() //nolint:errcheck,gosec // a server may have closed it before
	}
}
