package ledger_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandwarden/sandwarden/actors/ledger"
	"github.com/sandwarden/sandwarden/sandbox"
)

const id = "0123456789abcdef"

func open(tb testing.TB, dir string, opts ledger.Options) *ledger.Store {
	tb.Helper()
	store, err := ledger.Open(dir, opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(store.Close)
	return store
}

func create(tb testing.TB, store *ledger.Store) *ledger.Ledger {
	tb.Helper()
	l, err := store.Create(ledger.Info{ID: id, Owner: "me", Session: "a", Created: time.Now(), Env: []string{"A=1"}})
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// again opens what is left in a directory, as the next daemon does.
func again(tb testing.TB, dir string, opts ledger.Options) *ledger.Ledger {
	tb.Helper()
	left, err := open(tb, dir, opts).Left()
	if err != nil || len(left) != 1 {
		tb.Fatalf("left %d ledgers, %v", len(left), err)
	}
	return left[0]
}

func add(tb testing.TB, l *ledger.Ledger, entries ...ledger.Entry) {
	tb.Helper()
	for i := range entries {
		entries[i].Event.Time = time.Now()
	}
	if err := l.Append(entries); err != nil {
		tb.Fatal(err)
	}
}

func accepted(x sandbox.ExecID, key string) ledger.Entry {
	return ledger.Entry{
		Event: sandbox.Event{Exec: x}, Accepted: &ledger.Accepted{Exec: sandbox.Exec{ID: x, Code: "print(1)"}, Key: key, Timeout: time.Second},
	}
}

func started(x sandbox.ExecID) ledger.Entry {
	return ledger.Entry{Event: sandbox.Event{Type: sandbox.ExecutionStarted, Exec: x}, Deadline: time.Hour}
}

func output(x sandbox.ExecID, stream sandbox.Stream, frame uint64, data []byte) ledger.Entry {
	return ledger.Entry{Frame: frame, Event: sandbox.Event{Type: sandbox.Output, Exec: x, Stream: stream, Data: data}}
}

func finished(x sandbox.ExecID, frame uint64) ledger.Entry {
	return ledger.Entry{Frame: frame, Event: sandbox.Event{Type: sandbox.ExecutionFinished, Exec: x, Exit: &sandbox.Exit{Code: 3, Result: "7"}}}
}

// everything is all that a ledger tells of an execution.
func everything(tb testing.TB, l *ledger.Ledger, x sandbox.ExecID) (sandbox.Execution, map[sandbox.Stream][]byte, []sandbox.Rich) {
	tb.Helper()
	record, err := l.Execution(x)
	if err != nil {
		tb.Fatal(err)
	}
	texts := make(map[sandbox.Stream][]byte)
	for _, stream := range []sandbox.Stream{"", sandbox.Stdout, sandbox.Stderr} {
		for from := int64(0); ; {
			page, err := l.Output(x, sandbox.OutputQuery{Stream: stream, From: from, Max: 1000})
			if err != nil || page.From != from || page.Missing != 0 {
				tb.Fatalf("%+v, %v", page, err)
			}
			for _, chunk := range page.Chunks {
				texts[stream] = append(texts[stream], chunk.Data...)
			}
			if page.Next == from {
				break
			}
			from = page.Next
		}
	}
	rich, err := l.Rich(x)
	if err != nil {
		tb.Fatal(err)
	}
	return record, texts, rich
}

func TestLedger_TheNextDaemonReadsTheSame(t *testing.T) {
	dir := t.TempDir()
	opts := ledger.Options{SegmentBytes: 5000}
	l := create(t, open(t, dir, opts))
	add(t, l, ledger.Entry{Box: "sb-1", Event: sandbox.Event{Type: sandbox.SessionReady}})
	random := rand.New(rand.NewPCG(1, 2))
	want := map[sandbox.ExecID]map[sandbox.Stream][]byte{}
	frame := uint64(0)
	for i := range 20 {
		x, y := sandbox.ExecID(fmt.Sprintf("x%d", i)), sandbox.ExecID(fmt.Sprintf("y%d", i))
		add(t, l, accepted(x, ""), started(x), accepted(y, fmt.Sprintf("key-%d", i)), started(y))
		want[x], want[y] = make(map[sandbox.Stream][]byte), make(map[sandbox.Stream][]byte)
		for range random.IntN(50) {
			who := []sandbox.ExecID{x, y}[random.IntN(2)]
			stream := []sandbox.Stream{sandbox.Stdout, sandbox.Stderr}[random.IntN(2)]
			data := bytes.Repeat([]byte{byte(random.IntN(256))}, 1+random.IntN(300))
			frame++
			add(t, l, output(who, stream, frame, data))
			want[who][stream] = append(want[who][stream], data...)
			want[who][""] = append(want[who][""], data...)
		}
		frame++
		add(t, l, ledger.Entry{Frame: frame, Event: sandbox.Event{Type: sandbox.Output, Exec: x, Stream: sandbox.Display, MIME: "image/png", Data: []byte{1, 2}}})
		frame += 2
		add(t, l, finished(x, frame-1), finished(y, frame))
	}
	last := accepted("z", "held")
	last.Accepted.Exec.Argv, last.Accepted.Exec.Code = []string{"cat"}, ""
	add(t, l, last, started("z"))
	frame++
	held := output("z", sandbox.Stdout, frame, []byte("ab"))
	held.Held = []byte{0xe2, 0x82}
	add(t, l, held)
	l.Rest()
	next := again(t, dir, opts)
	if diff := cmp.Diff(l.Standing(), next.Standing()); diff != "" {
		t.Errorf("it stands otherwise:\n%s", diff)
	}
	if got := next.Standing(); got.Frame != frame || got.Box != "sb-1" || !got.Greeted {
		t.Errorf("got %+v, want frame %d", got, frame)
	}
	if diff := cmp.Diff(l.Info(), next.Info()); diff != "" {
		t.Errorf("it is of something else:\n%s", diff)
	}
	for x, texts := range want {
		for _, from := range []*ledger.Ledger{l, next} {
			record, got, rich := everything(t, from, x)
			for stream, text := range texts {
				if !bytes.Equal(got[stream], text) {
					t.Errorf("%s: %q has %d bytes, want %d", x, stream, len(got[stream]), len(text))
				}
			}
			if record.Exit == nil || record.Exit.Code != 3 || record.Status != sandbox.ExecFinished || record.Output.Total != int64(len(texts[""])) {
				t.Errorf("got %+v", record)
			}
			if wants := x[0] == 'x'; (len(rich) == 1) != wants {
				t.Errorf("%s has %d rich results", x, len(rich))
			}
		}
	}
	run, ok := next.Look("z")
	if !ok || run.Over() || run.Deadline != time.Hour || string(run.Held[sandbox.Stdout]) != "\xe2\x82" || run.Accepted.Exec.Argv[0] != "cat" {
		t.Errorf("got %+v", run)
	}
	if x, ok := next.Keyed("key-7"); !ok || x != "y7" {
		t.Errorf("the key stands for %q", x)
	}
	events, err := next.Events(1, 1_000_000, 1<<30)
	if err != nil || events[0].Seq != 1 || events[len(events)-1].Seq != next.Standing().Seq {
		t.Errorf("%d events, %v", len(events), err)
	}
	for i := range events {
		if events[i].Seq != uint64(i+1) {
			t.Fatalf("event %d has number %d", i, events[i].Seq)
		}
	}
	middle, err := next.Events(100, 10, 1<<30)
	if err != nil || len(middle) != 10 || middle[0].Seq != 100 {
		t.Errorf("%+v, %v", middle, err)
	}
}

func TestLedger_OutputByRange(t *testing.T) {
	l := create(t, open(t, t.TempDir(), ledger.Options{}))
	add(t, l, accepted("x", ""), started("x"), output("x", sandbox.Stdout, 1, []byte("one ")), output("x", sandbox.Stderr, 2, []byte("two ")),
		output("x", sandbox.Stdout, 3, []byte("three")))
	for _, test := range []struct {
		query sandbox.OutputQuery
		want  string
		from  int64
		next  int64
	}{
		{sandbox.OutputQuery{}, "one two three", 0, 13},
		{sandbox.OutputQuery{From: 2, Max: 4}, "e tw", 2, 6},
		{sandbox.OutputQuery{From: -5}, "three", 8, 13},
		{sandbox.OutputQuery{From: -500}, "one two three", 0, 13},
		{sandbox.OutputQuery{From: 99}, "", 13, 13},
		{sandbox.OutputQuery{Stream: sandbox.Stdout, From: 3}, " three", 3, 9},
		{sandbox.OutputQuery{Stream: sandbox.Stderr, From: -2}, "o ", 2, 4},
	} {
		page, err := l.Output("x", test.query)
		var all []byte
		for _, chunk := range page.Chunks {
			all = append(all, chunk.Data...)
		}
		got := string(all)
		if err != nil || got != test.want || page.From != test.from || page.Next != test.next || page.End {
			t.Errorf("%+v: %q, %+v, %v", test.query, got, page, err)
		}
	}
	add(t, l, finished("x", 4))
	if page, err := l.Output("x", sandbox.OutputQuery{From: 13}); err != nil || !page.End {
		t.Errorf("%+v, %v", page, err)
	}
	if _, err := l.Output("nobody", sandbox.OutputQuery{}); sandbox.KindOf(err) != sandbox.NotFound {
		t.Errorf("got %v", err)
	}
}

// One entry that is not taken would keep all behind it from being written.
func TestLedger_TakesTheLargestThatMayBeAsked(t *testing.T) {
	dir := t.TempDir()
	l := create(t, open(t, dir, ledger.Options{}))
	large := accepted("x", "")
	large.Accepted.Exec.Argv = []string{strings.Repeat("<", 2<<20)} // which JSON writes as six
	large.Accepted.Exec.Env = []string{"A=" + strings.Repeat("\x01", 1<<20)}
	add(t, l, large)
	l.Rest()
	if run, ok := again(t, dir, ledger.Options{}).Look("x"); !ok || len(run.Accepted.Exec.Argv[0]) != 2<<20 {
		t.Error("it is not there")
	}
}

// files are the segments of the one live session.
func files(tb testing.TB, dir string) []string {
	tb.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "live", id, "*.log"))
	if err != nil {
		tb.Fatal(err)
	}
	return names
}

