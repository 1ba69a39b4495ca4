package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/sandwarden/sandwarden/config"
	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/microsandbox"
)

// announce says what is served, how well it is isolated, and how to try it. A
// log of JSON lines gets it as one of them, and so does one without a console;
// other readers get text.
func (p *program) announce(c config.Config, backend sandbox.Backend, logger *logs) {
	url, able := baseURL(c), backend.Capabilities()
	if c.Transport == stdio {
		logger.Info("serving one client over standard input and output", "backend", backend.Name(), "isolation", able.Isolation)
		return
	}
	if c.LogFormat != "json" && !logger.quiet {
		fmt.Fprint(p.stderr, readyText(url, backend, c.TokensFile != "")+apiText(c)) //nolint:errcheck // the log may have no reader
		return
	}
	if err := backend.Ready(); err != nil {
		logger.Error("sandwarden is listening, but no sandbox can be made", "addr", url+"/mcp", "err", explain(err))
		return
	}
	logger.Info("sandwarden is ready", "addr", url+"/mcp", "backend", backend.Name(),
		"isolation", able.Isolation, "templates", usable(able), "unenforced", able.Unenforced)
}

// readyText is what a person reads when the daemon is up.
func readyText(url string, backend sandbox.Backend, needsToken bool) string {
	var b strings.Builder
	able := backend.Capabilities()
	if err := backend.Ready(); err != nil {
		fmt.Fprintf(&b, "sandwarden is listening on %s/mcp, but no sandbox can be made %s: %s\n", url, placeOf(backend), explain(err))
		return b.String()
	}
	fmt.Fprintf(&b, "sandwarden is ready on %s/mcp (backend %s, isolation %s, templates %s)\n",
		url, backend.Name(), able.Isolation, strings.Join(usable(able), ", "))
	if len(able.Unenforced) > 0 && backend.Name() != microsandbox.Name { // what a server enforces is its own to know
		fmt.Fprintf(&b, "not enforced on this host: %s; sandwarden doctor says how to get it\n", strings.Join(able.Unenforced, ", "))
	}
	for _, t := range able.Templates {
		if t.Err != nil {
			fmt.Fprintf(&b, "template %s cannot be used: %s\n", t.Template.Name, explain(t.Err))
		}
	}
	authorization := ""
	if needsToken {
		authorization = `-H "Authorization: Bearer $TOKEN" `
	}
	fmt.Fprintf(&b, `try: curl -s %s/mcp %s-H 'Content-Type: application/json' -d '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"execute_code","arguments":{"code":"print(6*7)"}}}'`+"\n", url, authorization)
	return b.String()
}

// placeOf says where a backend makes its sandboxes.
func placeOf(backend sandbox.Backend) string {
	if backend.Name() == microsandbox.Name {
		return "until the server is of use"
	}
	return "here"
}

// apiText is what that person reads of the microsandbox API, if it is served.
func apiText(c config.Config) string {
	switch {
	case c.MSBListen == "":
		return ""
	case c.MSBDev:
		return "microsandbox API on " + apiURL(c) + "\n"
	}
	return "microsandbox API on " + apiURL(c) + ", with the keys that sandwarden keygen makes\n"
}

// usable names the templates that work here.
func usable(able sandbox.Capabilities) []string {
	var names []string
	for _, t := range able.Templates {
		if t.Err == nil {
			names = append(names, t.Template.Name)
		}
	}
	return names
}

// explain is an error for the person who runs the daemon: its cause too.
func explain(err error) string {
	e, ok := errors.AsType[*sandbox.Error](err)
	if !ok {
		return err.Error()
	}
	var parts []string
	for _, part := range []string{e.Detail, e.Remedy} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	if e.Err != nil {
		parts = append(parts, "("+e.Err.Error()+")")
	}
	if len(parts) == 0 {
		return e.Error()
	}
	return strings.Join(parts, "; ")
}

// baseURL is where a client on this machine finds the daemon.
func baseURL(c config.Config) string {
	scheme := "http://"
	if c.TLSCert != "" {
		scheme = "https://"
	}
	return scheme + reachable(net.JoinHostPort(c.Host, strconv.Itoa(c.Port)))
}

// reachable is the address for a client on this machine, of one that is listened
// on.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("localhost", port)
	}
	return address
}
