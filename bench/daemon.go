package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	startWait = time.Minute     // for a daemon to answer
	endWait   = 2 * time.Minute // for it to end what is in it
	roomFor   = 1000            // sessions, at least
	logLines  = 20              // that are shown of a daemon that failed
)

// DaemonOptions say which daemon to start.
type DaemonOptions struct {
	Program  string   // sandwarden; this program if empty
	Environ  []string // its environment, by which it can be set up
	Sessions int      // that it is to have room for

	Note func(string) // is told what the machine does not have; may be nil
}

// A Daemon is one that a run has for itself: on a free port of loopback, with
// directories of its own, which end with it.
type Daemon struct {
	URL     string
	PID     int
	options DaemonOptions
	home    string
	cmd     *exec.Cmd
	exited  chan struct{} // closed when the daemon has ended
	restore func() error  // what was raised of the machine
}

// StartDaemon starts a daemon and waits until it answers. As root it first
// raises what so many sessions need of the machine. The caller closes it.
func StartDaemon(ctx context.Context, o DaemonOptions) (d *Daemon, err error) {
	o.Sessions = max(o.Sessions, roomFor)
	if o.Program == "" {
		if o.Program, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	if runtime.GOOS != "linux" {
		return nil, errors.New("sandboxes need Linux: measure a daemon that runs elsewhere, by --url")
	}
	if o.Note == nil {
		o.Note = func(string) {}
	}
	d = &Daemon{options: o, exited: make(chan struct{})}
	if d.home, err = os.MkdirTemp("", "sw-bench"); err != nil { // a short name: sockets are below it
		return nil, err
	}
	d.restore = raise(o.Sessions, o.Note)
	if err := d.start(ctx); err != nil {
		return nil, errors.Join(err, d.restore(), d.clear())
	}
	if err := d.ready(ctx); err != nil {
		return nil, errors.Join(err, d.Close(ctx))
	}
	return d, nil
}

// start starts the program.
func (d *Daemon) start(ctx context.Context) error {
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	d.URL = "http://127.0.0.1:" + strconv.Itoa(port)
	log, err := os.Create(d.logName())
	if err != nil {
		return err
	}
	defer log.Close() // the daemon has it
	// Its end is ours to ask for, also when ctx has ended.
	d.cmd = d.command(context.WithoutCancel(ctx), "serve", "--host", "127.0.0.1", "--port", strconv.Itoa(port), "--msb-listen", "off")
	d.cmd.Stdout, d.cmd.Stderr = log, log
	if err := d.cmd.Start(); err != nil {
		return fmt.Errorf("cannot start a daemon: %w", err)
	}
	d.PID = d.cmd.Process.Pid
	go func() { // ends with the daemon
		_ = d.cmd.Wait() // its status is looked at later
		close(d.exited)
	}()
	return nil
}

// command is the program with arguments, in the daemon's directories. What the
// environment sets stays but where the run could not do with it.
func (d *Daemon) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, d.options.Program, args...) //nolint:gosec // it is the program that we are
	sessions := d.options.Sessions + d.options.Sessions/10 + 64 // one that ends still counts
	own := []string{
		"SANDWARDEN_STATE_DIR=" + filepath.Join(d.home, "state"), "SANDWARDEN_RUNTIME_DIR=" + filepath.Join(d.home, "run"),
		"SANDWARDEN_SHUTDOWN_SESSIONS=destroy",
		"MSB_MAX_SESSIONS=" + strconv.Itoa(sessions), "MSB_ENABLE_LRU_EVICTION=false", "MSB_SESSION_TIMEOUT=86400",
		"SANDWARDEN_LIMITS_ADMISSION_QUEUE=" + strconv.Itoa(max(sessions, maxClients)), "SANDWARDEN_LIMITS_ADMISSION_WAIT=120",
		"SANDWARDEN_LIMITS_CONNECTIONS=" + strconv.Itoa(4*maxClients),
	}
	if os.Geteuid() != 0 {
		own = append(own, "SANDWARDEN_ALLOW_UNENFORCED_LIMITS=1")
	}
	cmd.Env = append(append([]string{}, d.options.Environ...), own...) // the last of a name counts
	apart(cmd)
	return cmd
}

// ready waits until the daemon answers.
func (d *Daemon) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	c := newClient(Options{URL: d.URL}, 1)
	defer c.close()
	for {
		select {
		case <-d.exited:
			return errors.New("the daemon ended at once")
		default:
		}
		if _, err := c.do(ctx, http.MethodGet, "/ready", nil, http.StatusOK); err == nil {
			return nil
		}
		if err := patient(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("the daemon does not answer: %w\n%s", err, d.Log())
		}
	}
}

// Log returns the last lines of the daemon's log.
func (d *Daemon) Log() string {
	return d.last(func(string) bool { return true })
}

// complaints returns the last lines of the log that tell of something bad.
func (d *Daemon) complaints() string {
	return d.last(func(line string) bool {
		return slices.ContainsFunc([]string{"| WARNING ", "| ERROR ", "panic", "fatal error"}, func(word string) bool { return strings.Contains(line, word) })
	})
}

// last returns the last lines of the log that are wanted. A long log is read as
// it comes.
func (d *Daemon) last(wanted func(line string) bool) string {
	f, err := os.Open(d.logName())
	if err != nil {
		return ""
	}
	defer f.Close()
	var last []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if !wanted(lines.Text()) {
			continue
		}
		if last = append(last, lines.Text()); len(last) > logLines {
			last = last[1:]
		}
	}
	return strings.Join(last, "\n")
}

func (d *Daemon) logName() string { return filepath.Join(d.home, "log") }

// Close ends the daemon and all that is in it, also when ctx has ended, and
// takes back what was raised of the machine. It fails if the daemon does not end
// well.
func (d *Daemon) Close(ctx context.Context) error {
	return errors.Join(d.end(ctx), d.restore(), d.clear())
}

// end asks the daemon to end, and at last kills it and has its sandboxes ended.
func (d *Daemon) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endWait)
	defer cancel()
	_ = d.cmd.Process.Signal(syscall.SIGTERM) // it may have ended; an interrupt may be ignored in the background of a shell
	select {
	case <-d.exited:
		if code := d.cmd.ProcessState.ExitCode(); code != 0 {
			return errors.Join(fmt.Errorf("the daemon ended with status %d\n%s", code, d.Log()), d.purge(ctx))
		}
		return nil
	case <-ctx.Done():
	}
	_ = d.cmd.Process.Kill()
	<-d.exited
	return errors.Join(fmt.Errorf("the daemon did not end in %s\n%s", endWait, d.Log()), d.purge(ctx))
}

// purge ends the sandboxes that a daemon left behind.
func (d *Daemon) purge(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endWait)
	defer cancel()
	if out, err := d.command(ctx, "purge").CombinedOutput(); err != nil {
		return fmt.Errorf("purge: %w: %.500s", err, out)
	}
	return nil
}

// clear removes the directories, unless something is still mounted there: it is
// of the host, and would be removed with them.
func (d *Daemon) clear() error {
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	if strings.Contains(string(mounts), " "+d.home+"/") {
		return fmt.Errorf("something is still mounted below %s", d.home)
	}
	return os.RemoveAll(d.home)
}

// freePort returns a port of loopback that nobody has now.
func freePort(ctx context.Context) (int, error) {
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	address, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, fmt.Errorf("%s is no address of TCP", l.Addr())
	}
	return address.Port, nil
}
