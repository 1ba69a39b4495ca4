package agent

import (
	"io"
	"sync"

	"github.com/containerd/log"
)

// quieten silences ttrpc's own log, which goes to standard error in a form of
// its own: an agent can make it write at will, by answering what nobody asked.
// What matters comes back as errors.
var quieten = sync.OnceFunc(func() { log.L.Logger.SetOutput(io.Discard) }) //nolint:gochecknoglobals // the log it silences is one too
