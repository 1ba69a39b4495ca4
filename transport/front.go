package transport

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/sandwarden/sandwarden/transport/plainjson"
)

// foreign says why a request may not come in, in a word and in words for the
// client, or "". Browsers send pages of strangers here: such a request names its
// page as the Origin, or, where the page's own name was made to point at this
// machine, as the Host.
func (p *Policy) foreign(r *http.Request) (reason, refusal string) {
	if !p.hostAllowed(r) {
		return "host", "Host " + r.Host + " is not allowed; use localhost, or add it to the allowed hosts"
	}
	if origin := r.Header.Get("Origin"); origin != "" && !p.originAllowed(origin) {
		return "origin", "Origin " + origin + " is not allowed; add it to the allowed origins"
	}
	return "", ""
}

// Foreign returns why a request may not come in, in words for the client, or ""
// for one that is no page's of strangers: the policy is asked as it is now.
func (h *Handler) Foreign(r *http.Request) string {
	_, refusal := h.policy.Load().foreign(r)
	return refusal
}

// hostAllowed checks the Host where the request came in over the loopback
// interface. Elsewhere any name may be ours.
func (p *Policy) hostAllowed(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok || !isLoopback(hostOf(local.String())) {
		return true
	}
	host := hostOf(r.Host)
	return host == "" || isLoopback(host) || slices.ContainsFunc(p.AllowedHosts, func(allowed string) bool {
		return allowed == "*" || strings.EqualFold(allowed, host) || strings.EqualFold(allowed, r.Host)
	})
}

func (p *Policy) originAllowed(origin string) bool {
	if slices.ContainsFunc(p.AllowedOrigins, func(allowed string) bool {
		return allowed == "*" || strings.EqualFold(strings.TrimSuffix(allowed, "/"), origin)
	}) {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.User == nil && isLoopback(u.Hostname())
}

// hostOf returns the host of "host:port" or "host".
func hostOf(s string) string {
	if host, _, err := net.SplitHostPort(s); err == nil {
		return host
	}
	return strings.Trim(s, "[]")
}

func isLoopback(host string) bool {
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// The values of the contract's CORS headers.
const (
	corsMethods = "GET, POST, OPTIONS"
	restMethods = "GET, POST, PUT, DELETE, OPTIONS" // of REST, which the contract does not know
	corsHeaders = "Content-Type, Authorization"
	corsExposed = "Mcp-Session-Id, MCP-Protocol-Version"
)

// cors sets the headers that browsers ask for, and answers OPTIONS, which it
// reports. The origin was checked before.
func (p *Policy) cors(w http.ResponseWriter, r *http.Request) (answered bool) {
	origin, front := r.Header.Get("Origin"), r.URL.Path == "/" || r.URL.Path == "/mcp"
	options := r.Method == http.MethodOptions
	if !p.EnableCORS {
		if options && front {
			staticCORS(w.Header(), "*")
			w.WriteHeader(http.StatusOK)
		}
		return options && front
	}
	if options && origin != "" && r.Header.Get("Access-Control-Request-Method") != "" {
		preflight(w, r, origin)
		return true
	}
	header := w.Header()
	if origin != "" {
		header.Set("Access-Control-Allow-Origin", origin)
		header.Set("Access-Control-Allow-Credentials", "true")
		header.Set("Access-Control-Expose-Headers", corsExposed)
		header.Add("Vary", "Origin")
	}
	if !front {
		return false
	}
	allowed := origin
	if allowed == "" {
		allowed = "*"
		header.Set("Access-Control-Expose-Headers", corsExposed)
	}
	staticCORS(header, allowed)
	if options {
		w.WriteHeader(http.StatusOK)
	}
	return options
}

func staticCORS(header http.Header, origin string) {
	header.Set("Access-Control-Allow-Origin", origin)
	header.Set("Access-Control-Allow-Methods", corsMethods)
	header.Set("Access-Control-Allow-Headers", corsHeaders)
	header.Set("Access-Control-Max-Age", "86400")
}

// preflight answers what a browser asks before a request.
func preflight(w http.ResponseWriter, r *http.Request, origin string) {
	header := w.Header()
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("Access-Control-Allow-Origin", origin)
	header.Set("Access-Control-Allow-Methods", corsMethods)
	switch {
	case strings.HasPrefix(r.URL.Path, "/v1/"):
		header.Set("Access-Control-Allow-Methods", restMethods)
	case r.Header.Get("Access-Control-Request-Method") == http.MethodDelete:
		header.Set("Access-Control-Allow-Methods", corsMethods+", DELETE")
	}
	if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
		header.Set("Access-Control-Allow-Headers", asked)
	}
	header.Set("Access-Control-Allow-Credentials", "true")
	header.Set("Access-Control-Max-Age", "600")
	header.Set("Vary", "Origin")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write([]byte("OK")) // a browser that is gone needs no answer
}

// writeDetail sends the contract's body for what is not served.
func writeDetail(w http.ResponseWriter, status int, detail string) {
	body := append(plainjson.StringMember([]byte{'{'}, "detail", detail), '}')
	writeJSON(w, status, body)
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that is gone needs no answer
}
