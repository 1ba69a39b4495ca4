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
	group    string   // the chapter of the documentation
	env      []string // the first that is not empty wins
	flag     string   // without dashes; empty is none
	initial  string   // the default, as a person would write it; empty is unset
	unset    string   // what unset means, for people
	rule     rule
	switches bool   // the flag needs no value
	flagOnly bool   // it is of one start, so neither a file nor the environment has it
	secret   bool   // never shown
	reload   bool   // SIGHUP changes it: the daemon's reloader applies it to what runs
	revived  string // the variable that the original documented and did not read
	ours     bool   // unknown to the original
	help     string
}

// variable is the setting's first name in the environment, or else its flag.
func (s *setting) variable() string {
	if s.flagOnly {
		return "--" + s.flag
	}
	return s.env[0]
}

// The chapters of the documentation, in their order.
const (
	listening  = "Listening"
	sessions   = "Sessions"
	executions = "Executions"
	sandboxes  = "Sandboxes"
	requests   = "Requests and connections"
	daemon     = "The daemon"
	logs       = "Logs"
	api        = "The microsandbox API"
	server     = "A microsandbox server"
)

func groups() []string {
	return []string{listening, sessions, executions, sandboxes, requests, daemon, logs, api, server}
}

// settings is the table. Its order is the order in which faults are told: that
// of the original first, as its users know it, then what is ours.
func settings(d directories) []setting {
	rows := theirSettings()
	for _, ours := range [][]setting{ourListening(), ourSessions(), ourSandboxes(), ourPools(), ourRequests(), ourDaemon(d), ourLogs(), ourAPI(), ourServer()} {
		for _, s := range ours {
			s.ours = true
			if s.env == nil && !s.flagOnly {
				s.env = names("SANDWARDEN_" + strings.ToUpper(strings.ReplaceAll(s.key, delimiter, "_")))
			}
			rows = append(rows, s)
		}
	}
	return rows
}

// theirSettings are those that the original checked, in its order.
func theirSettings() []setting {
	return []setting{
		{
			key: "port", group: listening, env: names("MCP_SERVER_PORT"), flag: "port", initial: "8775", rule: port(),
			help: "port to listen on",
		},
		{
			key: "host", group: listening, env: names("MCP_SERVER_HOST"), flag: "host", initial: "localhost", rule: host(),
			help: "address or name to listen on; localhost is 127.0.0.1 and ::1",
		},
		{
			key: "cors.enabled", group: listening, env: names("MCP_ENABLE_CORS"), flag: "enable-cors", switches: true, initial: "false", rule: only("true"), reload: true,
			help: "let web pages of the allowed origins call; only the word true enables it in the environment",
		},
		{
			key: "volumes", group: sandboxes, env: names("MSB_SHARED_VOLUME_PATH"), unset: "none", rule: volumes(),
			help: "folders of the host that every sandbox sees",
		},
		{
			key: "default_flavor", group: sessions, env: names("MSB_DEFAULT_FLAVOR"), initial: "small", rule: flavor(),
			help: "flavor of sessions that name none: " + strings.Join(flavors(), ", "),
		},
		{
			key: "session_timeout", group: sessions, env: names("MSB_SESSION_TIMEOUT"), initial: "1800", rule: seconds(1, year), reload: true,
			help: "seconds after which an idle session ends",
		},
		{
			key: "max_sessions", group: sessions, env: names("MSB_MAX_SESSIONS"), flag: "max-sessions", unset: "from the host", rule: whole(1, 1_000_000), reload: true,
			help: "sessions at one time",
		},
		{
			key: "cleanup_interval", group: sessions, env: names("MSB_CLEANUP_INTERVAL", "MSB_SESSION_CLEANUP_INTERVAL"), initial: "60", rule: seconds(1, year), reload: true,
			revived: "MSB_SESSION_CLEANUP_INTERVAL",
			help:    "seconds between two looks for idle sessions; less than the session timeout",
		},
		{
			key: "sandbox_start_timeout", group: sandboxes, env: names("MSB_SANDBOX_START_TIMEOUT"), initial: "180.0", rule: fraction(year),
			help: "seconds that a sandbox may take to start",
		},
		{
			key: "execution_timeout", group: executions, env: names("MSB_EXECUTION_TIMEOUT"), initial: "300", rule: seconds(1, year),
			help: "seconds that a call may run which names no timeout",
		},
		{
			key: "orphan_cleanup_interval", group: sandboxes, env: names("MSB_ORPHAN_CLEANUP_INTERVAL"), initial: "600", rule: seconds(1, year),
			help: "seconds between two looks for sandboxes of ours that no session owns",
		},
		{
			key: "lru_eviction", group: sessions, env: names("MSB_ENABLE_LRU_EVICTION"), initial: "true", rule: boolean(), reload: true,
			help: "end the longest idle session when there is no room for a new one",
		},
		{
			key: "max_total_memory_mb", group: sessions, env: names("MSB_MAX_TOTAL_MEMORY_MB"), unset: "measured use of the host", rule: whole(1, 1<<30), reload: true,
			help: "MiB that the flavors of all sessions may sum up to; room for the default flavor at least",
		},
		{
			key: "server_url", group: server, env: names("MSB_SERVER_URL"), unset: "the native backend", rule: serverURL(),
			help: "where it answers; sandboxes are made there instead of here",
		},
	}
}

