package bench

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

const (
	redraw  = 200 * time.Millisecond // of the line on a terminal
	sayHow  = 5 * time.Second        // between lines elsewhere
	eraseTo = "\r\x1b[K"             // the beginning of an empty line
)

// watch tells how far a load is until stop is called, which waits for the last
// word. A total of 0 is not known.
func (o Options) watch(what string, total int, m *meter) (stop func()) {
	if o.Progress == nil {
		return func() {}
	}
	d := &display{w: o.Progress, terminal: isTerminal(o.Progress), what: what, total: total, meter: m}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		d.run(end)
	}()
	return func() {
		close(end)
		<-ended
	}
}

// A display is the line that tells of one load.
type display struct {
	w        io.Writer
	terminal bool
	what     string
	total    int
	meter    *meter
}

func (d *display) run(end <-chan struct{}) {
	began, every := time.Now(), sayHow
	if d.terminal {
		every = redraw
	} else {
		fmt.Fprintln(d.w, d.what+"…")
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			d.show(time.Since(began), false)
		case <-end:
			d.show(time.Since(began), true)
			return
		}
	}
}

// show writes the line; on a terminal over the one before, unless it is the
// last.
func (d *display) show(elapsed time.Duration, last bool) {
	n, p50, p99 := d.meter.done()
	line := progressLine(d.what, elapsed, n, d.total, p50, p99)
	switch {
	case !d.terminal:
		line += "\n"
	case last:
		line = eraseTo + line + "\n"
	default:
		line = eraseTo + line
	}
	_, _ = io.WriteString(d.w, line) // a display that is gone does not stop a measurement
}

// progressLine says how far a load is.
func progressLine(what string, elapsed time.Duration, done int64, total int, p50, p99 float64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-20s %s  %d", what, elapsed.Round(100*time.Millisecond), done)
	if total > 0 {
		fmt.Fprintf(&b, "/%d", total)
	}
	if elapsed > 0 {
		fmt.Fprintf(&b, "  %s/s", number(float64(done)/elapsed.Seconds()))
	}
	if done > 0 {
		fmt.Fprintf(&b, "  p50 %s ms  p99 %s ms", number(p50), number(p99))
	}
	return b.String()
}

// isTerminal reports whether a line can be rewritten there.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
