package config

import (
	"strings"

	"github.com/sandwarden/sandwarden/sandbox"
)

// delimiter stands between the parts of a key.
const delimiter = "."

// A setting is one row of the table.
type setting struct {
	key      string
	env      []string // the first that is not empty wins
	flag     string   // without dashes; empty is none
	initial  string   // the default, as a person would write it; empty is unset
	unset    string   // what unset means, for people
	switches bool     // the flag needs no value
	rule     rule
	ours     bool // unknown to the original
	help     string
}

// variable is the setting's first name in the environment.
func (s *setting) variable() string { return s.env[0] }

// settings is the table. Its order is the order in which faults are told: that
// of the original first, as its users know it, then what is ours.
func settings(d directories) []setting {
	rows := []setting{
		{
			key: "port", env: names("MCP_SERVER_PORT"), flag: "port", initial: "8775", rule: port,
			help: "port to listen on",
		},
		{
			key: "host", env: names("MCP_SERVER_HOST"), flag: "host", initial: "localhost", rule: host,
			help: "address or name to listen on; localhost is 127.0.0.1 and ::1",
		},
		{
			key: "cors.enabled", env: names("MCP_ENABLE_CORS"), flag: "enable-cors", switches: true, initial: "false", rule: boolean,
			help: "let web pages of the allowed origins call; only the word true enables it in the environment",
		},
		{
			key: "default_flavor", env: names("MSB_DEFAULT_FLAVOR"), initial: "small", rule: flavor,
			help: "flavor of sessions that name none: " + strings.Join(flavors(), ", "),
		},
		{
			key: "session_timeout", env: names("MSB_SESSION_TIMEOUT"), initial: "1800", rule: seconds(year),
			help: "seconds after which an idle session ends",
		},
		{
			key: "max_sessions", env: names("MSB_MAX_SESSIONS"), flag: "max-sessions", unset: "from the host", rule: whole(1_000_000),
			help: "sessions at one time",
		},
		{
			key: "cleanup_interval", env: names("MSB_CLEANUP_INTERVAL", "MSB_SESSION_CLEANUP_INTERVAL"), initial: "60", rule: seconds(year),
			help: "seconds between two looks for idle sessions",
		},
		{
			key: "execution_timeout", env: names("MSB_EXECUTION_TIMEOUT"), initial: "300", rule: seconds(year),
			help: "seconds that a call may run which names no timeout",
		},
		{
			key: "lru_eviction", env: names("MSB_ENABLE_LRU_EVICTION"), initial: "true", rule: boolean,
			help: "end the longest idle session when there is no room for a new one",
		},
		{
			key: "max_total_memory_mb", env: names("MSB_MAX_TOTAL_MEMORY_MB"), unset: "measured use of the host", rule: whole(1 << 30),
			help: "MiB that the flavors of all sessions may sum up to",
		},
		{
			key: "server_url", env: names("MSB_SERVER_URL"), unset: "the native backend", rule: serverURL,
			help: "a microsandbox server; its form is checked, it is not used yet",
		},
	}
	return append(rows, ourSettings(d)...)
}