func ourListening() []setting {
	return []setting{
		{
			key: "transport", group: listening, flag: "transport", initial: "streamable-http", rule: transport(),
			help: "streamable-http, or stdio for a client that starts the daemon itself",
		},
		{
			key: "tokens_file", group: listening, flag: "tokens-file", rule: pathname(), unset: "no authentication", reload: true,
			help: "who may call: the file that sandwarden token new NAME writes",
		},
		{
			key: "insecure_listen", group: listening, flag: "insecure-listen", switches: true, initial: "false", rule: boolean(),
			help: "listen where other machines reach it, without tokens",
		},
		{
			key: "tls.cert_file", group: listening, flag: "tls-cert", rule: pathname(), unset: "no TLS", reload: true,
			help: "certificate chain, in PEM; with tls.key_file",
		},
		{
			key: "tls.key_file", group: listening, flag: "tls-key", rule: pathname(), unset: "no TLS", reload: true,
			help: "the certificate's private key, in PEM",
		},
		{
			key: "cors.allowed_origins", group: listening, rule: list("origins, as https://example.org or *", origin), unset: "loopback origins only", reload: true,
			help: "further origins whose pages may call; * is all",
		},
		{
			key: "allowed_hosts", group: listening, rule: list("names or addresses without ports, as box.example.org", hostName), unset: "loopback names only", reload: true,
			help: "further names by which clients may call this daemon",
		},
	}
}

