package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sandwarden/sandwarden/config"
	"github.com/sandwarden/sandwarden/sandbox/microsandbox"
)

// lookLimit bounds a look at who serves the API.
const lookLimit = 3 * time.Second

// settled is a configuration as this daemon is to follow it: a server that it
// would be itself is none, so that sandboxes are made here. The warning says so;
// it is empty where all is as it was. Copies of the original's settings name the
// address on which this daemon serves the same API.
func settled(ctx context.Context, c config.Config) (_ config.Config, warning string) {
	if c.Backend != microsandbox.Name || !ownAddress(c.ServerURL, addresses(ctx, c)...) {
		return c, ""
	}
	warning = fmt.Sprintf("the server URL %s is this daemon itself, so sandboxes are made here: unset MSB_SERVER_URL, or let it name another server", withoutPassword(c.ServerURL))
	c.Backend, c.ServerURL = "native", ""
	return c, warning
}

// withoutPassword is a URL as people may see it.
func withoutPassword(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Redacted()
}

// settle is settled for a command, which tells the person at it.
func (p *program) settle(ctx context.Context, c config.Config) config.Config {
	c, warning := settled(ctx, c)
	if warning != "" {
		fmt.Fprintln(p.stderr, "warning: "+warning)
	}
	return c
}

// addresses are those on which a daemon of a configuration listens.
func addresses(ctx context.Context, c config.Config) []string {
	all := []string{net.JoinHostPort(c.Host, strconv.Itoa(c.Port))}
	switch {
	case c.Transport == stdio:
		return nil
	case c.MSBListen == "auto":
		if isFree(ctx, config.UsualAPI) || isOurs(ctx, c, config.UsualAPI) { // else another program serves there, and may be the server that is meant
			all = append(all, config.UsualAPI)
		}
	case c.MSBListen != "":
		all = append(all, c.MSBListen)
	}
	return all
}

// ownAddress reports whether a URL leads to one of the addresses.
func ownAddress(serverURL string, all ...string) bool {
	u, err := url.Parse(serverURL)
	if err != nil {
		return false
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return slices.ContainsFunc(all, func(address string) bool {
		host, listens, err := net.SplitHostPort(address)
		return err == nil && listens == port && sameHost(u.Hostname(), host)
	})
}

// sameHost reports whether a client that asks for a host reaches who listens on
// another.
func sameHost(asked, listens string) bool {
	ip, _ := netip.ParseAddr(listens) // of a name none, which equals no other
	everywhere := ip.IsUnspecified()
	switch to, err := netip.ParseAddr(asked); {
	case strings.EqualFold(asked, listens):
		return true
	case config.IsLoopback(asked):
		return everywhere || config.IsLoopback(listens)
	case err != nil:
		name, failed := os.Hostname()
		return failed == nil && strings.EqualFold(asked, name) && !config.IsLoopback(listens)
	case to.IsUnspecified(): // as good as localhost
		return everywhere || config.IsLoopback(listens)
	default:
		return everywhere && isLocal(to) || to.Unmap() == ip.Unmap()
	}
}

// isLocal reports whether this machine has an address.
func isLocal(ip netip.Addr) bool {
	all, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(all, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && prefix.Addr().Unmap() == ip.Unmap()
	})
}

// isFree reports whether an address could be listened on.
func isFree(ctx context.Context, address string) bool {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return !errors.Is(err, syscall.EADDRINUSE)
	}
	return l.Close() == nil
}

// isOurs reports whether the daemon that serves the API at an address is the one
// of the configuration's state.
func isOurs(ctx context.Context, c config.Config, address string) bool {
	id := knownInstance(c.StateDir)
	if id == "" {
		return false
	}
	sight, err := microsandbox.Look(ctx, microsandbox.Options{URL: "http://" + address, Instance: id, RequestTimeout: lookLimit})
	return (err == nil || sight.Instance != "") && sight.Instance == id
}

// knownInstance is the id that a state directory has already; empty is none.
func knownInstance(stateDir string) string {
	text, err := os.ReadFile(filepath.Join(stateDir, "instance"))
	if id := strings.TrimSpace(string(text)); err == nil && instanceID.MatchString(id) {
		return id
	}
	return ""
}
