package config_test

import (
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/sandwarden/sandwarden/config"
	"github.com/sandwarden/sandwarden/sandbox"
)

// load reads a configuration from a file's text, an environment and flags.
func load(t *testing.T, file string, environ []string, args ...string) (config.Config, config.Report, error) {
	t.Helper()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	config.AddFlags(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return config.Load(config.Sources{Flags: flags, Environ: environ, ReadFile: only("sandwarden.yaml", file)})
}

// only is a file system with one file, or none when the text is empty.
func only(name, text string) func(string) ([]byte, error) {
	return func(asked string) ([]byte, error) {
		if asked != name || text == "" {
			return nil, &fs.PathError{Op: "open", Path: asked, Err: fs.ErrNotExist}
		}
		return []byte(text), nil
	}
}

func TestLoad_Defaults(t *testing.T) {
	got, report, err := load(t, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := config.Config{
		Files:     []string{},
		Transport: "streamable-http", Host: "localhost", Port: 8775, AllowedOrigins: []string{}, AllowedHosts: []string{},
		DefaultFlavor: "small", SessionTimeout: 1800 * time.Second, CleanupInterval: time.Minute,
		OrphanInterval: 10 * time.Minute, SandboxStartTimeout: 3 * time.Minute, FileBytes: 1 << 30,
		ExecutionTimeout: 300 * time.Second, MaxExecutionTime: 1800 * time.Second, LRUEviction: true, FreezeReclaim: true,
		Volumes: []sandbox.Volume{}, VolumeMapping: true,
		Backend: "native", PythonImage: "microsandbox/python", NodeImage: "microsandbox/node",
		MSBDev: true, MSBKeyFile: "/var/lib/sandwarden/server.key", MSBIdleTimeout: 24 * time.Hour,
		OutputBytes: 4 << 20, SpillBytes: 64 << 20, SoftLimit: 45 * time.Second, CodeBytes: 1 << 20, BodyBytes: 4 << 20, Queue: 16, Commands: 8, QueueWait: 2 * time.Minute,
		AdmissionQueue: 256, AdmissionWait: 10 * time.Second, Connections: 4096, HeaderBytes: 64 << 10,
		HeaderTimeout: 10 * time.Second, BodyTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		StateDir: "/var/lib/sandwarden", RuntimeDir: "/run/sandwarden", OrphanGrace: 10 * time.Minute, DrainTimeout: 8 * time.Second, ShutdownSessions: "keep",
		PoolMin: 4, PoolMax: 128, PoolShare: 10, Zygote: true, Preimport: []string{}, ZygoteForks: 10_000,
		HistoryExecutions: 256, HistoryAge: 24 * time.Hour, HistorySessionBytes: 128 << 20, HistoryTotalBytes: 4 << 30, HistoryFreeBytes: 256 << 20,
		LogLevel: slog.LevelInfo, LogFormat: "auto", LogStructured: true, LogConsole: true, LogMaxSize: 10 << 20, LogBackups: 5,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("defaults differ (-want +got):\n%s", diff)
	}
	if len(report.Warnings) > 0 || report.File != "" {
		t.Errorf("report = %+v, want no file and no warning", report)
	}
	for _, v := range report.Values {
		if v.Source != "default" || v.Text == "" {
			t.Errorf("%+v, want a default that says something", v)
		}
	}
}

func TestLoad_LaterWins(t *testing.T) {
	const file = "port: 1001\nmax_sessions: 7\nlog:\n  level: debug\n"
	for name, test := range map[string]struct {
		environ []string
		args    []string
		port    int
		source  string
	}{
		"file":              {port: 1001, source: "file sandwarden.yaml"},
		"environment":       {environ: []string{"MCP_SERVER_PORT=1002"}, port: 1002, source: "environment MCP_SERVER_PORT"},
		"flag":              {environ: []string{"MCP_SERVER_PORT=1002"}, args: []string{"--port", "1003"}, port: 1003, source: "flag --port"},
		"empty is unset":    {environ: []string{"MCP_SERVER_PORT="}, port: 1001, source: "file sandwarden.yaml"},
		"first of two":      {environ: []string{"MCP_SERVER_PORT=1004", "MCP_SERVER_PORT=1005"}, port: 1004, source: "environment MCP_SERVER_PORT"},
		"spaces and a sign": {environ: []string{"MCP_SERVER_PORT= +1_006 "}, port: 1006, source: "environment MCP_SERVER_PORT"},
	} {
		t.Run(name, func(t *testing.T) {
			got, report, err := load(t, file, test.environ, test.args...)
			if err != nil {
				t.Fatal(err)
			}
			if got.Port != test.port || got.MaxSessions != 7 || got.LogLevel != slog.LevelDebug {
				t.Errorf("port %d, sessions %d, level %v; want %d, 7, DEBUG", got.Port, got.MaxSessions, got.LogLevel, test.port)
			}
			if source := sourceOf(report, "port"); source != test.source {
				t.Errorf("port comes from %q, want %q", source, test.source)
			}
		})
	}
}

func sourceOf(report config.Report, key string) string {
	for _, v := range report.Values {
		if v.Key == key {
			return v.Source
		}
	}
	return ""
}

func TestLoad_Values(t *testing.T) {
	for name, test := range map[string]struct {
		file    string
		environ []string
		args    []string
		got     func(config.Config) any
		want    any
	}{
		"alias":                   {environ: []string{"MSB_SESSION_CLEANUP_INTERVAL=20"}, got: cleanup, want: 20 * time.Second},
		"name wins over alias":    {environ: []string{"MSB_SESSION_CLEANUP_INTERVAL=20", "MSB_CLEANUP_INTERVAL=30"}, got: cleanup, want: 30 * time.Second},
		"empty name, alias":       {environ: []string{"MSB_SESSION_CLEANUP_INTERVAL=20", "MSB_CLEANUP_INTERVAL="}, got: cleanup, want: 20 * time.Second},
		"length of time":          {file: "cleanup_interval: 1m30s", got: cleanup, want: 90 * time.Second},
		"cors":                    {environ: []string{"MCP_ENABLE_CORS=TRUE"}, got: cors, want: true},
		"cors knows one word":     {environ: []string{"MCP_ENABLE_CORS=1"}, got: cors, want: false},
		"cors flag":               {args: []string{"--enable-cors"}, got: cors, want: true},
		"cors flag off":           {environ: []string{"MCP_ENABLE_CORS=true"}, args: []string{"--enable-cors=false"}, got: cors, want: false},
		"cors in the file":        {file: "cors: {enabled: yes}", got: cors, want: true},
		"boolean word":            {environ: []string{"MSB_ENABLE_LRU_EVICTION=Disabled"}, got: func(c config.Config) any { return c.LRUEviction }, want: false},
		"flavor in any case":      {environ: []string{"MSB_DEFAULT_FLAVOR= Large "}, got: func(c config.Config) any { return c.DefaultFlavor }, want: "large"},
		"no more than no wait":    {environ: []string{"SANDWARDEN_LIMITS_ADMISSION_WAIT=0"}, got: func(c config.Config) any { return c.AdmissionWait }, want: time.Duration(0)},
		"no wait with a unit":     {file: "limits: {admission_wait: 0s}", got: func(c config.Config) any { return c.AdmissionWait }, want: time.Duration(0)},
		"part of a second":        {environ: []string{"MSB_SANDBOX_START_TIMEOUT= 0.5 "}, got: start, want: 500 * time.Millisecond},
		"whole float":             {environ: []string{"MSB_SANDBOX_START_TIMEOUT=1_80"}, got: start, want: 3 * time.Minute},
		"float as a power":        {environ: []string{"MSB_SANDBOX_START_TIMEOUT=1.5e2"}, got: start, want: 150 * time.Second},
		"float with a unit":       {environ: []string{"MSB_SANDBOX_START_TIMEOUT=2m"}, got: start, want: 2 * time.Minute},
		"float that is tiny":      {environ: []string{"MSB_SANDBOX_START_TIMEOUT=1e-300"}, got: start, want: time.Millisecond},
		"float in the file":       {file: "sandbox_start_timeout: .5", got: start, want: 500 * time.Millisecond},
		"once dead connections":   {environ: []string{"MSB_CONNECTION_TIMEOUT=30"}, got: func(c config.Config) any { return c.ConnectionTimeout }, want: 30 * time.Second},
		"once dead requests":      {environ: []string{"MSB_REQUEST_TIMEOUT=300"}, got: func(c config.Config) any { return c.RequestTimeout }, want: 300 * time.Second},
		"once dead processors":    {environ: []string{"MSB_MAX_TOTAL_CPU_CORES=8"}, got: func(c config.Config) any { return c.MaxTotalCPUs }, want: 8},
		"orphans":                 {environ: []string{"MSB_ORPHAN_CLEANUP_INTERVAL=60"}, got: func(c config.Config) any { return c.OrphanInterval }, want: time.Minute},
		"log file":                {environ: []string{"MSB_LOG_FILE=/var/log/x/../y.log"}, got: func(c config.Config) any { return c.LogFile }, want: "/var/log/y.log"},
		"log size":                {environ: []string{"MSB_LOG_MAX_SIZE=1024"}, got: func(c config.Config) any { return c.LogMaxSize }, want: int64(1024)},
		"log without rotation":    {environ: []string{"MSB_LOG_MAX_SIZE=0"}, got: func(c config.Config) any { return c.LogMaxSize }, want: int64(0)},
		"no old logs":             {environ: []string{"MSB_LOG_BACKUP_COUNT=0"}, got: func(c config.Config) any { return c.LogBackups }, want: 0},
		"console yes":             {environ: []string{"MSB_LOG_CONSOLE=YES"}, got: console, want: true},
		"console knows words":     {environ: []string{"MSB_LOG_CONSOLE=on"}, got: console, want: false},
		"console empty":           {environ: []string{"MSB_LOG_CONSOLE="}, got: console, want: true},
		"console in the file":     {file: "log: {console: on}", got: console, want: true},
		"plain lines":             {environ: []string{"MSB_LOG_STRUCTURED=0"}, got: func(c config.Config) any { return c.LogStructured }, want: false},
		"tokens beyond loopback":  {environ: []string{"MCP_SERVER_HOST=0.0.0.0"}, args: []string{"--tokens-file", "/t"}, got: func(c config.Config) any { return c.TokensFile }, want: "/t"},
		"TLS":                     {args: []string{"--tls-cert", "/c", "--tls-key", "/k"}, got: func(c config.Config) any { return c.TLSCert + c.TLSKey }, want: "/c/k"},
		"transport":               {args: []string{"--transport", "STDIO"}, got: func(c config.Config) any { return c.Transport }, want: "stdio"},
		"clean":                   {args: []string{"--clean"}, got: func(c config.Config) any { return c.Clean }, want: true},
		"processor time":          {file: "limits: {cpu_time: 90}", got: func(c config.Config) any { return c.CPULimit }, want: 90 * time.Second},
		"principals":              {file: "limits: {sessions_per_principal: 3}", got: func(c config.Config) any { return c.SessionsPerPrincipal }, want: 3},
		"level in any case":       {args: []string{"--log-level", "warning"}, got: func(c config.Config) any { return c.LogLevel }, want: slog.LevelWarn},
		"size with a unit":        {environ: []string{"SANDWARDEN_LIMITS_OUTPUT_BYTES=8MiB"}, got: func(c config.Config) any { return c.OutputBytes }, want: int64(8 << 20)},
		"list in the file":        {file: "allowed_hosts: [a.example, b.example]", got: hosts, want: []string{"a.example", "b.example"}},
		"list in the environment": {environ: []string{"SANDWARDEN_ALLOWED_HOSTS=a.example, b.example,"}, got: hosts, want: []string{"a.example", "b.example"}},
		"whole keys in the file":  {file: "cors.enabled: true", got: cors, want: true},
		"nothing in the file":     {file: "# nothing\n", got: cors, want: false},
		"nulls in the file":       {file: "port:\ncors:\nlog: {}\n", got: func(c config.Config) any { return c.Port }, want: 8775},
		"insecure but asked for":  {environ: []string{"MCP_SERVER_HOST=0.0.0.0", "SANDWARDEN_INSECURE_LISTEN=1"}, got: func(c config.Config) any { return c.Host }, want: "0.0.0.0"},
		"interpreter":             {file: "template: {python: {path: /opt/python}}", got: func(c config.Config) any { return c.PythonPath }, want: "/opt/python"},
		"no pools":                {environ: []string{"SANDWARDEN_POOL_MIN=0"}, got: pools, want: []int{0, 128}},
		"more ready, longer pool": {environ: []string{"SANDWARDEN_POOL_MIN=200"}, got: pools, want: []int{200, 200}},
		"smaller pool, less":      {file: "pool: {max: 2}", got: pools, want: []int{2, 2}},
		"modules":                 {environ: []string{"SANDWARDEN_ZYGOTE_PREIMPORT=numpy, os.path,_x1"}, got: func(c config.Config) any { return c.Preimport }, want: []string{"numpy", "os.path", "_x1"}},
		"modules in the file":     {file: "zygote: {preimport: [numpy, a.b.c]}", got: func(c config.Config) any { return c.Preimport }, want: []string{"numpy", "a.b.c"}},
		"no zygote":               {environ: []string{"SANDWARDEN_ZYGOTE_ENABLED=no"}, got: func(c config.Config) any { return c.Zygote }, want: false},
		"longer call, longer max": {environ: []string{"MSB_EXECUTION_TIMEOUT=3600"}, got: func(c config.Config) any { return c.MaxExecutionTime }, want: time.Hour},
		"lower max, lower call":   {environ: []string{"MSB_MAX_EXECUTION_TIME=60"}, got: func(c config.Config) any { return c.ExecutionTimeout }, want: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			config, _, err := load(t, test.file, test.environ, test.args...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, test.got(config)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func start(c config.Config) any   { return c.SandboxStartTimeout }
func console(c config.Config) any { return c.LogConsole }
func cleanup(c config.Config) any { return c.CleanupInterval }
func cors(c config.Config) any    { return c.EnableCORS }
func pools(c config.Config) any   { return []int{c.PoolMin, c.PoolMax} }
func hosts(c config.Config) any   { return c.AllowedHosts }

// The texts are those that the guide's users have met, to the letter.
func TestLoad_Faults(t *testing.T) {
	for name, test := range map[string]struct {
		file    string
		environ []string
		args    []string
		want    string
	}{
		"port":                 {environ: []string{"MCP_SERVER_PORT=abc"}, want: `Invalid MCP_SERVER_PORT: invalid literal for int() with base 10: 'abc'`},
		"port range":           {environ: []string{"MCP_SERVER_PORT=70000"}, want: `Invalid MCP_SERVER_PORT: Invalid port number: 70000`},
		"port too large":       {environ: []string{"MCP_SERVER_PORT=99999999999999999999"}, want: `Invalid MCP_SERVER_PORT: Invalid port number: 99999999999999999999`},
		"port of Kubernetes":   {environ: []string{"MCP_SERVER_PORT=tcp://10.0.0.1:8775"}, want: `Invalid MCP_SERVER_PORT: invalid literal for int() with base 10: 'tcp://10.0.0.1:8775' (Kubernetes sets this variable in every pod beside a Service named mcp-server: set enableServiceLinks: false in the pod, or MCP_SERVER_PORT in the env of the container)`},
		"port with a quote":    {environ: []string{"MCP_SERVER_PORT='8775"}, want: `Invalid MCP_SERVER_PORT: invalid literal for int() with base 10: "'8775"`},
		"port flag":            {args: []string{"--port", "70000"}, want: `Invalid port: 70000 (--port)`},
		"port in the file":     {file: "port: 70000", want: `Invalid port: 70000 (in sandwarden.yaml)`},
		"host":                 {args: []string{"--host", ""}, want: `Host cannot be empty (--host)`},
		"host with port":       {args: []string{"--host", "a:1"}, want: `--host must be an address or a name, without a port, got 'a:1'`},
		"not positive":         {environ: []string{"MSB_MAX_SESSIONS=0"}, want: `MSB_MAX_SESSIONS must be a positive integer, got 0`},
		"not an integer":       {environ: []string{"MSB_MAX_SESSIONS=abc"}, want: `MSB_MAX_SESSIONS must be a valid integer, got 'abc'`},
		"too many":             {environ: []string{"MSB_MAX_SESSIONS=1000001"}, want: `MSB_MAX_SESSIONS must be from 1 to 1000000, got 1000001`},
		"integer in the file":  {file: "max_sessions: ten", want: `max_sessions must be a valid integer, got 'ten' (in sandwarden.yaml)`},
		"time":                 {environ: []string{"MSB_SESSION_TIMEOUT=-5"}, want: `MSB_SESSION_TIMEOUT must be a positive integer, got -5`},
		"length of time":       {environ: []string{"MSB_SESSION_TIMEOUT=-5m"}, want: `MSB_SESSION_TIMEOUT must be from 1s to 31536000s, got -5m0s`},
		"alias":                {environ: []string{"MSB_SESSION_CLEANUP_INTERVAL=x"}, want: `MSB_SESSION_CLEANUP_INTERVAL must be a valid integer, got 'x'`},
		"boolean":              {environ: []string{"MSB_ENABLE_LRU_EVICTION=maybe"}, want: `MSB_ENABLE_LRU_EVICTION must be a valid boolean value (true/false, 1/0, yes/no, on/off, enabled/disabled), got 'maybe'`},
		"boolean in any case":  {environ: []string{"MSB_ENABLE_LRU_EVICTION= Maybe "}, want: `MSB_ENABLE_LRU_EVICTION must be a valid boolean value (true/false, 1/0, yes/no, on/off, enabled/disabled), got 'maybe'`},
		"flavor":               {environ: []string{"MSB_DEFAULT_FLAVOR= Huge"}, want: `Invalid MSB_DEFAULT_FLAVOR 'huge'. Valid options are: small, medium, large`},
		"server":               {environ: []string{"MSB_SERVER_URL=localhost:5555"}, want: `Invalid server URL format: localhost:5555. Must start with http:// or https:// (MSB_SERVER_URL in the environment)`},
		"float not positive":   {environ: []string{"MSB_SANDBOX_START_TIMEOUT=0"}, want: `MSB_SANDBOX_START_TIMEOUT must be a positive number, got 0.0`},
		"float below zero":     {environ: []string{"MSB_SANDBOX_START_TIMEOUT=-1e-5"}, want: `MSB_SANDBOX_START_TIMEOUT must be a positive number, got -1e-05`},
		"float far below zero": {environ: []string{"MSB_SANDBOX_START_TIMEOUT=-1e22"}, want: `MSB_SANDBOX_START_TIMEOUT must be a positive number, got -1e+22`},
		"negative fraction":    {environ: []string{"MSB_SANDBOX_START_TIMEOUT=-2.50"}, want: `MSB_SANDBOX_START_TIMEOUT must be a positive number, got -2.5`},
		"not a float":          {environ: []string{"MSB_SANDBOX_START_TIMEOUT=x"}, want: `MSB_SANDBOX_START_TIMEOUT must be a valid number, got 'x'`},
		"float without end":    {environ: []string{"MSB_SANDBOX_START_TIMEOUT=1e999"}, want: `MSB_SANDBOX_START_TIMEOUT must be above 0 and at most 31536000, got 1e999`},
		"hexadecimal float":    {environ: []string{"MSB_SANDBOX_START_TIMEOUT=0x1p4"}, want: `MSB_SANDBOX_START_TIMEOUT must be a valid number, got '0x1p4'`},
		"wait below zero":      {environ: []string{"SANDWARDEN_LIMITS_ADMISSION_WAIT=-1"}, want: `SANDWARDEN_LIMITS_ADMISSION_WAIT must be from 0 to 86400, got -1`},
		"processors":           {environ: []string{"MSB_MAX_TOTAL_CPU_CORES=1", "MSB_DEFAULT_FLAVOR=medium"}, want: `Max total CPU cores (1) is less than minimum needed for default flavor (2) (MSB_MAX_TOTAL_CPU_CORES in the environment, MSB_DEFAULT_FLAVOR in the environment)`},
		"log size":             {environ: []string{"MSB_LOG_MAX_SIZE=big"}, want: `MSB_LOG_MAX_SIZE must be a number of bytes, as 65536 or 4MiB, got 'big'`},
		"log size below zero":  {environ: []string{"MSB_LOG_MAX_SIZE=-1"}, want: `MSB_LOG_MAX_SIZE must be from 0 to 1024GiB, got -1`},
		"log backups":          {environ: []string{"MSB_LOG_BACKUP_COUNT=x"}, want: `MSB_LOG_BACKUP_COUNT must be a valid integer, got 'x'`},
		"half of TLS":          {environ: []string{"SANDWARDEN_TLS_CERT_FILE=/c"}, want: `a certificate and its key belong together: set both tls.cert_file and tls.key_file, or neither (SANDWARDEN_TLS_CERT_FILE in the environment)`},
		"dead transport":       {args: []string{"--transport", "sse"}, want: `--transport is sse, a transport that MCP has given up: use streamable-http`},
		"unknown transport":    {environ: []string{"SANDWARDEN_TRANSPORT=http"}, want: `SANDWARDEN_TRANSPORT must be one of streamable-http, stdio, got 'http'`},
		"a flag in the file":   {file: "clean: true", want: `unknown key 'clean' in sandwarden.yaml`},
		"a list of sections":   {file: "allowed_hosts: [{a: b}]", want: `allowed_hosts must be a plain value (in sandwarden.yaml)`},
		"interval":             {environ: []string{"MSB_SESSION_TIMEOUT=60"}, want: `Cleanup interval (60s) must be less than session timeout (60s) (MSB_SESSION_TIMEOUT in the environment)`},
		"memory":               {environ: []string{"MSB_MAX_TOTAL_MEMORY_MB=512"}, want: `Max total memory (512MB) is less than minimum needed for default flavor (1024MB) (MSB_MAX_TOTAL_MEMORY_MB in the environment)`},
		"level":                {environ: []string{"MSB_LOG_LEVEL=loud"}, want: `MSB_LOG_LEVEL must be one of DEBUG, INFO, WARNING, ERROR, got 'loud'`},
		"format":               {environ: []string{"MSB_LOG_FORMAT=xml"}, want: `MSB_LOG_FORMAT must be one of auto, text, json, got 'xml'`},
		"size":                 {file: "limits: {code_bytes: 1TB}", want: `limits.code_bytes must be a number of bytes, as 65536 or 4MiB, got '1TB' (in sandwarden.yaml)`},
		"size range":           {file: "limits: {output_bytes: 9GiB}", want: `limits.output_bytes must be from 4KiB to 64MiB, got 9GiB (in sandwarden.yaml)`},
		"code over body":       {file: "limits: {body_bytes: 512KiB}", want: `the largest code (1MiB) must fit into the largest request (512KiB) (limits.body_bytes in sandwarden.yaml)`},
		"execution times":      {environ: []string{"MSB_EXECUTION_TIMEOUT=9", "MSB_MAX_EXECUTION_TIME=8"}, want: `Execution timeout (9s) must not be more than the maximum execution time (8s) (MSB_EXECUTION_TIMEOUT in the environment, MSB_MAX_EXECUTION_TIME in the environment)`},
		"pools":                {environ: []string{"SANDWARDEN_POOL_MIN=5", "SANDWARDEN_POOL_MAX=4"}, want: `the ready sandboxes of a template at the start (5) must not be more than at most (4) (SANDWARDEN_POOL_MIN in the environment, SANDWARDEN_POOL_MAX in the environment)`},
		"share of the memory":  {file: "pool: {memory_share: 90}", want: `pool.memory_share must be from 1 to 80, got 90 (in sandwarden.yaml)`},
		"forks":                {environ: []string{"SANDWARDEN_ZYGOTE_FORKS=0"}, want: `SANDWARDEN_ZYGOTE_FORKS must be a positive integer, got 0`},
		"code for a module":    {environ: []string{"SANDWARDEN_ZYGOTE_PREIMPORT=os;evil"}, want: `SANDWARDEN_ZYGOTE_PREIMPORT must list modules, as numpy or os.path, got 'os;evil'`},
		"relative module":      {environ: []string{"SANDWARDEN_ZYGOTE_PREIMPORT=.os"}, want: `SANDWARDEN_ZYGOTE_PREIMPORT must list modules, as numpy or os.path, got '.os'`},
		"insecure":             {environ: []string{"MCP_SERVER_HOST=0.0.0.0"}, want: `other machines could reach 0.0.0.0, and whoever does would run code here: let only holders of tokens in (sandwarden token new NAME writes one, SANDWARDEN_TOKENS_FILE or --tokens-file names the file), or set SANDWARDEN_INSECURE_LISTEN=1 if the network is trusted (MCP_SERVER_HOST in the environment)`},
		"origin":               {environ: []string{"SANDWARDEN_CORS_ALLOWED_ORIGINS=example.org"}, want: `SANDWARDEN_CORS_ALLOWED_ORIGINS must list origins, as https://example.org or *, got 'example.org'`},
		"unknown key":          {file: "max_session: 3", want: `unknown key 'max_session' in sandwarden.yaml (did you mean max_sessions?)`},
		"section as a value":   {file: "limits: 3", want: `unknown key 'limits' in sandwarden.yaml: it is a section, with settings below it`},
		"value as a section":   {file: "port: {number: 3}", want: `unknown key 'port.number' in sandwarden.yaml`},
		"not YAML":             {file: "a: b: c", want: `sandwarden.yaml is not the YAML that is expected: yaml: mapping values are not allowed in this context`},
		"a list":               {file: "- a\n- b", want: `sandwarden.yaml is not the YAML that is expected: yaml: unmarshal errors:\n  line 1: cannot unmarshal !!seq into map[string]interface {}`},
		"file that is missing": {args: []string{"--config", "no.yaml"}, want: `cannot read the configuration file 'no.yaml': file does not exist`},
		"file by name":         {environ: []string{"SANDWARDEN_CONFIG=no.yaml"}, want: `cannot read the configuration file 'no.yaml': file does not exist`},
		"lines in a value":     {environ: []string{"MSB_MAX_SESSIONS=1\nfake"}, want: `MSB_MAX_SESSIONS must be a valid integer, got '1\nfake'`},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := load(t, test.file, test.environ, test.args...)
			bad, ok := errors.AsType[*config.Error](err)
			if !ok {
				t.Fatalf("error = %v, want %q", err, test.want)
			}
			if diff := cmp.Diff([]string{test.want}, bad.Faults); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoad_TellsAllFaultsInOrder(t *testing.T) {
	_, report, err := load(t, "wrong: 1", []string{
		"MSB_LOG_LEVEL=x", "MSB_MAX_SESSIONS=0", "MCP_SERVER_PORT=0", "MSB_SERVER_URL=x", "MSB_SESSION_TIMEOUT=5", "MSB_MAX_TOTAL_MEMORY_MB=1.5",
		"MSB_ENABLE_LRU_EVICTION=x", "MSB_ORPHAN_CLEANUP_INTERVAL=0", "MSB_EXECUTION_TIMEOUT=0", "MSB_SANDBOX_START_TIMEOUT=-0", "MSB_CLEANUP_INTERVAL=0",
		"MSB_DEFAULT_FLAVOR=x", "MSB_SHARED_VOLUME_PATH=[[]", "MSB_API_KEY=hush",
	}, "--host", "")
	want := []string{
		"Configuration error: Invalid MCP_SERVER_PORT: Invalid port number: 0",
		"Configuration error: Host cannot be empty (--host)",
		"Configuration error: MSB_SHARED_VOLUME_PATH has mismatched brackets. Got: '[[]'",
		"Configuration error: Invalid MSB_DEFAULT_FLAVOR 'x'. Valid options are: small, medium, large",
		"Configuration error: MSB_MAX_SESSIONS must be a positive integer, got 0",
		"Configuration error: MSB_CLEANUP_INTERVAL must be a positive integer, got 0",
		"Configuration error: MSB_SANDBOX_START_TIMEOUT must be a positive number, got -0.0",
		"Configuration error: MSB_EXECUTION_TIMEOUT must be a positive integer, got 0",
		"Configuration error: MSB_ORPHAN_CLEANUP_INTERVAL must be a positive integer, got 0",
		"Configuration error: MSB_ENABLE_LRU_EVICTION must be a valid boolean value (true/false, 1/0, yes/no, on/off, enabled/disabled), got 'x'",
		"Configuration error: MSB_MAX_TOTAL_MEMORY_MB must be a valid integer, got '1.5'",
		"Configuration error: Invalid server URL format: x. Must start with http:// or https:// (MSB_SERVER_URL in the environment)",
		"Configuration error: Cleanup interval (60s) must be less than session timeout (5s) (MSB_SESSION_TIMEOUT in the environment)",
		"Configuration error: MSB_LOG_LEVEL must be one of DEBUG, INFO, WARNING, ERROR, got 'x'",
		"Configuration error: unknown key 'wrong' in sandwarden.yaml",
	}
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(report.Values) == 0 {
		t.Error("the report of a bad configuration is empty")
	}
	for _, v := range report.Values {
		if v.Key == "api_key" && (v.Text != "***" || v.Source != "environment MSB_API_KEY") {
			t.Errorf("%+v, want the key masked", v)
		}
	}
}

func TestLoad_TellsWhatIsNewlyEffective(t *testing.T) {
	// These seven stand in the example file of the original.
	all := []string{
		"MSB_CONNECTION_TIMEOUT=30", "MSB_REQUEST_TIMEOUT=300", "MSB_SESSION_CLEANUP_INTERVAL=300", "MSB_MAX_TOTAL_CPU_CORES=8",
		"MSB_MAX_EXECUTION_TIME=300", "MSB_ENABLE_VOLUME_MAPPING=true", "MSB_LOG_FORMAT=json",
	}
	for name, test := range map[string]struct {
		file    string
		environ []string
		want    []string
	}{
		"none":                  {environ: []string{"MSB_LOG_FORMAT=", "MSB_MAX_SESSIONS=3"}},
		"all":                   {environ: all, want: []string{"MSB_SESSION_CLEANUP_INTERVAL", "MSB_MAX_TOTAL_CPU_CORES", "MSB_MAX_EXECUTION_TIME", "MSB_ENABLE_VOLUME_MAPPING", "MSB_CONNECTION_TIMEOUT", "MSB_REQUEST_TIMEOUT", "MSB_LOG_FORMAT"}},
		"another name wins":     {environ: []string{"MSB_SESSION_CLEANUP_INTERVAL=20", "MSB_CLEANUP_INTERVAL=30"}},
		"meant, as in our file": {file: "log: {format: json}"},
	} {
		t.Run(name, func(t *testing.T) {
			_, report, err := load(t, test.file, test.environ)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, report.NewlyEffective); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			line := "these settings had no effect in the original and have one here: " + strings.Join(test.want, ", ")
			if told := slices.Contains(report.Warnings, line); told != (test.want != nil) {
				t.Errorf("warnings %q", report.Warnings)
			}
		})
	}
}

func TestLoad_Warns(t *testing.T) {
	_, report, err := load(t, "", []string{
		"MSB_MAX_SESION=5", "MCP_WHATEVER=1", "MCP_ENABLE_CORS=yes", "MSB_LOG_CONSOLE=off", "MSB_LOG_STRUCTURED=on",
		"MICROSANDBOX_PYTHON_IMAGE=x", "SANDWARDEN_STATEDIR=/x", "SANDWARDEN_TEST_STRICT=1", "OTHER=1", "MSB_EMPTY=",
		"SANDWARDEN_ZYGOTE_PREIMPORT=numpy", "SANDWARDEN_ZYGOTE_ENABLED=off",
		"MSB_SHARED_VOLUME_PATH=/a:/b", "MSB_ENABLE_VOLUME_MAPPING=false", "MCP_SERVER_HOST=0.0.0.0", "SANDWARDEN_INSECURE_LISTEN=1",
		"MCP_SERVER_SERVICE_HOST=10.0.0.1", "MCP_SERVER_SERVICE_PORT=8775", "MCP_SERVER_SERVICE_PORT_HTTP=8775", "MCP_SERVER_PORT_8775_TCP=tcp://10.0.0.1:8775",
		"MCP_SERVER_PORT_8775_TCP_ADDR=10.0.0.1", "SANDWARDEN_PORT=tcp://10.0.0.1:8775", "SANDWARDEN_PORT_8775_TCP_PROTO=tcp",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"MCP_WHATEVER is set, but there is no such setting",
		"MSB_MAX_SESION is set, but there is no such setting (did you mean MSB_MAX_SESSIONS?)",
		"SANDWARDEN_STATEDIR is set, but there is no such setting (did you mean SANDWARDEN_STATE_DIR?)",
		"these settings had no effect in the original and have one here: MSB_ENABLE_VOLUME_MAPPING",
		"MCP_ENABLE_CORS is 'yes', which counts as off: only true turns it on",
		"MSB_LOG_STRUCTURED is 'on', which counts as off: only true, 1, yes turns it on",
		"listening on 0.0.0.0 without authentication: whoever reaches it can run code here",
		"SANDWARDEN_ZYGOTE_PREIMPORT has no effect, as SANDWARDEN_ZYGOTE_ENABLED is off",
		"nothing will be logged: MSB_LOG_CONSOLE is off and there is no MSB_LOG_FILE",
		"MSB_ENABLE_VOLUME_MAPPING is off, so the volumes of MSB_SHARED_VOLUME_PATH are not mapped",
	}
	if diff := cmp.Diff(want, report.Warnings); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLoad_Directories(t *testing.T) {
	for name, test := range map[string]struct {
		uid            int
		environ        []string
		state, runtime string
		fault          string
	}{
		"root":            {state: "/var/lib/sandwarden", runtime: "/run/sandwarden"},
		"user with XDG":   {uid: 7, environ: []string{"XDG_STATE_HOME=/s", "XDG_RUNTIME_DIR=/r"}, state: "/s/sandwarden", runtime: "/r/sandwarden"},
		"user with HOME":  {uid: 7, environ: []string{"HOME=/h"}, state: "/h/.local/state/sandwarden", runtime: "/tmp/sandwarden-7"},
		"user of nothing": {uid: 7, fault: "there is no standard place for state_dir, as HOME is not set: set SANDWARDEN_STATE_DIR"},
		"chosen":          {uid: 7, environ: []string{"SANDWARDEN_STATE_DIR=/a", "SANDWARDEN_RUNTIME_DIR=/b/"}, state: "/a", runtime: "/b"},
	} {
		t.Run(name, func(t *testing.T) {
			c, _, err := config.Load(config.Sources{Environ: test.environ, UID: test.uid, ReadFile: only("", "")})
			if test.fault != "" {
				if err == nil || !strings.Contains(err.Error(), test.fault) {
					t.Fatalf("error = %v, want %q", err, test.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if c.StateDir != test.state || c.RuntimeDir != test.runtime {
				t.Errorf("directories %q, %q; want %q, %q", c.StateDir, c.RuntimeDir, test.state, test.runtime)
			}
		})
	}
}

func TestLoad_StandardFiles(t *testing.T) {
	environ := []string{"HOME=/h", "XDG_CONFIG_HOME=/x"}
	for _, name := range []string{"sandwarden.yaml", "/x/sandwarden/config.yaml", "/etc/sandwarden/config.yaml"} {
		c, report, err := config.Load(config.Sources{Environ: environ, ReadFile: only(name, "port: 99")})
		if err != nil || c.Port != 99 || report.File != name {
			t.Errorf("%s: port %d from %q, error %v", name, c.Port, report.File, err)
		}
	}
	refused := func(string) ([]byte, error) { return nil, &fs.PathError{Op: "open", Err: fs.ErrPermission} }
	if _, _, err := config.Load(config.Sources{Environ: environ, ReadFile: refused}); err == nil {
		t.Error("a file that may not be read was passed over")
	}
}

func TestLoad_RefusesLargeFiles(t *testing.T) {
	_, _, err := config.Load(config.Sources{Environ: []string{"SANDWARDEN_CONFIG=/dev/zero"}})
	if err == nil || !strings.Contains(err.Error(), "larger than 1 MiB") {
		t.Errorf("error = %v, want one that says the file is too large", err)
	}
}

func TestHelp_NamesEverySetting(t *testing.T) {
	var help strings.Builder
	if err := config.Help(&help); err != nil {
		t.Fatal(err)
	}
	_, report, err := load(t, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range report.Values {
		if v.Key != "clean" && !strings.Contains(help.String(), "\n"+v.Key+" ") {
			t.Errorf("help does not name %s", v.Key)
		}
	}
	for _, name := range []string{"MSB_SESSION_CLEANUP_INTERVAL", "SANDWARDEN_TEMPLATE_PYTHON_PATH", "--enable-cors", "from the host", "--clean"} {
		if !strings.Contains(help.String(), name) {
			t.Errorf("help does not say %s", name)
		}
	}
}

func TestIsLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LOCALHOST": true, "127.0.0.1": true, "127.9.9.9": true, "::1": true, "::ffff:127.0.0.1": true,
		"0.0.0.0": false, "::": false, "10.0.0.1": false, "example.org": false,
	} {
		if got := config.IsLoopback(host); got != want {
			t.Errorf("IsLoopback(%q) = %v, want %v", host, got, want)
		}
	}
}

// Whatever stands in a file or in the environment, reading it neither panics
// nor yields a configuration that breaks a rule, and each fault is one line.
func FuzzLoad(f *testing.F) {
	f.Add("port: 80\nlog: {level: debug}", "5")
	f.Add("limits: [1, {a: 2}]\n1: 2\ncors.enabled: {x: y}", "x\ny")
	f.Add("a: &a [*a]", "99999999999999999999")
	f.Add("port: !!binary aGk=\nhost: 2020-01-01", "1e3s")
	f.Fuzz(func(t *testing.T, file, value string) {
		environ := []string{"MSB_MAX_SESSIONS=" + value, "MSB_SESSION_TIMEOUT=" + value, "MCP_SERVER_HOST=" + value, "SANDWARDEN_LIMITS_CODE_BYTES=" + value, "SANDWARDEN_STATE_DIR=" + value}
		c, report, err := config.Load(config.Sources{Environ: environ, ReadFile: only("sandwarden.yaml", file)})
		if bad, ok := errors.AsType[*config.Error](err); ok {
			for _, fault := range bad.Faults {
				if strings.ContainsAny(fault, "\n\r") {
					t.Errorf("fault on several lines: %q", fault)
				}
			}
			return
		}
		switch {
		case err != nil:
			t.Errorf("error of another type: %v", err)
		case c.Port < 1 || c.Port > 65535, c.MaxSessions < 0, c.SessionTimeout <= c.CleanupInterval, c.CodeBytes > c.BodyBytes, !filepath.IsAbs(c.StateDir):
			t.Errorf("accepted %+v", c)
		case len(report.Values) < 30:
			t.Errorf("report has %d values", len(report.Values))
		}
	})
}