func ourSessions() []setting {
	return []setting{
		{
			key: "max_total_cpu_cores", group: sessions, env: names("MSB_MAX_TOTAL_CPU_CORES"), unset: "no limit", rule: whole(1, 1<<20), reload: true,
			revived: "MSB_MAX_TOTAL_CPU_CORES",
			help:    "processors that the flavors of all sessions may sum up to; room for the default flavor at least",
		},
		{
			key: "freeze.after", group: sessions, rule: seconds(1, year), unset: "never", reload: true,
			help: "seconds after which what an idle session has running is paused; the next use lets it go on",
		},
		{
			key: "freeze.reclaim", group: sessions, initial: "true", rule: boolean(), reload: true,
			help: "take back then what memory it can go without: pages of files, as sessions have no swap",
		},
		{
			key: "limits.sessions_per_principal", group: sessions, rule: whole(1, 1_000_000), unset: "no limit", reload: true,
			help: "sessions that the holder of one token may have",
		},
		{
			key: "limits.admission_queue", group: sessions, initial: "256", rule: whole(1, 1_000_000), reload: true,
			help: "calls that may wait for room for a new session",
		},
		{
			key: "limits.admission_wait", group: sessions, initial: "10", rule: seconds(0, 86400), reload: true,
			help: "seconds that such a call may wait; 0 refuses it at once",
		},
		{
			key: "max_execution_time", group: executions, env: names("MSB_MAX_EXECUTION_TIME"), initial: "1800", rule: seconds(1, year),
			revived: "MSB_MAX_EXECUTION_TIME",
			help:    "seconds that any call may ask for",
		},
		{
			key: "limits.output_bytes", group: executions, initial: "4MiB", rule: bytes(4<<10, 64<<20),
			help: "output of one execution that an answer holds; what is beyond is counted, and can be read by range",
		},
		{
			key: "limits.spill_bytes", group: executions, initial: "64MiB", rule: bytes(64<<10, 1<<40),
			help: "output kept of one execution on disk; what is beyond is counted",
		},
		{
			key: "limits.answer_wait", group: executions, initial: "45", rule: seconds(1, year),
			help: "seconds after which a call of a client that shook hands answers that the work still runs; less than such clients wait",
		},
		{
			key: "limits.cpu_time", group: executions, rule: seconds(1, year), unset: "no limit",
			help: "seconds of processor time that one execution may use, all its processes together",
		},
		{
			key: "limits.code_bytes", group: executions, initial: "1MiB", rule: bytes(1<<10, 2<<20),
			help: "largest piece of code",
		},
		{
			key: "limits.queue", group: executions, initial: "16", rule: whole(1, 1024),
			help: "calls that may wait in one session",
		},
		{
			key: "limits.commands", group: executions, initial: "8", rule: whole(1, 256),
			help: "commands that run at once in one session",
		},
		{
			key: "limits.queue_wait", group: executions, initial: "120", rule: seconds(1, 86400),
			help: "seconds that a call may wait for its turn",
		},
	}
}

func ourSandboxes() []setting {
	return []setting{
		{
			key: "volume_mapping", group: sandboxes, env: names("MSB_ENABLE_VOLUME_MAPPING"), initial: "true", rule: boolean(),
			revived: "MSB_ENABLE_VOLUME_MAPPING",
			help:    "off drops all volumes",
		},
		{
			key: "connection_timeout", group: sandboxes, env: names("MSB_CONNECTION_TIMEOUT"), rule: seconds(1, year), unset: "that of the backend",
			revived: "MSB_CONNECTION_TIMEOUT",
			help:    "seconds that reaching a new sandbox may take",
		},
		{
			key: "request_timeout", group: sandboxes, env: names("MSB_REQUEST_TIMEOUT"), rule: seconds(1, year), unset: "that of the backend",
			revived: "MSB_REQUEST_TIMEOUT",
			help:    "seconds that a call to a sandbox may take which is to answer at once; executions have their own",
		},
		{
			key: "allow_unenforced_limits", group: sandboxes, flag: "allow-unenforced-limits", switches: true, initial: "false", rule: boolean(),
			help: "start sessions though this host or user cannot enforce all limits",
		},
		{
			key: "orphan_grace", group: sandboxes, initial: "600", rule: seconds(1, 86400),
			help: "seconds after which a sandbox ends whose daemon stays away",
		},
		{
			key: "cgroup_parent", group: sandboxes, rule: controlGroup(), unset: "beside what the host has at the top",
			help: "control group, from the root of each hierarchy, in which those of sandboxes are made",
		},
		{key: "template.python.path", group: sandboxes, rule: pathname(), unset: "found in /usr/bin", help: "the Python interpreter"},
		{key: "template.node.path", group: sandboxes, rule: pathname(), unset: "found in /usr/bin", help: "the Node interpreter"},
		{key: "template.bash.path", group: sandboxes, rule: pathname(), unset: "found in /usr/bin", help: "the shell"},
	}
}

// ourPools are what is made before anybody asks for it.
func ourPools() []setting {
	return []setting{
		{
			key: "pool.min", group: sandboxes, initial: "4", rule: whole(0, 1024),
			help: "sandboxes of each template that are ready from the start; 0 makes each when it is asked for",
		},
		{
			key: "pool.max", group: sandboxes, initial: "128", rule: whole(1, 4096),
			help: "sandboxes of one kind that are ready at most, when many are asked for",
		},
		{
			key: "pool.memory_share", group: sandboxes, initial: "10", rule: whole(1, 80),
			help: "percent of the host's memory that all ready sandboxes together may take",
		},
		{
			key: "zygote.enabled", group: sandboxes, initial: "true", rule: boolean(),
			help: "fork Python kernels from a process that has the interpreter loaded; off starts an interpreter for each",
		},
		{
			key: "zygote.preimport", group: sandboxes, unset: "none", rule: list("modules, as numpy or os.path", moduleName),
			help: "Python modules that it imports besides the standard set, so that kernels have them at once",
		},
		{
			key: "zygote.forks", group: sandboxes, initial: "10000", rule: whole(1, 1_000_000_000),
			help: "kernels after which another process takes its place",
		},
	}
}