func TestLedger_IsCutWhereAnEntryIsNotWhole(t *testing.T) {
	dir := t.TempDir()
	l := create(t, open(t, dir, ledger.Options{}))
	add(t, l, accepted("x", ""), started("x"))
	first, err := os.ReadFile(files(t, dir)[0])
	if err != nil {
		t.Fatal(err)
	}
	add(t, l, output("x", sandbox.Stdout, 1, []byte("some text")))
	whole, err := os.ReadFile(files(t, dir)[0])
	if err != nil {
		t.Fatal(err)
	}
	l.Rest()
	for n := len(first); n < len(whole); n++ {
		if err := os.WriteFile(files(t, dir)[0], whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		next := again(t, dir, ledger.Options{})
		if got := next.Standing(); got.Frame != 0 || got.Seq != 1 {
			t.Fatalf("cut at %d: %+v", n, got)
		}
		add(t, next, output("x", sandbox.Stdout, 1, []byte("other text")))
		next.Rest()
		page, err := again(t, dir, ledger.Options{}).Output("x", sandbox.OutputQuery{})
		if err != nil || len(page.Chunks) != 1 || string(page.Chunks[0].Data) != "other text" {
			t.Fatalf("cut at %d: %+v, %v", n, page, err)
		}
	}
}

func TestStore_SetsAsideWhatCannotBeRead(t *testing.T) {
	for name, spoil := range map[string]func(session string) error{
		"no description": func(session string) error { return os.Remove(filepath.Join(session, "session.json")) },
		"half a description": func(session string) error {
			return os.WriteFile(filepath.Join(session, "session.json"), []byte(`{"id":"01234`), 0o600)
		},
		"of another": func(session string) error {
			return os.WriteFile(filepath.Join(session, "session.json"), []byte(`{"id":"somebody"}`), 0o600)
		},
		"a file of a strange name": func(session string) error { return os.WriteFile(filepath.Join(session, "zz.log"), nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l := create(t, open(t, dir, ledger.Options{}))
			add(t, l, accepted("x", ""))
			l.Rest()
			if err := spoil(filepath.Join(dir, "live", id)); err != nil {
				t.Fatal(err)
			}
			for range 2 { // and is not met again
				left, err := open(t, dir, ledger.Options{}).Left()
				if err != nil || len(left) != 0 {
					t.Errorf("left %d, %v", len(left), err)
				}
			}
			if _, err := os.Stat(filepath.Join(dir, "broken", id)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestLedger_ADamagedSegmentCostsWhatIsBehindIt(t *testing.T) {
	dir := t.TempDir()
	opts := ledger.Options{SegmentBytes: 300}
	l := create(t, open(t, dir, opts))
	for i := range 10 {
		x := sandbox.ExecID(fmt.Sprintf("x%d", i))
		add(t, l, accepted(x, ""), started(x), finished(x, uint64(i+1)))
	}
	l.Rest()
	names := files(t, dir)
	data, err := os.ReadFile(names[3])
	if err != nil {
		t.Fatal(err)
	}
	data[20] ^= 0xff
	if err := os.WriteFile(names[3], data, 0o600); err != nil {
		t.Fatal(err)
	}
	next := again(t, dir, opts)
	if got := next.Runs(); len(got) != 3 {
		t.Errorf("it has %v", got)
	}
	if set, err := filepath.Glob(filepath.Join(dir, "live", id, "*.broken")); err != nil || len(set) != len(names)-4 {
		t.Errorf("set aside %v, %v", set, err)
	}
	add(t, next, accepted("new", ""))
	if got := again(t, dir, opts).Runs(); !slices.Contains(got, "new") {
		t.Errorf("it has %v", got)
	}
}

func TestLedger_KeepsSoManyAndNoMore(t *testing.T) {
	dir := t.TempDir()
	opts := ledger.Options{Executions: 5, SegmentBytes: 1000, SessionBytes: 1 << 20}
	store := open(t, dir, opts)
	l := create(t, store)
	add(t, l, accepted("running", ""), started("running"))
	for i := range 50 {
		x := sandbox.ExecID(fmt.Sprintf("x%d", i))
		add(t, l, accepted(x, ""), started(x), output(x, sandbox.Stdout, 1, bytes.Repeat([]byte("x"), 200)), finished(x, 2))
		l.Rest()
	}
	want := []sandbox.ExecID{"running", "x45", "x46", "x47", "x48", "x49"}
	if diff := cmp.Diff(want, l.Runs()); diff != "" {
		t.Errorf("it keeps others:\n%s", diff)
	}
	add(t, l, finished("running", 3))
	add(t, l, accepted("last", ""))
	l.Rest()
	if n := len(files(t, dir)); n > 7 {
		t.Errorf("%d segments are kept", n)
	}
	oldest := l.Oldest()
	if events, err := l.Events(1, 1, 1000); err != nil || oldest < 2 || len(events) != 1 || events[0].Seq != oldest {
		t.Errorf("%+v, %v; the oldest is %d", events, err, oldest)
	}
	if diff := cmp.Diff(l.Runs(), again(t, dir, opts).Runs()); diff != "" {
		t.Errorf("the next daemon keeps others:\n%s", diff)
	}
}

func TestLedger_KeepsSoManyBytes(t *testing.T) {
	opts := ledger.Options{SegmentBytes: 1 << 10, SessionBytes: 8 << 10}
	dir := t.TempDir()
	l := create(t, open(t, dir, opts))
	for i := range 50 {
		x := sandbox.ExecID(fmt.Sprintf("x%d", i))
		add(t, l, accepted(x, ""), started(x), output(x, sandbox.Stdout, 1, bytes.Repeat([]byte("x"), 1000)), finished(x, 2))
		l.Rest()
		if n := len(files(t, dir)); n > 10 {
			t.Fatalf("%d segments are kept", n)
		}
	}
	if n := len(l.Runs()); n < 4 || n > 8 {
		t.Errorf("%d executions are kept", n)
	}
}

// However many executions are to be forgotten at once: who looks meanwhile, the
// session's actor too, waits for that.
func TestLedger_ForgetsManyInAMoment(t *testing.T) {
	dir := t.TempDir()
	l := create(t, open(t, dir, ledger.Options{}))
	entries := []ledger.Entry{accepted("running", "")}
	for i := range 40_000 {
		x := sandbox.ExecID(fmt.Sprintf("x%d", i))
		entries = append(entries, accepted(x, ""), finished(x, uint64(i+1)))
	}
	add(t, l, entries...)
	began := time.Now()
	l.Rest()
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	if n := len(l.Runs()); n != 257 {
		t.Errorf("%d executions are kept", n)
	}
	if diff := cmp.Diff(l.Runs(), again(t, dir, ledger.Options{}).Runs()); diff != "" {
		t.Errorf("the next daemon keeps others:\n%s", diff)
	}
}

// What goes on keeps all behind it. Then there is no room for more, until it ends.
func TestLedger_OneThatGoesOnBoundsTheOthers(t *testing.T) {
	opts := ledger.Options{SegmentBytes: 1 << 10, SessionBytes: 8 << 10}
	dir := t.TempDir()
	l := create(t, open(t, dir, opts))
	add(t, l, accepted("running", ""), started("running"))
	n := 0
	for ; n < 50 && l.Room() == nil; n++ {
		x := sandbox.ExecID(fmt.Sprintf("x%d", n))
		add(t, l, accepted(x, ""), started(x), output(x, sandbox.Stdout, 1, bytes.Repeat([]byte("x"), 1000)), finished(x, 2))
	}
	if n < 6 || n > 10 || sandbox.KindOf(l.Room()) != sandbox.NoSpace {
		t.Fatalf("after %d executions: %v", n, l.Room())
	}
	if kept := len(l.Runs()); kept != n+1 {
		t.Errorf("%d of %d were forgotten, though nothing is won by it", n+1-kept, n)
	}
	add(t, l, finished("running", 3))
	if err := l.Room(); err != nil {
		t.Error(err)
	}
}

func TestStore_EndedSessionsStayForAWhile(t *testing.T) {
	dir := t.TempDir()
	store := open(t, dir, ledger.Options{})
	l := create(t, store)
	add(t, l, accepted("x", ""), started("x"), output("x", sandbox.Stdout, 1, []byte("text")))
	if err := l.Conclude(sandbox.CauseAgentLost, "it died"); err != nil {
		t.Fatal(err)
	}
	l.Archive()
	for _, s := range []*ledger.Store{store, open(t, dir, ledger.Options{})} {
		found, err := s.Find(id)
		if err != nil {
			t.Fatal(err)
		}
		record, texts, _ := everything(t, found, "x")
		if record.Status != sandbox.ExecLost || record.Exit.Cause != sandbox.CauseAgentLost || string(texts[""]) != "text" {
			t.Errorf("got %+v, %q", record, texts)
		}
	}
	store.Sweep(time.Now().Add(23 * time.Hour))
	if _, err := store.Find(id); err != nil {
		t.Error(err)
	}
	store.Sweep(time.Now().Add(25 * time.Hour))
	if _, err := store.Find(id); sandbox.KindOf(err) != sandbox.NotFound {
		t.Errorf("got %v", err)
	}
	for _, bad := range []string{"", ".", "..", "../live", "a/b", "a\x00", strings.Repeat("a", 300)} {
		if _, err := store.Find(bad); sandbox.KindOf(err) != sandbox.NotFound {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "ended", id)); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// The end of a session may be written late, when the disk has room again. It then
// finds its ledger where it was put, or that there is none, which is well too.
func TestLedger_WhatComesLate(t *testing.T) {
	late := ledger.Entry{Event: sandbox.Event{Type: sandbox.SessionStopped, Cause: sandbox.CauseIdle}}
	for name, c := range map[string]struct {
		ran   bool
		after time.Duration
		want  sandbox.Cause
	}{
		"kept":              {ran: true, want: sandbox.CauseIdle},
		"forgotten since":   {ran: true, after: 25 * time.Hour},
		"nothing ran in it": {},
	} {
		t.Run(name, func(t *testing.T) {
			store := open(t, t.TempDir(), ledger.Options{})
			l := create(t, store)
			if c.ran {
				add(t, l, accepted("x", ""), started("x"), finished("x", 1))
			}
			l.Archive()
			store.Sweep(time.Now().Add(c.after))
			add(t, l, late)
			if got := l.Standing().Stopped; got != c.want {
				t.Errorf("it stopped for %q, want %q", got, c.want)
			}
		})
	}
}

// Who reads while the ledger is put aside gets all of it.
func TestLedger_IsReadWhileItIsPutAside(t *testing.T) {
	dir := t.TempDir()
	l := create(t, open(t, dir, ledger.Options{}))
	add(t, l, accepted("x", ""), started("x"), output("x", sandbox.Stdout, 1, []byte("text")), finished("x", 2))
	l.Rest()
	if err := os.Rename(filepath.Join(dir, "live", id), filepath.Join(dir, "ended", id)); err != nil { // as Archive begins
		t.Fatal(err)
	}
	if _, texts, _ := everything(t, l, "x"); string(texts[""]) != "text" {
		t.Errorf("read %q", texts)
	}
}

// How long a session that ended stays is counted from its end, however long it
// was before.
func TestStore_AgeIsCountedFromTheEnd(t *testing.T) {
	dir := t.TempDir()
	store := open(t, dir, ledger.Options{})
	l := create(t, store)
	add(t, l, accepted("x", ""), started("x"), finished("x", 1))
	l.Rest()
	before := time.Now().Add(-25 * time.Hour) // nothing was made in the directory since
	if err := os.Chtimes(filepath.Join(dir, "live", id), before, before); err != nil {
		t.Fatal(err)
	}
	l.Archive()
	store.Sweep(time.Now())
	if _, err := open(t, dir, ledger.Options{}).Find(id); err != nil {
		t.Error(err)
	}
}

// A session that ends does not wait for who reads the large record of another.
func TestStore_ToFindKeepsNobodyFromEnding(t *testing.T) {
	dir := t.TempDir()
	store := open(t, dir, ledger.Options{})
	slow := filepath.Join(dir, "ended", "aaaa")
	if err := os.Mkdir(slow, 0o700); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(slow, "session.json") // a disk that does not answer
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	found := make(chan struct{})
	go func() {
		defer close(found)
		_, _ = store.Find("aaaa")
	}()
	w, err := os.OpenFile(pipe, os.O_WRONLY, 0) // waits until it is read
	if err != nil {
		t.Fatal(err)
	}
	l := create(t, store)
	add(t, l, accepted("x", ""))
	archived := make(chan struct{})
	go func() {
		defer close(archived)
		l.Archive()
		_, _ = store.Find(id)
	}()
	select {
	case <-archived:
	case <-time.After(10 * time.Second):
		t.Error("it waits")
	}
	_ = w.Close()
	<-found
	<-archived
}

func TestLedger_OneThatStoppedIsNotLeft(t *testing.T) {
	dir := t.TempDir()
	l := create(t, open(t, dir, ledger.Options{}))
	add(t, l, accepted("x", ""), ledger.Entry{Event: sandbox.Event{Type: sandbox.SessionStopped, Cause: sandbox.CauseIdle}})
	l.Rest() // and here the daemon was killed
	store := open(t, dir, ledger.Options{})
	if left, err := store.Left(); err != nil || len(left) != 0 {
		t.Errorf("%d are left, %v", len(left), err)
	}
	found, err := store.Find(id)
	if err != nil {
		t.Fatal(err)
	}
	if record, err := found.Execution("x"); err != nil || record.Status != sandbox.ExecLost {
		t.Errorf("got %+v, %v", record, err)
	}
}

func TestStore_TotalIsBounded(t *testing.T) {
	store := open(t, t.TempDir(), ledger.Options{TotalBytes: 2000})
	l := create(t, store)
	if err := store.Room(); err != nil {
		t.Fatal(err)
	}
	add(t, l, accepted("x", ""), started("x"), output("x", sandbox.Stdout, 1, make([]byte, 3000)))
	store.Forget()
	if err := store.Room(); sandbox.KindOf(err) != sandbox.NoSpace {
		t.Errorf("got %v", err)
	}
	add(t, l, finished("x", 2)) // what little there is to say is always said
}

// Who fills the room of all loses his own records, and not those of others.
func TestStore_NobodyLosesHisToTheManyOfAnother(t *testing.T) {
	dir := t.TempDir()
	store := open(t, dir, ledger.Options{TotalBytes: 16_000})
	for i, owner := range []sandbox.Principal{"few", "many", "many", "many", "few", "many", "many"} {
		name := fmt.Sprintf("%s%d", owner, i)
		l, err := store.Create(ledger.Info{ID: name, Owner: owner, Session: "s", Created: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		x := sandbox.ExecID(name + "x")
		add(t, l, accepted(x, ""), started(x), output(x, sandbox.Stdout, 1, make([]byte, 4000)), finished(x, 2))
		l.Archive()
		at := time.Now().Add(time.Duration(i-100) * time.Minute)
		if err := os.Chtimes(filepath.Join(dir, "ended", name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	store.Sweep(time.Now())
	names, err := filepath.Glob(filepath.Join(dir, "ended", "*"))
	for i := range names {
		names[i] = filepath.Base(names[i])
	}
	if diff := cmp.Diff([]string{"few0", "few4", "many6"}, names); err != nil || diff != "" {
		t.Errorf("others stay: %v\n%s", err, diff)
	}
}

func BenchmarkAppend(b *testing.B) {
	l := create(b, open(b, b.TempDir(), ledger.Options{}))
	add(b, l, accepted("x", ""), started("x"))
	entries := []ledger.Entry{output("x", sandbox.Stdout, 1, []byte("some text\n")), finished("x", 2)}
	b.ReportAllocs()
	for b.Loop() {
		if err := l.Append(entries); err != nil {
			b.Fatal(err)
		}
	}
}

// All that is written of a short execution, each with an id of its own: what is
// asked for, and later what came of it.
func BenchmarkAppend_Execution(b *testing.B) {
	b.Run("one log", func(b *testing.B) {
		l := create(b, open(b, b.TempDir(), ledger.Options{}))
		b.ReportAllocs()
		for n := 0; b.Loop(); n++ {
			x := sandbox.ExecID(strconv.Itoa(n))
			add(b, l, accepted(x, ""), started(x))
			add(b, l, output(x, sandbox.Stdout, 1, []byte("some text\n")), finished(x, 2))
			if n%100 == 0 { // as a session does when nothing runs for a while
				l.Rest()
			}
		}
	})
	b.Run("two files", func(b *testing.B) { // the record and the output
		dir, record, text := b.TempDir(), make([]byte, 300), []byte("some text\n")
		for n := 0; b.Loop(); n++ {
			name := filepath.Join(dir, strconv.Itoa(n))
			if err := errors.Join(os.WriteFile(name+".json", record, 0o600), os.WriteFile(name+".out", text, 0o600)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
