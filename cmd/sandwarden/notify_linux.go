package main

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox"
)

// A notifier tells the service manager how the daemon does, see sd_notify(3).
// Where there is none it does nothing.
//
// The socket's name stays in the daemon's own environment, from where nobody
// has it: sandboxes get an environment that is made up for them.
type notifier struct {
	log      *slog.Logger
	interval time.Duration // within which a ping must come; 0 asks for none
	serving  atomic.Bool   // ready was told, and stopping was not
}

// newNotifier reads what the service manager asks for.
func newNotifier(logger *slog.Logger) *notifier {
	interval, err := systemd.SdWatchdogEnabled(false)
	if err != nil {
		logger.Warn("the service manager's watchdog cannot be fed", "err", err)
	}
	return &notifier{log: logger, interval: interval}
}

// tell sends one message. One that does not arrive is no reason to stop.
func (n *notifier) tell(state string) {
	if _, err := systemd.SdNotify(false, state); err != nil {
		n.log.Warn("the service manager was not told", "err", err)
	}
}

// ready tells that clients are served, and in words how well.
func (n *notifier) ready(url string, unable error) {
	status := "serving " + url + "/mcp"
	if unable != nil {
		status = "listening on " + url + "/mcp, but no sandbox can be made here"
	}
	n.serving.Store(true)
	n.tell(systemd.SdNotifyReady + "\nSTATUS=" + status)
}

// reload tells that the configuration is read again while f does it. That the
// time is said lets units of Type=notify-reload wait for it. Before the daemon
// is ready there is nothing to tell: the end of a reload would say that it is.
func (n *notifier) reload(f func()) {
	if !n.serving.Load() {
		f()
		return
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err == nil {
		n.tell(systemd.SdNotifyReloading + "\nMONOTONIC_USEC=" + strconv.FormatInt(now.Nano()/1000, 10))
	}
	f()
	n.tell(systemd.SdNotifyReady)
}

// stopping tells that the end has begun.
func (n *notifier) stopping() {
	n.serving.Store(false)
	n.tell(systemd.SdNotifyStopping + "\nSTATUS=ending sessions")
}

// watch feeds the watchdog until stop is called, as long as the sessions answer
// within half of its interval: a daemon that serves pages and makes no session
// is to be started anew. Asked four times in an interval, a ping is never later
// than three quarters of it.
func (n *notifier) watch(ctx context.Context, overview func(context.Context) (sandbox.Overview, error)) (stop func()) {
	if n.interval == 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { // ends with ctx
		ticker := time.NewTicker(n.interval / 4)
		defer ticker.Stop()
		for {
			n.feed(ctx, overview)
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		cancel()
		running.Wait()
	}
}

// feed asks the sessions, and pings when they answer.
func (n *notifier) feed(ctx context.Context, overview func(context.Context) (sandbox.Overview, error)) {
	asking, cancel := context.WithTimeout(ctx, n.interval/2)
	defer cancel()
	o, err := overview(asking)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		n.log.Error("the sessions do not answer, so the watchdog is not fed", "err", err)
	default:
		n.tell(systemd.SdNotifyWatchdog + "\nSTATUS=" + sessionsLine(o))
	}
}

// sessionsLine is what systemctl status shows of a daemon that works.
func sessionsLine(o sandbox.Overview) string {
	line := fmt.Sprintf("%d sessions", o.Sessions)
	if o.MaxSessions > 0 {
		line += fmt.Sprintf(" of %d", o.MaxSessions)
	}
	if o.Ready != nil {
		line = "no sandbox can be made here"
	}
	return line
}