// ourRequests are bounds on clients.
func ourRequests() []setting {
	return []setting{
		{
			key: "limits.body_bytes", group: requests, initial: "4MiB", rule: bytes(4<<10, 64<<20),
			help: "largest request; room for the largest code at least",
		},
		{
			key: "limits.file_bytes", group: requests, initial: "1GiB", rule: bytes(4<<10, 1<<40),
			help: "largest file, tree or input that is sent to a session over REST",
		},
		{
			key: "limits.body_timeout", group: requests, initial: "30", rule: seconds(1, 3600),
			help: "seconds that a client may take to send a request's body",
		},
		{
			key: "limits.header_bytes", group: requests, initial: "64KiB", rule: bytes(4<<10, 1<<20),
			help: "largest header of a request",
		},
		{
			key: "limits.header_timeout", group: requests, initial: "10", rule: seconds(1, 3600),
			help: "seconds that a client may take to send a request's header",
		},
		{
			key: "limits.connection_idle_timeout", group: requests, initial: "120", rule: seconds(1, 86400),
			help: "seconds that a connection may stay open without a request",
		},
		{
			key: "limits.connections", group: requests, initial: "4096", rule: whole(1, 1_000_000),
			help: "connections at one time to each address; more wait to be accepted",
		},
	}
}

func ourDaemon(d directories) []setting {
	return []setting{
		{
			key: "state_dir", group: daemon, flag: "state-dir", initial: d.state, rule: pathname(),
			help: "what outlives the daemon; one daemon at a time",
		},
		{
			key: "runtime_dir", group: daemon, flag: "runtime-dir", initial: d.runtime, rule: pathname(),
			help: "sockets and mounts; one daemon at a time",
		},
		{
			key: "clean", group: daemon, flag: "clean", flagOnly: true, switches: true, initial: "false", rule: boolean(),
			help: "begin with nothing left of earlier daemons",
		},
		{
			key: "shutdown.drain_timeout", group: daemon, initial: "8", rule: seconds(1, 3600),
			help: "seconds that sessions get to end when the daemon stops",
		},
		{
			key: "shutdown.sessions", group: daemon, initial: "keep", rule: oneOf("keep", "destroy"),
			help: "keep lets sessions and what they run go on until the next start; interrupted at a terminal, as PID 1 and over standard input the daemon always ends them",
		},
		{
			key: "history.executions", group: daemon, initial: "256", rule: whole(1, 1_000_000),
			help: "executions of one session that have ended and are kept",
		},
		{
			key: "history.age", group: daemon, initial: "86400", rule: seconds(1, year),
			help: "seconds that executions are kept after their end, or that of their session",
		},
		{
			key: "history.session_bytes", group: daemon, initial: "128MiB", rule: bytes(1<<20, 1<<40),
			help: "size of the record of one session, output included; the oldest executions go first",
		},
		{
			key: "history.total_bytes", group: daemon, initial: "4GiB", rule: bytes(1<<20, 1<<50),
			help: "size of the records of all sessions; over it output is cut and new work refused",
		},
		{
			key: "history.free_bytes", group: daemon, initial: "256MiB", rule: bytes(1<<20, 1<<50),
			help: "room on the disk that output leaves, or a twentieth of a small one",
		},
		{
			key: "pprof.listen", group: daemon, flag: "pprof", initial: "off", rule: hereAlone(),
			help: "where to serve profiles of the daemon itself, for go tool pprof: off, or HOST:PORT of this machine",
		},
		{
			key: "pprof.contention", group: daemon, initial: "off", rule: boolean(),
			help: "record also where the daemon waits, which costs a little: its block and mutex profiles",
		},
	}
}

