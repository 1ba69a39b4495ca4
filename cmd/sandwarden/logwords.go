package main

import (
	"log/slog"
	"strconv"
	"time"
)

// inOriginalWords is an entry as the original told it, for those who search the
// log for its words; the rest of the daemon does not know them. What has no
// counterpart there stays as it is. What a program of a user is called or has
// done is never part of it.
func inOriginalWords(e *entry) string {
	switch e.message {
	case "starting":
		return "Starting MCP Server..."
	case "configuration":
		return "Configuration: host=" + e.text("host") + ", port=" + e.text("port") + ", cors=" + e.python("cors")
	case "serving":
		return "Starting MCP HTTP server on " + e.text("addr")
	case "daemon not started":
		return "Failed to start MCP Server: " + e.text("error")
	case "shutting down":
		return "Received " + e.text("signal") + " signal, initiating shutdown..."
	case "sessions ending":
		return "Stopping " + e.text("count") + " active sessions"
	case "sessions ended":
		return "Session manager stopped in " + seconds(e.value("dur"))
	}
	return e.session()
}

// session words what happens to sessions.
func (e *entry) session() string {
	id := e.text("session_id")
	switch e.message {
	case "sandbox being made":
		return "Creating sandbox for session " + id + " with template=" + e.text("template")
	case "session ready":
		return "Created new session " + id
	case "session not made":
		return "[SANDBOX_CREATION_ERROR] Sandbox creation failed: " + e.text("error")
	case "sandbox not made":
		return "Sandbox creation failed: " + e.text("error")
	case "session ending":
		return "Stopping managed session " + id
	case "session ended":
		return "Stopped session " + id
	case "session evicted":
		used := e.at
		if idle := e.value("idle"); idle.Kind() == slog.KindDuration {
			used = used.Add(-idle.Duration())
		}
		return "Evicting LRU session " + id + " (last_accessed: " + used.Format("2006-01-02T15:04:05.000000") +
			", flavor: " + e.text("flavor") + ", status: ready)"
	}
	return e.execution(id)
}

// execution words what happens to what runs in sessions.
func (e *entry) execution(session string) string {
	switch e.message {
	case "execution started":
		return "Session event: " + e.text("op") + "_execution_started"
	case "execution ended":
		return "Session event: " + e.text("op") + "_execution_completed"
	case "execution completed":
		if e.text("op") == "command" {
			return "Command execution completed: session_id=" + session + ", exit_code=" + e.text("code") + e.timing()
		}
		return "Code execution completed: session_id=" + session + ", success=" + e.python("success") + e.timing()
	case "call failed":
		if code := e.text("code"); code != "" {
			return "[" + code + "] " + e.text("told")
		}
	}
	return e.message
}

func (e *entry) timing() string {
	return ", time=" + milliseconds(e.value("dur")) + ", session_created=" + e.python("created")
}

// python is a truth as that language writes it.
func (e *entry) python(key string) string {
	if v := e.value(key); v.Kind() == slog.KindBool && v.Bool() {
		return "True"
	}
	return "False"
}

func seconds(v slog.Value) string {
	if v.Kind() != slog.KindDuration {
		return "0.00s"
	}
	return strconv.FormatFloat(v.Duration().Seconds(), 'f', 2, 64) + "s"
}

func milliseconds(v slog.Value) string {
	if v.Kind() != slog.KindDuration {
		return "0ms"
	}
	return strconv.FormatInt(v.Duration().Round(time.Millisecond).Milliseconds(), 10) + "ms"
}
