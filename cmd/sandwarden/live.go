package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/sandwarden/sandwarden/transport/client"
)

// signalWait bounds what is done once the user wants no more.
const signalWait = 30 * time.Second

// A liveRun is an execution that somebody watches.
type liveRun struct {
	*remote

	session string
	detach  bool
	keep    bool
}

// newLiveRun makes a subcommand that runs something.
func newLiveRun(name, usage string, run *client.Run) *liveRun {
	l := &liveRun{remote: newRemote(name, usage)}
	l.flags.SetInterspersed(false) // what follows the first word is for the program inside
	l.flags.StringVarP(&l.session, "session", "s", "", "the session to run in, which is made when it is not there; without it one of its own, which ends with it")
	l.flags.StringVar(&run.Template, "template", "", "of a session that is made: python, node, bash, or a configured one")
	l.flags.StringVar(&run.Flavor, "flavor", "", "of a session that is made: small, medium, large, or a configured one")
	l.flags.Float64Var(&run.Timeout, "timeout", 0, "seconds that it may run; 0 is the default of the daemon")
	l.flags.BoolVarP(&l.detach, "detach", "d", false, "print the id of the execution, and leave it to itself")
	l.flags.BoolVar(&l.keep, "keep", false, "let a session of its own live on")
	return l
}

// live runs something, shows its output as it comes, and ends as it does. The
// end of ctx interrupts what runs; then its end is awaited still.
func (p *program) live(ctx context.Context, l *liveRun, run client.Run, stdin io.Reader) error {
	c, err := p.connect(l.remote)
	if err != nil {
		return err
	}
	defer c.Close()
	run.Stdin = stdin != nil
	x, err := c.Start(ctx, l.session, run)
	if err != nil {
		return toldBy(err)
	}
	if l.detach {
		return p.detached(ctx, c, l, &x)
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { p.interrupt(life, c, x.ID) })
	defer stop()
	if stdin != nil {
		go p.feed(life, c, x.ID, stdin) // ends with the process: nothing ends a read of standard input
	}
	var to client.Sink = &output{p: p}
	if l.json {
		to = silence{}
	}
	x, err = c.Follow(life, x.ID, to)
	if err == nil && l.json {
		err = p.printJSON(life, c, client.ExecutionPath(x.ID)+"/result", nil)
	}
	if l.session == "" && !l.keep && x.Session != "" {
		p.end(life, c, x.Session)
	}
	if err != nil {
		return toldBy(err)
	}
	return p.ended(ctx, &x)
}

// detached tells of an execution that nobody watches.
func (p *program) detached(ctx context.Context, c *client.Client, l *liveRun, x *client.Execution) error {
	if l.json {
		return p.printJSON(ctx, c, client.ExecutionPath(x.ID), nil)
	}
	return p.print(plain(x.ID) + "\n")
}

// interrupt passes on that the user wants no more.
func (p *program) interrupt(life context.Context, c *client.Client, id string) {
	ctx, cancel := context.WithTimeout(life, signalWait)
	defer cancel()
	if err := c.Signal(ctx, id, "interrupt"); err != nil && life.Err() == nil {
		p.complain("it was not interrupted: %v", err)
	}
}

// feed passes on standard input.
func (p *program) feed(life context.Context, c *client.Client, id string, stdin io.Reader) {
	if err := c.Feed(life, id, stdin); err != nil && life.Err() == nil {
		p.complain("its input broke off: %v", err)
	}
}

// end ends a session that was made for one execution.
func (p *program) end(life context.Context, c *client.Client, session string) {
	ctx, cancel := context.WithTimeout(life, signalWait)
	defer cancel()
	err := c.JSON(ctx, http.MethodDelete, client.SessionPath(session), nil, nil, nil)
	if err != nil && !client.IsNotFound(err) {
		p.complain("its session %s was not ended: %v", session, err)
	}
}

// complainDropped tells that the end of an output was not kept.
func (p *program) complainDropped(x *client.Execution) {
	if x.Dropped > 0 {
		p.complain("the last %d bytes of its output were not kept: the daemon keeps so much of one execution and no more", x.Dropped)
	}
}

// ended is the exit status of an execution. What did not end by itself is told
// of, unless it was the user who ended it.
func (p *program) ended(ctx context.Context, x *client.Execution) error {
	if x.Error != nil && ctx.Err() == nil {
		p.complain("%s. %s", x.Error.Detail, x.Error.Remedy)
	}
	p.complainDropped(x)
	code := 1
	if x.ExitCode != nil && (*x.ExitCode != 0 || x.Status == "finished") {
		code = *x.ExitCode & 0xFF
	}
	if code == 0 {
		return nil
	}
	return exitError(code)
}

// An output passes on what a program puts out, as it is: a terminal shows it as
// if the program ran here.
type output struct{ p *program }

// Output implements [client.Sink].
func (o *output) Output(stream string, data []byte) error {
	to := o.p.stdout
	if stream == "stderr" {
		to = o.p.stderr
	}
	_, err := to.Write(data)
	return err
}

// Missing implements [client.Sink].
func (o *output) Missing(bytes int64) {
	o.p.complain("%d bytes of output are not kept any more", bytes)
}

// silence takes output and keeps none.
type silence struct{}

// Output implements [client.Sink].
func (silence) Output(string, []byte) error { return nil }

// Missing implements [client.Sink].
func (silence) Missing(int64) {}

// input is standard input where there is some: a file, a pipe, or a terminal
// whose user asked for it.
func (p *program) input(asked bool) (io.Reader, error) {
	if p.stdin != nil {
		return p.stdin, nil
	}
	info, err := os.Stdin.Stat()
	if err != nil {
		if asked {
			return nil, errors.Join(errors.New("there is no standard input"), err)
		}
		return nil, nil //nolint:nilnil // it is closed, and nobody asked for it
	}
	if info.Mode()&os.ModeCharDevice != 0 && !asked {
		return nil, nil //nolint:nilnil // a terminal, or /dev/null
	}
	return os.Stdin, nil
}