func ourLogs() []setting {
	return []setting{
		{
			key: "log.level", group: logs, env: names("MSB_LOG_LEVEL"), flag: "log-level", initial: "INFO", rule: level(), reload: true,
			help: "DEBUG, INFO, WARNING or ERROR, of all that is logged",
		},
		{
			key: "log.format", group: logs, env: names("MSB_LOG_FORMAT"), flag: "log-format", initial: "auto", rule: oneOf("auto", "text", "json"),
			revived: "MSB_LOG_FORMAT",
			help:    "auto (colours on a terminal, else text), text or json",
		},
		{
			key: "log.structured", group: logs, env: names("MSB_LOG_STRUCTURED"), initial: "true", rule: only("true", "1", "yes"),
			help: "lines of text with a component and, where there is more to say, a JSON object; off writes plainer ones",
		},
		{
			key: "log.console", group: logs, env: names("MSB_LOG_CONSOLE"), initial: "true", rule: only("true", "1", "yes"),
			help: "log to standard error",
		},
		{
			key: "log.file", group: logs, env: names("MSB_LOG_FILE"), rule: pathname(), unset: "none",
			help: "log to this file too; its folder is made",
		},
		{
			key: "log.max_size", group: logs, env: names("MSB_LOG_MAX_SIZE"), initial: "10485760", rule: bytes(0, 1<<40),
			help: "bytes after which the file is rotated; 0 never rotates it",
		},
		{
			key: "log.backup_count", group: logs, env: names("MSB_LOG_BACKUP_COUNT"), initial: "5", rule: whole(0, 10_000),
			help: "rotated files that are kept; 0 never rotates",
		},
	}
}

// ourAPI are the settings of the server for clients of microsandbox.
func ourAPI() []setting {
	return []setting{
		{
			key: "msb.listen", group: api, flag: "msb-listen", initial: "off", rule: listenAddress(),
			help: "where to serve it: off, HOST:PORT, or auto, which is " + UsualAPI + " when no other program has that",
		},
		{
			key: "msb.dev", group: api, flag: "msb-dev", initial: "auto", rule: ifWanted(), switches: true, reload: true,
			help: "development mode: needs no key; auto is on without tokens_file, on this machine alone",
		},
		{
			key: "msb.key_file", group: api, flag: "msb-key-file", unset: "server.key in the state directory", rule: pathname(),
			help: "the secret that keys are signed with, which sandwarden keygen makes when it is not there",
		},
		{
			key: "msb.idle_timeout", group: api, initial: "86400", rule: seconds(1, year),
			help: "seconds after which a sandbox of this API ends that nobody uses",
		},
	}
}

func ourServer() []setting {
	return []setting{
		{
			key: "backend", group: server, flag: "backend", initial: "auto", rule: oneOf("auto", "native", "microsandbox"),
			help: "where sandboxes are made: native is here, microsandbox at server_url, and auto is microsandbox where that is set",
		},
		{
			key: "api_key", group: server, env: names("MSB_API_KEY"), unset: "none", rule: word(), secret: true,
			help: "the key to it",
		},
		{
			key: "template.python.image", group: server, env: names("SANDWARDEN_TEMPLATE_PYTHON_IMAGE", "MICROSANDBOX_PYTHON_IMAGE"), initial: "microsandbox/python", rule: image(),
			help: "image of the template python, also as clients of the microsandbox API name it",
		},
		{
			key: "template.node.image", group: server, initial: "microsandbox/node", rule: image(),
			help: "image of the template node, likewise",
		},
		{
			key: "template.bash.image", group: server, unset: "that of python", rule: image(),
			help: "image of the template bash, likewise",
		},
	}
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

// namespaceVariable is set for a run that another one started in a namespace.
const namespaceVariable = "SANDWARDEN_IN_NAMESPACE"

// elsewhere are names with our prefix that are read by others than the table.
func elsewhere() []string {
	return []string{configVariable, envFileVariable, namespaceVariable, "SANDWARDEN_TEST_STRICT", "SANDWARDEN_URL", "SANDWARDEN_TOKEN"}
}
