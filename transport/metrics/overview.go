package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sandwarden/sandwarden/sandbox"
)

// An overview is the numbers that the supervisor has, asked for at each scrape.
// What it does not know is left out, and all but sandwarden_up when it does not
// answer.
type overview struct {
	ask func() (sandbox.Overview, error)
}

// Describe implements [prometheus.Collector]. The numbers that are not always
// there cannot be promised.
func (*overview) Describe(chan<- *prometheus.Desc) {}

// Collect implements [prometheus.Collector].
func (v *overview) Collect(to chan<- prometheus.Metric) {
	o, err := v.ask()
	show := func(name, help string, value float64) {
		to <- prometheus.MustNewConstMetric(prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, nil, nil), prometheus.GaugeValue, value)
	}
	known := func(name, help string, value float64) {
		if value > 0 {
			show(name, help, value)
		}
	}
	show("up", "1 when the supervisor of the sessions answers.", truth(err == nil))
	if err != nil {
		return
	}
	show("ready", "1 when the backend can make sandboxes.", truth(o.Ready == nil))
	states := prometheus.NewDesc(prometheus.BuildFQName(namespace, "", "sessions"), "Sessions by what they are doing.", []string{"state"}, nil)
	for _, status := range shown() {
		to <- prometheus.MustNewConstMetric(states, prometheus.GaugeValue, float64(o.States[status]), string(status))
	}
	show("sessions_frozen", "Idle sessions whose sandboxes are frozen.", float64(o.Frozen))
	known("sessions_limit", "Sessions that there may be.", float64(o.MaxSessions))
	show("memory_booked_bytes", "The sum of the sessions' flavors.", float64(o.MemoryMB)*mib)
	known("memory_limit_bytes", "What that sum may be; absent when the host's memory decides.", float64(o.MaxMemoryMB)*mib)
	show("cpus_booked", "Processors in the sum of the sessions' flavors.", float64(o.CPUs))
	known("cpus_limit", "What that sum may be; absent when there is no limit.", float64(o.MaxCPUs))
	known("sandboxes_memory_bytes", "Memory that all sandboxes use together.", float64(o.Used))
	known("sandboxes_memory_limit_bytes", "What they may use together; absent when there is no limit.", float64(o.UsedMax))
	if o.HostTotal > 0 {
		show("host_memory_bytes", "Memory of the host, or of the container that the daemon is in.", float64(o.HostTotal))
		show("host_memory_available_bytes", "What of it is free for use.", float64(o.HostAvailable))
	}
}

const mib = 1 << 20

// shown are the states that sessions are counted by, those that none is in too.
func shown() []sandbox.Status {
	return []sandbox.Status{
		sandbox.StatusWaiting, sandbox.StatusCreating, sandbox.StatusReady, sandbox.StatusRunning, sandbox.StatusEnding,
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
