package bench

import (
	"context"
	"net/http"
	"strconv"
	"strings"
)

// aSandbox is what a sandbox has at most, for daemons of which it could not be
// seen.
func aSandbox() *footprint {
	return &footprint{processes: 3, mounts: 4, namespaces: 2, cgroups: 15, descriptors: 3} // cgroups in five hierarchies
}

// sandbox is what one sandbox has, by two looks: one with a session more than
// the other, and each with those that were ready. One that is ready has as much:
// it becomes a session when it is asked for.
func sandbox(with, without *footprint) *footprint {
	n := 1 + with.ready - without.ready
	if n < 1 {
		return aSandbox()
	}
	most := aSandbox()
	share := func(with, without, most int) int { return min(max(0, with-without)/n, most) }
	return &footprint{
		processes:   share(with.processes, without.processes, most.processes),
		mounts:      share(with.mounts, without.mounts, most.mounts),
		namespaces:  share(with.namespaces, without.namespaces, most.namespaces),
		cgroups:     share(with.cgroups, without.cgroups, most.cgroups),
		descriptors: share(with.descriptors, without.descriptors, most.descriptors),
	}
}

// pools returns how many sandboxes a daemon has made ahead, and how many it means
// to, by its metrics; none where it does not say so.
func (c *client) pools(ctx context.Context) (ready, target int) {
	data, err := c.do(ctx, http.MethodGet, "/metrics", nil, http.StatusOK)
	if err != nil {
		return 0, 0
	}
	return sumIn(string(data), "sandwarden_pool_ready"), sumIn(string(data), "sandwarden_pool_target")
}

// sumIn adds up what metrics say of all templates.
func sumIn(metrics, name string) int {
	total := 0
	for line := range strings.Lines(metrics) {
		if !strings.HasPrefix(line, name+"{") {
			continue
		}
		if n, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndex(line, "}")+1:]), 64); err == nil && n > 0 && n < maxSessions {
			total += int(n)
		}
	}
	return total
}
