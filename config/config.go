// Package config reads the configuration of the daemon.
//
// A value comes from the defaults, a YAML file, a file of variables (.env), the
// environment or the flags, the later of which wins. One table, in settings.go,
// names every setting with its environment variables, its flag, its default and
// its rule: reading, checking, help, printing and docs/configuration.md all
// follow it.
//
// The one sentinel is [ErrShared].
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"github.com/sandwarden/sandwarden/sandbox"
)

// A Config is what the daemon is told. Its values are checked.
type Config struct {
	Files []string `koanf:"files"` // that it was read from; no setting

	Transport      string   `koanf:"transport"` // "streamable-http" or "stdio"
	Host           string   `koanf:"host"`
	Port           int      `koanf:"port"`
	EnableCORS     bool     `koanf:"cors.enabled"`
	AllowedOrigins []string `koanf:"cors.allowed_origins"`
	AllowedHosts   []string `koanf:"allowed_hosts"`
	TokensFile     string   `koanf:"tokens_file"`     // empty: no authentication
	InsecureListen bool     `koanf:"insecure_listen"` // other machines may connect without a token
	TLSCert        string   `koanf:"tls.cert_file"`   // with TLSKey, or both are empty: no TLS
	TLSKey         string   `koanf:"tls.key_file"`

	DefaultFlavor       string        `koanf:"default_flavor"`
	SessionTimeout      time.Duration `koanf:"session_timeout"` // idle sessions end after it
	CleanupInterval     time.Duration `koanf:"cleanup_interval"`
	FreezeAfter         time.Duration `koanf:"freeze.after"` // idle sessions are frozen after it; 0: never
	FreezeReclaim       bool          `koanf:"freeze.reclaim"`
	OrphanInterval      time.Duration `koanf:"orphan_cleanup_interval"`
	SandboxStartTimeout time.Duration `koanf:"sandbox_start_timeout"`
	ExecutionTimeout    time.Duration `koanf:"execution_timeout"`   // of a call that names none
	MaxExecutionTime    time.Duration `koanf:"max_execution_time"`  // of any call
	MaxSessions         int           `koanf:"max_sessions"`        // 0: follows from the host
	MaxTotalMemoryMB    int64         `koanf:"max_total_memory_mb"` // 0: measured use counts
	MaxTotalCPUs        int           `koanf:"max_total_cpu_cores"` // 0: no limit
	LRUEviction         bool          `koanf:"lru_eviction"`

	Volumes       []sandbox.Volume `koanf:"volumes"`        // none where VolumeMapping is false
	VolumeMapping bool             `koanf:"volume_mapping"` // Volumes says what follows from it

	Backend           string        `koanf:"backend"`            // "native" or "microsandbox"
	ServerURL         string        `koanf:"server_url"`         // without a slash at its end; empty for native
	APIKey            string        `koanf:"api_key"`            // a secret
	ConnectionTimeout time.Duration `koanf:"connection_timeout"` // 0: that of the backend
	RequestTimeout    time.Duration `koanf:"request_timeout"`    // of calls that answer at once; 0: that of the backend

	OutputBytes          int64         `koanf:"limits.output_bytes"` // in one answer
	SpillBytes           int64         `koanf:"limits.spill_bytes"`  // on disk
	SoftLimit            time.Duration `koanf:"limits.answer_wait"`  // of a call before it answers "still running"
	CPULimit             time.Duration `koanf:"limits.cpu_time"`     // of one execution; 0: none
	CodeBytes            int64         `koanf:"limits.code_bytes"`
	BodyBytes            int64         `koanf:"limits.body_bytes"`
	FileBytes            int64         `koanf:"limits.file_bytes"`
	Queue                int           `koanf:"limits.queue"`
	Commands             int           `koanf:"limits.commands"`
	QueueWait            time.Duration `koanf:"limits.queue_wait"`
	AdmissionQueue       int           `koanf:"limits.admission_queue"`
	AdmissionWait        time.Duration `koanf:"limits.admission_wait"`         // 0: nobody waits
	SessionsPerPrincipal int           `koanf:"limits.sessions_per_principal"` // 0: no limit
	Connections          int           `koanf:"limits.connections"`
	HeaderBytes          int64         `koanf:"limits.header_bytes"`
	HeaderTimeout        time.Duration `koanf:"limits.header_timeout"`
	BodyTimeout          time.Duration `koanf:"limits.body_timeout"`
	IdleTimeout          time.Duration `koanf:"limits.connection_idle_timeout"`

	StateDir              string        `koanf:"state_dir"`
	RuntimeDir            string        `koanf:"runtime_dir"`
	Clean                 bool          `koanf:"clean"` // begin with nothing left of earlier daemons
	AllowUnenforcedLimits bool          `koanf:"allow_unenforced_limits"`
	OrphanGrace           time.Duration `koanf:"orphan_grace"`
	CgroupParent          string        `koanf:"cgroup_parent"` // empty: beside what the host has at the top
	DrainTimeout          time.Duration `koanf:"shutdown.drain_timeout"`
	ShutdownSessions      string        `koanf:"shutdown.sessions"` // "keep" or "destroy"

	HistoryExecutions   int           `koanf:"history.executions"`
	HistoryAge          time.Duration `koanf:"history.age"`
	HistorySessionBytes int64         `koanf:"history.session_bytes"`
	HistoryTotalBytes   int64         `koanf:"history.total_bytes"`
	HistoryFreeBytes    int64         `koanf:"history.free_bytes"`

	PoolMin     int      `koanf:"pool.min"`          // ready sandboxes per template; 0: none at all
	PoolMax     int      `koanf:"pool.max"`          // ready sandboxes of one kind
	PoolShare   int      `koanf:"pool.memory_share"` // percent of the host's memory for all of them
	Zygote      bool     `koanf:"zygote.enabled"`
	Preimport   []string `koanf:"zygote.preimport"` // dotted names, besides the standard set
	ZygoteForks int      `koanf:"zygote.forks"`     // of one zygote

	PprofListen     string `koanf:"pprof.listen"`     // host:port of this machine, or empty: not served
	PprofContention bool   `koanf:"pprof.contention"` // with block and mutex profiles

	PythonPath string `koanf:"template.python.path"` // empty: found in /usr/bin
	NodePath   string `koanf:"template.node.path"`
	BashPath   string `koanf:"template.bash.path"`

	PythonImage string `koanf:"template.python.image"`
	NodeImage   string `koanf:"template.node.image"`
	BashImage   string `koanf:"template.bash.image"` // empty: that of Python

	MSBListen      string        `koanf:"msb.listen"`   // host:port, "auto", or empty: the microsandbox API is not served
	MSBDev         bool          `koanf:"msb.dev"`      // it needs no key
	MSBKeyFile     string        `koanf:"msb.key_file"` // may not be there yet
	MSBIdleTimeout time.Duration `koanf:"msb.idle_timeout"`

	LogLevel      slog.Level `koanf:"log.level"`
	LogFormat     string     `koanf:"log.format"`       // "auto", "text" or "json"
	LogStructured bool       `koanf:"log.structured"`   // which of two lines the text format writes
	LogConsole    bool       `koanf:"log.console"`      // standard error
	LogFile       string     `koanf:"log.file"`         // empty: none
	LogMaxSize    int64      `koanf:"log.max_size"`     // bytes of LogFile before it is rotated; 0: never is
	LogBackups    int        `koanf:"log.backup_count"` // rotated files that are kept; 0: LogFile is never rotated
}

