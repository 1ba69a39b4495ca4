package config

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
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
	if need := int64(flavorOf(c.DefaultFlavor).MemoryMB); c.MaxTotalMemoryMB != 0 && c.MaxTotalMemoryMB < need {
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
	if need := flavorOf(c.DefaultFlavor).CPUs; c.MaxTotalCPUs != 0 && c.MaxTotalCPUs < need {
		r.clash(fmt.Sprintf("Max total CPU cores (%d) is less than minimum needed for default flavor (%d)", c.MaxTotalCPUs, need),
			"max_total_cpu_cores", "default_flavor")
	}
	r.checkPools(c)
	r.checkListening(c)
	for _, key := range []string{"state_dir", "runtime_dir"} {
		if s := r.row(key); r.origins[key].text == "" {
			r.faults = append(r.faults, fmt.Sprintf("there is no standard place for %s, as HOME is not set: set %s", key, s.variable()))
		}
	}
	r.settleBackend(c)
	r.checkAPI(c)
	r.warn(c)
	r.dropVolumes(c)
}

// checkListening keeps other machines from a daemon that asks nobody who they
// are.
func (r *reading) checkListening(c *Config) {
	if !IsLoopback(c.Host) && c.TokensFile == "" && !c.InsecureListen {
		r.fault(fmt.Errorf("other machines could reach %s, and whoever does would run code here: "+
			"let only holders of tokens in (sandwarden token new NAME writes one, %s or --tokens-file names the file), or set SANDWARDEN_INSECURE_LISTEN=1 if the network is trusted",
			c.Host, r.row("tokens_file").variable()), r.origins["host"])
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		r.clash("a certificate and its key belong together: set both tls.cert_file and tls.key_file, or neither", "tls.cert_file", "tls.key_file")
	}
}

// settleBackend says where sandboxes are made.
func (r *reading) settleBackend(c *Config) {
	if c.Backend == "auto" {
		c.Backend = "native"
		if c.ServerURL != "" {
			c.Backend = "microsandbox"
		}
	}
	switch {
	case c.Backend == "microsandbox" && c.ServerURL == "":
		c.ServerURL = "http://" + UsualAPI
	case c.Backend == "native" && c.ServerURL != "":
		r.warnings = append(r.warnings, r.origins["server_url"].name+" has no effect, as the backend is native")
		c.ServerURL = ""
	}
}

// UsualAPI is where a microsandbox server listens when it is not told
// otherwise.
const UsualAPI = "127.0.0.1:5555"

// checkAPI keeps other machines from an API that asks nobody for a key.
func (r *reading) checkAPI(c *Config) {
	here := IsHere(c.MSBListen)
	if c.MSBKeyFile == "" {
		c.MSBKeyFile = filepath.Join(c.StateDir, "server.key")
	}
	switch v := r.origins["msb.dev"]; {
	case isAuto(v.text):
		c.MSBDev = here && c.TokensFile == ""
	case c.MSBDev && !here:
		r.fault(fmt.Errorf("other machines could reach %s, and in development mode whoever does would run code here: "+
			"turn %s off, and give out keys that sandwarden keygen makes", c.MSBListen, v.name), r.origins["msb.listen"])
	}
}

// IsHere reports whether a msb.listen lets in this machine alone.
func IsHere(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	return err != nil || IsLoopback(host) // off or auto
}

// dropVolumes is what the switch for volumes does.
func (r *reading) dropVolumes(c *Config) {
	if c.VolumeMapping || len(c.Volumes) == 0 {
		return
	}
	r.warnings = append(r.warnings, fmt.Sprintf("%s is off, so the volumes of %s are not mapped", r.origins["volume_mapping"].name, r.origins["volumes"].name))
	c.Volumes = []sandbox.Volume{}
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

// checkPools settles which of two sizes gives way, as for times.
func (r *reading) checkPools(c *Config) {
	if c.PoolMin <= c.PoolMax {
		return
	}
	switch {
	case r.origins["pool.max"].from == fromDefaults:
		c.PoolMax = c.PoolMin
		r.settleText("pool.max", strconv.Itoa(c.PoolMax))
	case r.origins["pool.min"].from == fromDefaults:
		c.PoolMin = c.PoolMax
		r.settleText("pool.min", strconv.Itoa(c.PoolMin))
	default:
		r.clash(fmt.Sprintf("the ready sandboxes of a template at the start (%d) must not be more than at most (%d)", c.PoolMin, c.PoolMax), "pool.min", "pool.max")
	}
}

// settle shows in the report that a default has moved.
func (r *reading) settle(key string, d time.Duration) {
	r.settleText(key, strings.TrimSuffix(inSeconds(d), "s"))
}

func (r *reading) settleText(key, text string) {
	v := r.origins[key]
	v.text = text
	r.origins[key] = v
}

// clash is a fault of values that do not fit. It names those that were given.
func (r *reading) clash(text string, keys ...string) {
	var who []string
	for _, key := range keys {
		if v := r.origins[key]; v.from != fromDefaults {
			who = append(who, v.name+" "+v.where())
		}
	}
	if len(who) > 0 {
		text += " (" + strings.Join(who, ", ") + ")"
	}
	r.faults = append(r.faults, text)
}

// warn tells of settings that have more or less effect than one may think.
func (r *reading) warn(c *Config) {
	if newly := r.newlyEffective(); len(newly) > 0 {
		r.warnings = append(r.warnings, "these settings had no effect in the original and have one here: "+strings.Join(newly, ", "))
	}
	for i := range r.rows {
		words, v := r.rows[i].rule.words, r.origins[r.rows[i].key]
		word := strings.ToLower(strings.TrimSpace(v.text))
		on, known := switched(word)
		if saysOff := known && !on; words != nil && v.asVariable() && !saysOff && !slices.Contains(words, word) {
			r.warnings = append(r.warnings, fmt.Sprintf("%s is %s, which counts as off: only %s turns it on", v.name, quote(v.text), strings.Join(words, ", ")))
		}
	}
	if c.InsecureListen && c.TokensFile == "" && !IsLoopback(c.Host) {
		r.warnings = append(r.warnings, "listening on "+c.Host+" without authentication: whoever reaches it can run code here")
	}
	if !c.Zygote && len(c.Preimport) > 0 {
		r.warnings = append(r.warnings, r.origins["zygote.preimport"].name+" has no effect, as "+r.origins["zygote.enabled"].name+" is off")
	}
	if !c.LogConsole && c.LogFile == "" {
		r.warnings = append(r.warnings, "nothing will be logged: "+r.origins["log.console"].name+" is off and there is no "+r.origins["log.file"].name)
	}
}

// newlyEffective are the variables in effect that the original documented and
// did not read.
func (r *reading) newlyEffective() []string {
	var all []string
	for i := range r.rows {
		if v := r.origins[r.rows[i].key]; v.asVariable() && v.name == r.rows[i].revived {
			all = append(all, v.name)
		}
	}
	return all
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

// flavorOf is the built-in flavor of a name.
func flavorOf(name string) sandbox.Flavor {
	for _, f := range sandbox.Flavors() {
		if f.Name == name {
			return f
		}
	}
	return sandbox.Flavor{}
}

func inSeconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s"
}
