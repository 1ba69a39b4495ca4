package mcp_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"go.uber.org/goleak"

	"github.com/sandwarden/sandwarden/transport/mcp"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// Idle connections of the clients in these tests.
		goleak.IgnoreTopFunction("internal/poll.runtime_pollWait"),
		goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"),
		goleak.IgnoreTopFunction("net/http.(*persistConn).readLoop"))
}

// listen serves a handler that the test shuts down by itself.
func listen(t *testing.T, h *mcp.Handler) string {
	t.Helper()
	server := httptest.NewServer(http.Handler(h))
	t.Cleanup(server.Close)
	return server.URL
}