// ourSettings are those that the original did not have.
func ourSettings(d directories) []setting {
	rows := []setting{
		{
			key: "max_execution_time", env: names("MSB_MAX_EXECUTION_TIME"), initial: "1800", rule: seconds(year),
			help: "seconds that any call may ask for",
		},
		{
			key: "cors.allowed_origins", rule: list(origin), unset: "loopback origins only",
			help: "further origins whose pages may call; * is all",
		},
		{
			key: "allowed_hosts", rule: list(hostName), unset: "loopback names only",
			help: "further names by which clients may call this daemon",
		},
		{
			key: "insecure_listen", flag: "insecure-listen", switches: true, initial: "false", rule: boolean,
			help: "listen where other machines reach it, without authentication",
		},
		{
			key: "limits.output_bytes", initial: "4MiB", rule: bytes(4<<10, 64<<20),
			help: "output kept of one execution; what is beyond is counted",
		},
		{
			key: "limits.code_bytes", initial: "1MiB", rule: bytes(1<<10, 2<<20),
			help: "largest piece of code",
		},
		{
			key: "limits.body_bytes", initial: "4MiB", rule: bytes(4<<10, 64<<20),
			help: "largest request",
		},
		{
			key: "limits.queue", initial: "16", rule: whole(1024),
			help: "calls that may wait in one session",
		},
		{
			key: "limits.commands", initial: "8", rule: whole(256),
			help: "commands that run at once in one session",
		},
		{
			key: "limits.queue_wait", initial: "120", rule: seconds(86400),
			help: "seconds that a call may wait for its turn",
		},
		{
			key: "state_dir", flag: "state-dir", initial: d.state, rule: path,
			help: "what outlives the daemon; one daemon at a time",
		},
		{
			key: "runtime_dir", flag: "runtime-dir", initial: d.runtime, rule: path,
			help: "sockets and mounts; one daemon at a time",
		},
		{
			key: "allow_unenforced_limits", flag: "allow-unenforced-limits", switches: true, initial: "false", rule: boolean,
			help: "start sessions though this host or user cannot enforce all limits",
		},
		{
			key: "orphan_grace", initial: "60", rule: seconds(86400),
			help: "seconds after which a sandbox ends whose daemon stays away",
		},
		{
			key: "shutdown.drain_timeout", initial: "8", rule: seconds(3600),
			help: "seconds that sessions get to end when the daemon stops",
		},
		{key: "template.python.path", rule: path, unset: "found in /usr/bin", help: "the Python interpreter"},
		{key: "template.node.path", rule: path, unset: "found in /usr/bin", help: "the Node interpreter"},
		{key: "template.bash.path", rule: path, unset: "found in /usr/bin", help: "the shell"},
		{
			key: "log.level", env: names("MSB_LOG_LEVEL"), flag: "log-level", initial: "INFO", rule: level,
			help: "DEBUG, INFO, WARNING or ERROR",
		},
		{
			key: "log.format", env: names("MSB_LOG_FORMAT"), flag: "log-format", initial: "auto", rule: oneOf("auto", "text", "json"),
			help: "auto (colours on a terminal, else text), text or json",
		},
	}
	for i := range rows {
		rows[i].ours = true
		if rows[i].env == nil {
			rows[i].env = names("SANDWARDEN_" + strings.ToUpper(strings.ReplaceAll(rows[i].key, delimiter, "_")))
		}
	}
	return rows
}

func names(n ...string) []string { return n }

// flavors returns the names of the built-in flavors, smallest first.
func flavors() []string {
	var all []string
	for _, f := range sandbox.Flavors() {
		all = append(all, f.Name)
	}
	return all
}

// notBuilt are names of the original that are known and have no effect yet, so
// that whoever has them in a file learns it.
func notBuilt() []string {
	return []string{
		"MSB_API_KEY", "MSB_SANDBOX_START_TIMEOUT", "MSB_ORPHAN_CLEANUP_INTERVAL", "MSB_SHARED_VOLUME_PATH",
		"MSB_LOG_FILE", "MSB_LOG_MAX_SIZE", "MSB_LOG_BACKUP_COUNT", "MSB_LOG_CONSOLE", "MSB_LOG_STRUCTURED",
		"MSB_CONNECTION_TIMEOUT", "MSB_REQUEST_TIMEOUT", "MSB_MAX_TOTAL_CPU_CORES", "MSB_ENABLE_VOLUME_MAPPING",
	}
}

// elsewhere are names with our prefix that are read by others than the table.
func elsewhere() []string {
	return []string{configVariable, "SANDWARDEN_IN_NAMESPACE", "SANDWARDEN_TEST_STRICT"}
}
