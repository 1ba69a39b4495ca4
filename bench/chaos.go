package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	bystanderPause = 20 * time.Millisecond // between calls of one, which shall not be the load
	answerWithin   = time.Minute           // else an asker counts as one without an answer
)

// Chaos does harm to sessions while others look on: kernels and all processes
// are killed from inside, clients leave in the middle of calls, sessions are
// stopped while code runs. Every asker must get an answer, each session must be
// of use afterwards, and the N bystanders must notice nothing: they keep their
// variables, and how long their calls take is compared with before. Clients do
// the harm: 4 by default; N is 8, the duration 10 s.
func Chaos(ctx context.Context, o Options) (r *Result, err error) {
	if o.Duration == 0 {
		o.Duration = 10 * time.Second
	}
	o = o.withDefaults(4, 8)
	o.Rate = 0
	if err := o.check(); err != nil {
		return nil, err
	}
	c := newClient(o, 2*o.Clients+o.N)
	defer c.close()
	defer c.finish(ctx, o.N, &err)
	b := &bystanders{client: c, n: o.N}
	if err := b.begin(ctx); err != nil {
		return nil, err
	}
	calm := newMeter()
	stopWatch := o.watch("chaos, before", 0, calm)
	err = b.watch(ctx, calm, o.Duration/3)
	stopWatch()
	if err != nil {
		return nil, err
	}
	harm := &harm{client: c, options: o, meter: newMeter()}
	began := time.Now()
	stopWatch = o.watch("chaos", 0, harm.meter)
	d, err := harm.beside(ctx, b, o.N)
	stopWatch()
	if err != nil {
		return nil, err
	}
	r = &Result{Workload: "chaos", Clients: o.Clients, N: d.begun, Wall: time.Since(began), Latency: b.during.latency}
	r.latencies("call of a bystander", "before", calm.latency)
	r.fewer("bystanders harmed", 0) // or this had failed
	r.fewer("askers without an answer", 0)
	for kind, name := range deedNames() {
		r.add(name, float64(harm.done[kind].Load()), "")
	}
	return r, nil
}

// The bystanders are sessions to which nothing is done.
type bystanders struct {
	client *client
	n      int
	during *meter
}

func (b *bystanders) begin(ctx context.Context) error {
	return each(ctx, min(b.n, 4), b.n, func(ctx context.Context, _, i int) error {
		return b.client.expect(ctx, b.client.session(i), fmt.Sprintf("kept = %d\nkept", i), strconv.Itoa(i))
	})
}

// watch asks each for what it keeps, for a while.
func (b *bystanders) watch(ctx context.Context, m *meter, d time.Duration) error {
	l := &load{workers: b.n, d: d}
	_, err := l.drive(ctx, func(ctx context.Context, worker, _ int, due time.Time) error {
		err := b.client.expect(ctx, b.client.session(worker), "kept", strconv.Itoa(worker))
		if err != nil {
			return fmt.Errorf("a session to which nothing was done: %w", err)
		}
		m.since(due)
		return patient(ctx, bystanderPause)
	})
	return err
}

// The kinds of harm.
const (
	kernelKilled = iota
	allKilled
	clientLeft
	readerLeft
	requestCut
	stoppedBusy
	deeds
)

func deedNames() [deeds]string {
	return [deeds]string{
		"kernels killed", "sessions with all killed", "clients that left", "readers that left",
		"requests cut short", "sessions stopped while they ran",
	}
}

// A harm is one run of harm.
type harm struct {
	client  *client
	options Options
	meter   *meter
	done    [deeds]atomic.Int64
}

