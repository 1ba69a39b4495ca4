package metrics

import (
	"strconv"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// SessionAdmitted implements [sandbox.Meter].
func (m *Metrics) SessionAdmitted(template, flavor string, waited time.Duration) {
	m.admitted.WithLabelValues(m.templates.known(template), m.flavors.known(flavor)).Inc()
	m.admission.Observe(waited.Seconds())
}

// SessionRefused implements [sandbox.Meter].
func (m *Metrics) SessionRefused(reason string) { m.refused.WithLabelValues(knownReason(reason)).Inc() }

// SessionEnded implements [sandbox.Meter].
func (m *Metrics) SessionEnded(cause sandbox.Cause) { m.ended.WithLabelValues(knownCause(cause)).Inc() }

// SandboxMade implements [sandbox.Meter].
func (m *Metrics) SandboxMade(template string, took time.Duration, err error) {
	if err != nil {
		m.failed.WithLabelValues(m.templates.known(template)).Inc()
		return
	}
	m.making.WithLabelValues(m.templates.known(template)).Observe(took.Seconds())
}

// SandboxLost implements [sandbox.Meter].
func (m *Metrics) SandboxLost(cause sandbox.Cause) { m.lost.WithLabelValues(knownCause(cause)).Inc() }

// ActorRestarted implements [sandbox.Meter].
func (m *Metrics) ActorRestarted() { m.restarts.Inc() }

// ExecutionEnded implements [sandbox.Meter].
func (m *Metrics) ExecutionEnded(kind sandbox.ExecKind, outcome string, took, waited time.Duration) {
	m.executions.WithLabelValues(knownKind(kind), knownOutcome(outcome)).Inc()
	m.queueing.of(kind).Observe(waited.Seconds())
	if outcome != sandbox.OutcomeNotRun {
		m.running.of(kind).Observe(took.Seconds())
	}
}

// OutputBytes implements [sandbox.Meter].
func (m *Metrics) OutputBytes(n int) { m.output.Add(float64(n)) }

// RequestAnswered counts a request to one of the faces. One that took a stream
// is told with a time below 0.
func (m *Metrics) RequestAnswered(face string, status int, took time.Duration) {
	face = knownFace(face)
	m.requests.WithLabelValues(face, class(status)).Inc()
	if took >= 0 {
		m.latency[face].Observe(took.Seconds())
	}
}

// RequestRefused counts a request that was turned away.
func (m *Metrics) RequestRefused(reason string) {
	switch reason {
	case "auth", "host", "origin", "busy":
	default:
		reason = other
	}
	m.turned.WithLabelValues(reason).Inc()
}

// StreamsChanged counts streams that were opened, or with -1 closed.
func (m *Metrics) StreamsChanged(by int) { m.streams.Add(float64(by)) }

// other stands for all that is not known.
const other = "other"

// words are those that a label may have.
type words map[string]string

func newWords(all []string) words {
	w := make(words, len(all))
	for _, word := range all {
		w[word] = word
	}
	return w
}

func (w words) known(word string) string {
	if known, ok := w[word]; ok {
		return known
	}
	return other
}

// faces are what requests are for.
func faces() []string { return []string{"mcp", "rest", "events", "status", "metrics"} }

func knownFace(face string) string {
	switch face {
	case "mcp", "rest", "events", "status", "metrics":
		return face
	}
	return other
}

func knownKind(kind sandbox.ExecKind) string {
	if kind == sandbox.CommandExec {
		return string(kind)
	}
	return string(sandbox.CodeExec)
}

func knownOutcome(outcome string) string {
	switch outcome {
	case sandbox.OutcomeOK, sandbox.OutcomeFailed, sandbox.OutcomeNotRun:
		return outcome
	}
	return knownCause(sandbox.Cause(outcome))
}

func knownReason(reason string) string {
	switch reason {
	case "sessions", "memory", "cpu", "host_memory", "queue", "executions", "descriptors", "tasks", "files", "uids":
		return reason
	}
	for kind := sandbox.Other; kind.String() != "unknown"; kind++ {
		if kind.String() == reason {
			return reason
		}
	}
	return other
}

func knownCause(cause sandbox.Cause) string {
	switch cause {
	case sandbox.CauseNone:
		return "none"
	case sandbox.CauseOOM, sandbox.CauseWallTimeout, sandbox.CauseCPUTimeout, sandbox.CausePids,
		sandbox.CauseDisk, sandbox.CauseSeccomp, sandbox.CauseEvicted, sandbox.CauseIdle, sandbox.CauseCrashed,
		sandbox.CauseKilled, sandbox.CauseShutdown, sandbox.CauseAgentLost, sandbox.CauseHostMemory, sandbox.CauseExpired:
		return string(cause)
	}
	return other
}

// class is a status as "2xx".
func class(status int) string {
	if status < 100 || status > 599 {
		return other
	}
	return strconv.Itoa(status/100) + "xx"
}
