package metrics

import "github.com/prometheus/client_golang/prometheus"

// Gatherer is what a scrape gathers.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }
