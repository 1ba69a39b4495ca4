package bench

import (
	"context"
	"net/http"
	"strconv"
	"strings"
)

// What a sandbox that is ready before it is asked for may have, at most: it is
// no leak.
const (
	readyProcesses   = 3
	readyMounts      = 4
	readyNamespaces  = 2
	readyCgroups     = 15 // in five hierarchies
	readyDescriptors = 3
)

// ready returns how many sandboxes a daemon has made ahead, by its metrics; none
// where it does not say so.
func (c *client) ready(ctx context.Context) int {
	data, err := c.do(ctx, http.MethodGet, "/metrics", nil, http.StatusOK)
	if err != nil {
		return 0
	}
	return readyIn(string(data))
}

// readyIn adds up what metrics say of all templates.
func readyIn(metrics string) int {
	total := 0
	for line := range strings.Lines(metrics) {
		if !strings.HasPrefix(line, "sandwarden_pool_ready{") {
			continue
		}
		if n, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndex(line, "}")+1:]), 64); err == nil && n > 0 && n < maxSessions {
			total += int(n)
		}
	}
	return total
}