// beside does harm for as long as the options say, while the bystanders look on.
func (h *harm) beside(ctx context.Context, b *bystanders, first int) (driven, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	b.during = newMeter()
	var looking sync.WaitGroup
	var harmed error
	looking.Go(func() {
		if harmed = b.watch(ctx, b.during, h.options.Duration); harmed != nil {
			cancel(harmed)
		}
	})
	l := &load{workers: h.options.Clients, d: h.options.Duration}
	d, err := l.drive(ctx, func(ctx context.Context, _, i int, due time.Time) error {
		err := h.deed(ctx, h.client.session(first+i), i)
		if err == nil {
			h.meter.since(due)
		}
		return err
	})
	if err != nil {
		cancel(err)
	}
	looking.Wait()
	return d, errors.Join(err, harmed)
}

// deed does one harm to a session of its own, sees that it is of use, and stops
// it.
func (h *harm) deed(ctx context.Context, session string, i int) error {
	lot := rand.New(rand.NewPCG(h.options.Seed, uint64(i))) //nolint:gosec // load, not secrets
	kind := i % deeds                                       // all of them, in turn
	if err := h.client.add(ctx, session); err != nil {
		return err
	}
	pause := time.Duration(20+lot.IntN(150)) * time.Millisecond
	var err error
	switch kind {
	case kernelKilled:
		err = h.hears(ctx, session, "import os; os.kill(os.getpid(), 9)")
	case allKilled:
		err = h.hears(ctx, session, "import os; os.kill(-1, 9)")
	case clientLeft:
		err = h.leaves(ctx, session, pause)
	case readerLeft:
		err = h.readerLeaves(ctx, session)
	case requestCut:
		err = h.cuts(ctx)
	case stoppedBusy:
		err = h.stops(ctx, session, pause)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", deedNames()[kind], err)
	}
	h.done[kind].Add(1)
	if kind == stoppedBusy {
		return nil
	}
	if err := h.client.add(ctx, session); err != nil {
		return fmt.Errorf("after %s: %w", deedNames()[kind], err)
	}
	return h.client.stop(ctx, session)
}

// hears runs code whose end is not a good one. Its asker must be told.
func (h *harm) hears(ctx context.Context, session, code string) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	_, err := h.client.execute(ctx, session, code)
	return heard(err)
}

// heard is nothing if there was an answer, whatever it said.
func heard(err error) error {
	if _, ok := errors.AsType[*answerError](err); ok || err == nil {
		return nil
	}
	return fmt.Errorf("an asker had no answer: %w", err)
}

// leaves asks for something long and goes away.
func (h *harm) leaves(ctx context.Context, session string, after time.Duration) error {
	short, cancel := context.WithTimeout(ctx, after)
	defer cancel()
	_, err := h.client.execute(short, session, "import time; time.sleep(1)")
	switch {
	case err == nil:
		return fmt.Errorf("a call that takes a second was answered within %s", after)
	case short.Err() == nil: // its client was still there
		return err
	}
	return ctx.Err()
}

// readerLeaves follows a session and goes away while output comes.
func (h *harm) readerLeaves(ctx context.Context, session string) error {
	body, err := h.client.subscribe(ctx, session, 0)
	if err != nil {
		return err
	}
	var some [64]byte
	_, err = io.ReadFull(body, some[:])
	return errors.Join(err, body.Close())
}

// cuts sends half of a request and closes the connection.
func (h *harm) cuts(ctx context.Context) error {
	host, port, err := hostPort(h.client.url)
	if err != nil {
		return err
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return err
	}
	_, err = io.WriteString(conn, "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"jsonrpc\":")
	return errors.Join(err, conn.Close())
}

// stops stops a session while code runs in it. Who asked for the code must be
// told.
func (h *harm) stops(ctx context.Context, session string, after time.Duration) error {
	asker, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	answer := make(chan error, 1)
	go func() {
		_, err := h.client.execute(asker, session, "import time; time.sleep(600)")
		answer <- err
	}()
	err := patient(ctx, after)
	if err == nil {
		err = h.client.stop(ctx, session)
	}
	if err != nil {
		cancel()
		return errors.Join(err, heard(<-answer))
	}
	if err = <-answer; err == nil {
		return errors.New("code that sleeps for ten minutes succeeded")
	}
	return heard(err)
}