// Sources is where a configuration is read from. Nothing else is looked at.
type Sources struct {
	Flags   *pflag.FlagSet // parsed, with the flags of [AddFlags]; nil is none
	Environ []string       // "K=V"; of a name that comes twice the first counts
	// ReadFile reads a whole file; nil is the file system. An error that is
	// [ErrShared] comes with the file's text.
	ReadFile func(name string) ([]byte, error)
	UID      int // the standard directories depend on it, and whose files are trusted
}

// ErrShared is said of a file that others than the daemon's user may change.
var ErrShared = errors.New("others may change it")

// A Report says where a configuration came from.
type Report struct {
	File     string   // that was read; empty is none
	EnvFiles []string // those of variables that were read, in their order
	Values   []Value  // one for each setting, in the order of the table
	Warnings []string
	// NewlyEffective are the variables that are set, had no effect in the
	// original and have one here. A warning names them too.
	NewlyEffective []string
}

// A Value is one effective setting as people read it.
type Value struct {
	Key    string
	Text   string // "***" of a secret
	Source string // "default", "file …", "environment …" or "flag …"
}

// An Error is all that is wrong with a configuration. The first fault is the
// one that users of the original have learnt to expect. A fault is one line, but
// for what the original had to say of volumes.
type Error struct{ Faults []string }

// Error returns the faults, each as a line that says what it is.
func (e *Error) Error() string {
	return "Configuration error: " + strings.Join(e.Faults, "\nConfiguration error: ")
}

// Load reads, merges and checks a configuration. A bad one is an [*Error] that
// lists every fault; the report is whole in that case too, as far as it goes.
func Load(s Sources) (Config, Report, error) {
	r := newReading(s)
	if err := r.layers(); err != nil {
		return Config{}, Report{File: r.file, EnvFiles: r.envFiles, Warnings: r.warnings}, &Error{Faults: []string{err.Error()}}
	}
	typed, ours := r.parse()
	typed["files"] = slices.DeleteFunc(append(slices.Clone(r.envFiles), r.file), func(name string) bool { return name == "" })
	config, err := decode(typed)
	if err != nil {
		return Config{}, r.report(), &Error{Faults: []string{err.Error()}}
	}
	r.checkOriginal(&config)
	r.faults = append(r.faults, ours...)
	r.check(&config)
	r.refuseUnknownKeys()
	report := r.report()
	if len(r.faults) > 0 {
		return Config{}, report, &Error{Faults: r.faults}
	}
	return config, report, nil
}

// decode fills a Config from checked values. A key of the table that Config
// does not have is an error, which a test would meet at once.
func decode(typed map[string]any) (Config, error) {
	k := koanf.New(delimiter)
	if err := k.Load(layer(typed), nil); err != nil {
		return Config{}, fmt.Errorf("merge settings: %w", err)
	}
	var config Config
	err := k.UnmarshalWithConf("", &config, koanf.UnmarshalConf{
		FlatPaths: true,
		DecoderConfig: &mapstructure.DecoderConfig{
			Result: &config, TagName: "koanf", ErrorUnused: true, ErrorUnset: true,
		},
	})
	if err != nil {
		return Config{}, fmt.Errorf("fill settings: %w", err)
	}
	return config, nil
}
