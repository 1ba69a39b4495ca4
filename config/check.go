package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// checkOriginal looks at what had to fit together in the original.
func (r *reading) checkOriginal(c *Config) {
	if c.CleanupInterval >= c.SessionTimeout {
		r.clash(fmt.Sprintf("Cleanup interval (%s) must be less than session timeout (%s)",
			inSeconds(c.CleanupInterval), inSeconds(c.SessionTimeout)), "cleanup_interval", "session_timeout")
	}
	if need := memoryOf(c.DefaultFlavor); c.MaxTotalMemoryMB != 0 && c.MaxTotalMemoryMB < need {
		r.clash(fmt.Sprintf("Max total memory (%dMB) is less than minimum needed for default flavor (%dMB)",
			c.MaxTotalMemoryMB, need), "max_total_memory_mb", "default_flavor")
	}
}

// check looks at what else must fit together.
func (r *reading) check(c *Config) {
	r.checkExecutionTimes(c)
	if c.CodeBytes > c.BodyBytes {
		r.clash(fmt.Sprintf("the largest code (%s) must fit into the largest request (%s)", size(c.CodeBytes), size(c.BodyBytes)),
			"limits.code_bytes", "limits.body_bytes")
	}
	if !c.InsecureListen && !IsLoopback(c.Host) {
		r.fault(fmt.Errorf("other machines could reach %s and there is no authentication yet: "+
			"listen on localhost behind a proxy that authenticates, or set SANDWARDEN_INSECURE_LISTEN=1 if the network is trusted",
			c.Host), r.origins["host"])
	}
	for _, key := range []string{"state_dir", "runtime_dir"} {
		if s := r.row(key); r.origins[key].text == "" {
			r.faults = append(r.faults, fmt.Sprintf("there is no standard place for %s, as HOME is not set: set %s", key, s.variable()))
		}
	}
	r.warn(c)
}

// checkExecutionTimes settles which of two times gives way: a default does, and
// two that were both asked for are a fault.
func (r *reading) checkExecutionTimes(c *Config) {
	if c.ExecutionTimeout <= c.MaxExecutionTime {
		return
	}
	switch {
	case r.origins["max_execution_time"].from == fromDefaults:
		c.MaxExecutionTime = c.ExecutionTimeout
		r.settle("max_execution_time", c.MaxExecutionTime)
	case r.origins["execution_timeout"].from == fromDefaults:
		c.ExecutionTimeout = c.MaxExecutionTime
		r.settle("execution_timeout", c.ExecutionTimeout)
	default:
		r.clash(fmt.Sprintf("Execution timeout (%s) must not be more than the maximum execution time (%s)",
			inSeconds(c.ExecutionTimeout), inSeconds(c.MaxExecutionTime)), "execution_timeout", "max_execution_time")
	}
}

// settle shows in the report that a default has moved.
func (r *reading) settle(key string, d time.Duration) {
	v := r.origins[key]
	v.text = strings.TrimSuffix(inSeconds(d), "s")
	r.origins[key] = v
}

// clash is a fault of values that do not fit. It names those that were given.
func (r *reading) clash(text string, keys ...string) {
	var who []string
	for _, key := range keys {
		if v := r.origins[key]; v.from != fromDefaults {
			who = append(who, v.name+" "+r.where(v))
		}
	}
	if len(who) > 0 {
		text += " (" + strings.Join(who, ", ") + ")"
	}
	r.faults = append(r.faults, text)
}

// where says in which source a value stands.
func (r *reading) where(v given) string {
	switch v.from {
	case fromFile:
		return "in " + r.file
	case fromEnvironment:
		return "in the environment"
	case fromFlags:
		return "on the command line"
	case fromDefaults:
	}
	return "by default"
}

// warn tells of settings that have less effect than one may think.
func (r *reading) warn(c *Config) {
	if v := r.origins["server_url"]; c.ServerURL != "" {
		r.warnings = append(r.warnings, v.name+" is set, but sandboxes of a microsandbox server are not built yet: the native backend serves")
	}
	v := r.origins["cors.enabled"]
	if v.from == fromEnvironment && !slices.Contains([]string{"true", "false"}, strings.ToLower(strings.TrimSpace(v.text))) {
		r.warnings = append(r.warnings, fmt.Sprintf("%s is %s, which leaves CORS disabled: only the word true enables it", v.name, quote(v.text)))
	}
	if c.InsecureListen && !IsLoopback(c.Host) {
		r.warnings = append(r.warnings, "listening on "+c.Host+" without authentication: whoever reaches it can run code here")
	}
}

func (r *reading) row(key string) *setting {
	i := slices.IndexFunc(r.rows, func(s setting) bool { return s.key == key })
	return &r.rows[i]
}

// IsLoopback reports whether a host is this machine alone. A name other than
// localhost is not: what it means can change.
func IsLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	if err != nil {
		return strings.EqualFold(host, "localhost")
	}
	return address.Unmap().IsLoopback()
}

// memoryOf is the memory of a built-in flavor in MiB.
func memoryOf(name string) int64 {
	for _, f := range sandbox.Flavors() {
		if f.Name == name {
			return int64(f.MemoryMB)
		}
	}
	return 0
}

func inSeconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s"
}
