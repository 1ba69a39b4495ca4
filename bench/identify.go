package bench

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"
)

// identify asks a daemon what it is: its name, version and where it makes
// sandboxes. What answers may be anything; it is cut and cleaned. It returns
// nothing if there is no answer of that form.
func identify(ctx context.Context, o Options) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c := newClient(o, 1)
	defer c.close()
	req, err := c.request(ctx, http.MethodGet, "/", http.NoBody)
	if err != nil {
		return ""
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return ""
	}
	defer func() { _ = resp.Body.Close() }()
	var status struct {
		Server  string `json:"server"`
		Version string `json:"version"`
		Backend struct {
			Name      string `json:"name"`
			Isolation string `json:"isolation"`
		} `json:"backend"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&status); err != nil {
		return ""
	}
	name := strings.TrimSpace(status.Server + " " + status.Version)
	if status.Backend.Name != "" {
		name += ", " + status.Backend.Name + " sandboxes"
	}
	if status.Backend.Isolation != "" {
		name += ", isolation: " + status.Backend.Isolation
	}
	return clean(strings.TrimPrefix(name, ", "))
}
