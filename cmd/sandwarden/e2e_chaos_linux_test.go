package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

// What a run of chaos is. SANDWARDEN_CHAOS is how long it lasts, such as 10m, and
// SANDWARDEN_CHAOS_SEED repeats what one did that failed, as far as it can be
// repeated.
const (
	chaosUsual   = 15 * time.Second
	chaosWorkers = 6
	chaosMost    = chaosWorkers + 1 // sessions at one time
)

// TestChaos lets clients work while daemons, agents, kernels and connections end
// at random, and compares what clients are told with what happened: no execution
// runs twice, nothing that was shown is lost, everybody is answered, no limit is
// exceeded, and nothing is left.
func TestChaos(t *testing.T) {
	if os.Geteuid() != 0 {
		sandboxtest.Skip(t, "without control groups of its own the test does not find what is in sandboxes")
	}
	length, seed := chaosUsual, uint64(time.Now().UnixNano())
	if text := os.Getenv("SANDWARDEN_CHAOS"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	if text := os.Getenv("SANDWARDEN_CHAOS_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("seed %d, for %s", seed, length)
	c := newChaos(t, seed)
	ctx, stop := context.WithTimeout(t.Context(), length)
	defer stop()
	var workers sync.WaitGroup
	for i := range chaosWorkers {
		w := &worker{chaos: c, name: fmt.Sprintf("s%d", i), random: rand.New(rand.NewPCG(seed, uint64(i))), ran: map[string]bool{}}
		c.workers = append(c.workers, w)
		workers.Go(func() { w.work(ctx) })
	}
	workers.Go(func() { c.watch(ctx) })
	c.rage(ctx)
	workers.Wait()
	c.judge()
}

// A chaos is one run.
type chaos struct {
	t       *testing.T
	place   *place
	volume  string // where commands note that they ran
	random  *rand.Rand
	workers []*worker
	deeds   map[string]int // what was done, for the log
	now     atomic.Pointer[server]
	harmed  atomic.Int64 // agents and processes that were killed: variables may be gone
	calls   atomic.Int64
	faults  atomic.Int64 // calls that a daemon's end cut off
}

func newChaos(t *testing.T, seed uint64) *chaos {
	t.Helper()
	volume, err := os.MkdirTemp("", "sw-chaos") //nolint:usetesting // sandboxes are to reach it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(volume) })
	if err := os.Chmod(volume, 0o777); err != nil {
		t.Fatal(err)
	}
	c := &chaos{t: t, volume: volume, random: rand.New(rand.NewPCG(seed, 1<<32)), deeds: map[string]int{}}
	c.place = newPlace(
		t, "SANDWARDEN_SHUTDOWN_SESSIONS=keep", "MSB_MAX_SESSIONS="+strconv.Itoa(chaosMost), "MSB_SHARED_VOLUME_PATH="+volume+":/notes",
		"SANDWARDEN_HISTORY_EXECUTIONS=100000",
	)
	c.now.Store(c.place.serve(t))
	return c
}

// rage does harm until ctx ends, and leaves a daemon that serves.
func (c *chaos) rage(ctx context.Context) {
	for {
		pause := time.NewTimer(time.Duration(100+c.random.IntN(1200)) * time.Millisecond)
		select {
		case <-pause.C:
		case <-ctx.Done():
			return
		}
		s := c.now.Load()
		switch n := c.random.IntN(10); {
		case n < 3:
			c.deeds["daemon killed"]++
			s.stop(c.t, syscall.SIGKILL)
			c.now.Store(c.place.serve(c.t))
		case n < 5:
			c.deeds["daemon restarted"]++
			if status := s.stop(c.t, syscall.SIGTERM); status != 0 {
				c.t.Errorf("the daemon ended with status %d", status)
			}
			c.now.Store(c.place.serve(c.t))
		case n < 7:
			c.kill("agent", func(name string) bool { return name == "sandwarden-agent" })
		case n < 9:
			c.kill("process", func(name string) bool { return name != "sandwarden-agent" })
		default:
			c.deeds["connections cut"]++
			s.client.CloseIdleConnections()
		}
	}
}

// kill kills one of the processes of our sandboxes.
func (c *chaos) kill(what string, is func(name string) bool) {
	pids := c.place.inside(is)
	if len(pids) == 0 {
		return
	}
	c.deeds[what+" killed"]++
	c.harmed.Add(1)
	_ = syscall.Kill(pids[c.random.IntN(len(pids))], syscall.SIGKILL) // it may have ended by itself
}

// inside lists the processes in sandboxes of daemons in this place.
func (p *place) inside(is func(name string) bool) []int {
	var pids []int
	names, _ := filepath.Glob("/proc/[0-9]*")
	for _, name := range names {
		groups, _ := os.ReadFile(name + "/cgroup")
		line, _ := os.ReadFile(name + "/cmdline")
		first, _, _ := strings.Cut(string(line), "\x00")
		if strings.Contains(string(groups), "/sandwarden/"+p.instance+"/") && first != "" && is(first) {
			if pid, err := strconv.Atoi(filepath.Base(name)); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// watch counts sandboxes: never may there be more than sessions are allowed.
func (c *chaos) watch(ctx context.Context) {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		most := 0
		for _, tree := range []string{"pids", "unified", "."} {
			groups, _ := filepath.Glob(filepath.Join("/sys/fs/cgroup", tree, "sandwarden", c.place.instance, "sb-*"))
			most = max(most, len(groups))
		}
		if most > chaosMost {
			c.t.Errorf("there are %d sandboxes", most)
		}
	}
}

// call calls a tool, until there is an answer: a daemon that ends cuts calls off.
// sure is false when the last try was not the first, so that work without a key
// may have been done twice.
func (c *chaos) call(tool string, a arguments) (out map[string]any, failure *rpcError, sure bool) {
	deadline := time.Now().Add(2 * time.Minute)
	for try := 0; ; try++ {
		c.calls.Add(1)
		var got struct {
			Result map[string]any
			Error  *rpcError
		}
		body, err := json.Marshal(map[string]any{
			"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": map[string]any{"name": tool, "arguments": a},
		})
		if err != nil {
			c.t.Error(err)
			return nil, nil, false
		}
		err = c.now.Load().post(c.t.Context(), "/mcp", body, &got)
		switch {
		case errors.Is(err, context.DeadlineExceeded), time.Now().After(deadline):
			c.t.Errorf("%s %v was not answered: %v, %+v", tool, a, err, got.Error)
			return nil, nil, false
		case err != nil:
		case got.Error != nil && strings.Contains(got.Error.Message, "shutting down"):
		default:
			return got.Result, got.Error, try == 0
		}
		c.faults.Add(1)
		<-time.After(20 * time.Millisecond)
	}
}

// judge compares what is left with what clients were told, and ends the run.
func (c *chaos) judge() {
	s := c.now.Load()
	for _, w := range c.workers {
		w.judge()
	}
	c.t.Logf("%d calls, of which %d were cut off or came too late; %v", c.calls.Load(), c.faults.Load(), c.deeds)
	for _, name := range s.sessions(c.t) {
		s.text(c.t, "stop_session", arguments{"session_id": name})
	}
	s.stop(c.t, syscall.SIGTERM)
	s.wantNothingLeft(c.t)
	if pids := c.place.inside(func(string) bool { return true }); len(pids) > 0 {
		c.t.Errorf("processes %v are left", pids)
	}
	if broken, _ := filepath.Glob(filepath.Join(c.place.state, "sessions", "broken", "*")); len(broken) > 0 {
		c.t.Errorf("records were set aside: %q", broken)
	}
}

// A worker is a client with a session of its own, and the model of it.
type worker struct {
	*chaos

	name   string
	random *rand.Rand
	number int
	count  int             // the variable that the session keeps, as last told
	ran    map[string]bool // keys, and whether their command told that it ran
	shown  []shown         // what answers said, to be found again
}

// shown is what an answer said of an execution.
type shown struct{ id, output string }

func (w *worker) work(ctx context.Context) {
	for ctx.Err() == nil {
		w.number++
		switch w.random.IntN(4) {
		case 0:
			w.once()
		case 1:
			w.state()
		case 2:
			w.follow()
		case 3:
			w.recall()
		}
	}
}

// once runs a command with a key, as often as it takes, that must run once.
func (w *worker) once() {
	key := fmt.Sprintf("%s-%d", w.name, w.number)
	a := arguments{
		"session_id": w.name, "idempotency_key": key,
		"command": "exec 2>/dev/null; echo " + key + " >> /notes/" + w.name + "; sleep 0.0" + strconv.Itoa(w.random.IntN(10)) + "; echo out " + key,
	}
	w.ran[key] = false
	out, failure, _ := w.call("execute_command", a)
	if out == nil {
		if failure != nil && !typed(failure) {
			w.t.Errorf("%s: %+v", key, failure)
		}
		return
	}
	text := textOf(out)
	if out["isError"] != true {
		w.ran[key] = true
		if text != "out "+key {
			w.t.Errorf("%s answered %q", key, text)
		}
	}
}

// typed reports whether an error says what ended the work.
func typed(failure *rpcError) bool {
	return failure.Data != nil && failure.Data.ErrorCode != "" && failure.Message != ""
}

// state counts in a variable. It begins anew only when that is told.
func (w *worker) state() {
	out, failure, sure := w.call("execute_code", arguments{
		"session_id": w.name, "code": "n = globals().get('n', 0) + 1\nprint(n)",
	})
	if out == nil { // it was ended: whether it counted is not known, and a fresh kernel may be next
		w.count = -1
		if failure != nil && !typed(failure) {
			w.t.Errorf("%s: %+v", w.name, failure)
		}
		return
	}
	n, err := strconv.Atoi(textOf(out))
	if err != nil {
		w.t.Errorf("%s counted %q", w.name, textOf(out))
		return
	}
	if n != w.count+1 && sure && w.count >= 0 && (n != 1 || w.harmed.Load() == 0) {
		w.t.Errorf("%s: the variable was %d and is %d", w.name, w.count, n)
	}
	w.count = n
}

// follow reads the output of a command that runs in the background, in pieces and
// over whatever happens to the daemon.
func (w *worker) follow() {
	lines := 20 + w.random.IntN(150)
	key := fmt.Sprintf("%s-f%d", w.name, w.number)
	out, _, _ := w.call("execute_command", arguments{
		"session_id": w.name, "idempotency_key": key, "background": true,
		"command": fmt.Sprintf("exec 2>/dev/null; for i in $(seq 1 %d); do echo %s line $i; [ $((i %% 10)) = 0 ] && sleep 0.0%d; done; true", lines, key, 1+w.random.IntN(9)),
	})
	id, _ := out["execution_id"].(string)
	if id == "" {
		return
	}
	var want strings.Builder
	for i := range lines {
		fmt.Fprintf(&want, "%s line %d\n", key, i+1)
	}
	seen := ""
	for {
		part, failure, _ := w.call("get_execution", arguments{
			"execution_id": id, "cursor": len(seen), "max_bytes": 256 + w.random.IntN(60_000), "wait": w.random.IntN(2),
		})
		if failure != nil || part == nil {
			w.t.Errorf("%s of %s is gone: %+v", id, w.name, failure)
			return
		}
		output, _ := part["output"].(string)
		if omitted, _ := part["omitted_bytes"].(float64); omitted == 0 {
			seen += output
		}
		if !strings.HasPrefix(want.String(), seen) {
			w.t.Errorf("%s: read %q with %v, which does not follow on %q", key, output, part["status"], seen[:len(seen)-len(output)])
			return
		}
		status, _ := part["status"].(string)
		total, _ := part["output_bytes"].(float64)
		if status == "queued" || status == "running" || int(total) > len(seen) {
			continue
		}
		if code, _ := part["exit_code"].(float64); status == "finished" && code == 0 && seen != want.String() {
			w.t.Errorf("%s finished with %d bytes of %d", key, len(seen), want.Len())
		}
		w.shown = append(w.shown, shown{id, seen})
		return
	}
}

// recall asks again for what an answer said.
func (w *worker) recall() {
	if len(w.shown) == 0 {
		return
	}
	w.ask(w.shown[w.random.IntN(len(w.shown))])
}

func (w *worker) ask(what shown) {
	var seen strings.Builder
	for seen.Len() < len(what.output) {
		part, failure, _ := w.call("get_execution", arguments{"execution_id": what.id, "cursor": seen.Len(), "max_bytes": 60_000})
		output, _ := part["output"].(string)
		if failure != nil || output == "" {
			break
		}
		seen.WriteString(output)
	}
	if seen.String() != what.output {
		w.t.Errorf("%s of %s: %d bytes were shown, %d are there", what.id, w.name, len(what.output), seen.Len())
	}
}

// judge compares what commands noted with what clients were told.
func (w *worker) judge() {
	for _, what := range w.shown {
		w.ask(what)
	}
	data, err := os.ReadFile(filepath.Join(w.volume, w.name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.t.Error(err)
	}
	notes := strings.Fields(string(data))
	slices.Sort(notes)
	for i := 1; i < len(notes); i++ {
		if notes[i] == notes[i-1] {
			w.t.Errorf("%s ran twice", notes[i])
		}
	}
	for key, ran := range w.ran {
		if _, noted := slices.BinarySearch(notes, key); ran && !noted {
			w.t.Errorf("%s was said to have run, and did not", key)
		}
	}
	if len(w.ran) > 5 && len(notes) == 0 {
		w.t.Errorf("none of %d commands of %s ran", len(w.ran), w.name)
	}
}

func textOf(out map[string]any) string {
	content, _ := out["content"].([]any)
	if len(content) == 0 {
		return ""
	}
	first, _ := content[0].(map[string]any)
	text, _ := first["text"].(string)
	return text
}
