//go:build linux

package guest

import (
	"bytes"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// A stand-in is a transfer whose helper is the test.
type standIn struct {
	*transfer

	out, result, in *os.File // the helper's ends
	ended           chan ending
}

func newStandIn(t *testing.T, op string) *standIn {
	t.Helper()
	x, theirs, err := openTransfer(&wire.OpenTransferRequest{Op: op})
	if err != nil {
		t.Fatal(err)
	}
	s := &standIn{transfer: x, out: theirs[0], result: theirs[1], ended: make(chan ending, 1)}
	if len(theirs) > 2 {
		s.in = theirs[2]
	}
	x.ended = s.ended
	go x.watch(&group{name: "stand-in"})
	t.Cleanup(func() {
		for _, f := range theirs {
			_ = f.Close()
		}
		x.closeFiles()
	})
	return s
}

// end lets the helper end with a word.
func (s *standIn) end(t *testing.T, status syscall.WaitStatus, fault *wire.Fault) {
	t.Helper()
	data, err := proto.Marshal(&wire.ReadTransferReply{End: true, Fault: fault})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.result.Write(data); err != nil {
		t.Fatal(err)
	}
	s.ended <- ending{status: status}
	<-s.gone
}

const soon = 20 * time.Millisecond

func TestTransfer_ReadsAgain(t *testing.T) {
	s := newStandIn(t, "read")
	if r := s.read(0, 10, soon); len(r.GetData()) > 0 || r.GetEnd() {
		t.Errorf("before there is something: %v", r)
	}
	if _, err := s.out.WriteString("hello world"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		offset uint64
		limit  int
		want   string
	}{{0, 5, "hello"}, {0, 3, "hel"}, {0, 9, "hello"}, {2, 9, "llo"}, {5, 100, " world"}, {5, 100, " world"}, {11, 100, ""}} {
		if r := s.read(c.offset, c.limit, soon); string(r.GetData()) != c.want || r.GetEnd() {
			t.Errorf("at %d: got %v, want %q", c.offset, r, c.want)
		}
	}
	for _, offset := range []uint64{0, 12, 1 << 63} {
		if r := s.read(offset, 10, soon); r.GetFault().GetCode() != wire.FaultCode_OUT_OF_PLACE {
			t.Errorf("at %d: %v, want out of place", offset, r)
		}
	}
	if _, err := s.out.WriteString("!"); err != nil {
		t.Fatal(err)
	}
	s.end(t, 0, nil) // though the pipe stays open
	if r := s.read(11, 10, time.Minute); string(r.GetData()) != "!" {
		t.Errorf("what was left: %v", r)
	}
	for range 2 {
		if r := s.read(12, 10, time.Minute); !r.GetEnd() || r.GetFault() != nil {
			t.Errorf("the end: %v", r)
		}
	}
}

func TestTransfer_WritesAgain(t *testing.T) {
	s := newStandIn(t, "write")
	put := func(offset uint64, data string, last bool) *wire.WriteTransferReply {
		return s.write(&wire.WriteTransferRequest{Offset: offset, Data: []byte(data), Close: last}, soon)
	}
	for _, c := range []struct {
		offset uint64
		data   string
	}{{0, "hello"}, {0, "hello"}, {3, "lo world"}, {11, ""}} {
		if r := put(c.offset, c.data, false); int(r.GetTaken()) != len(c.data) || r.GetFault() != nil {
			t.Errorf("at %d: %v", c.offset, r)
		}
	}
	if r := put(12, "x", false); r.GetFault().GetCode() != wire.FaultCode_OUT_OF_PLACE {
		t.Errorf("a hole: %v", r)
	}
	large := string(bytes.Repeat([]byte("x"), 100<<10))
	r := put(11, large, true)
	if n := int(r.GetTaken()); n == 0 || n >= len(large) || r.GetFault() != nil {
		t.Fatalf("more than fits: %d taken, %v", n, r.GetFault())
	}
	got := make([]byte, 11)
	if _, err := s.in.Read(got); err != nil || string(got) != "hello world" {
		t.Errorf("the helper got %q, %v", got, err)
	}
	s.end(t, 9, nil)
	if r := put(11+uint64(r.GetTaken()), "more", false); r.GetFault().GetCode() != wire.FaultCode_KILLED {
		t.Errorf("to a helper that was killed: %v", r)
	}
}

func TestTransfer_Outcome(t *testing.T) {
	const killed, failed = 9, 2 << 8
	room := &wire.Fault{Code: wire.FaultCode_NO_ROOM}
	for name, c := range map[string]struct {
		status   syscall.WaitStatus
		refusals int
		said     []byte
		want     *wire.Fault
	}{
		"well":             {said: encoded(t, nil)},
		"a fault":          {said: encoded(t, room), want: room},
		"nothing was said": {want: &wire.Fault{}},
		"nonsense":         {said: []byte("\xff\xff\xff"), want: &wire.Fault{}},
		"killed":           {status: killed, said: encoded(t, nil), want: &wire.Fault{Code: wire.FaultCode_KILLED}},
		"failed":           {status: failed, want: &wire.Fault{}},
		"no task for it":   {status: failed, refusals: 1, want: &wire.Fault{Code: wire.FaultCode_NO_TASK}},
	} {
		s := newStandIn(t, "stat")
		if _, err := s.result.Write(c.said); err != nil {
			t.Fatal(err)
		}
		if got := s.outcome(ending{status: c.status}, c.refusals); !proto.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
		s.end(t, 0, nil)
	}
}

func encoded(t *testing.T, fault *wire.Fault) []byte {
	t.Helper()
	data, err := proto.Marshal(&wire.ReadTransferReply{End: true, Fault: fault})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A transfer that nobody uses is ended: its daemon may be gone.
func TestTransfers_Idle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := newTransfers(nil, nil, nil)
		x := &transfer{gone: make(chan struct{})}
		close(x.gone)
		ts.keep("x", x)
		for range 3 {
			time.Sleep(idleLimit - time.Second)
			if ts.use("x") == nil {
				t.Fatal("it was used, and is ended")
			}
		}
		time.Sleep(idleLimit + time.Second)
		if ts.use("x") != nil {
			t.Error("it was not used, and is not ended")
		}
	})
}

// A call that ends a transfer may overtake the one that begins it.
func TestTransfers_EndedEarly(t *testing.T) {
	ts := newTransfers(nil, nil, nil)
	for range 3 * maxEarly {
		ts.end("other")
	}
	ts.end("x")
	if f := ts.begin(&wire.OpenTransferRequest{Id: "x"}); f.GetCode() != wire.FaultCode_UNKNOWN_ID {
		t.Errorf("it begins: %v", f)
	}
	if len(ts.early) > maxEarly {
		t.Errorf("%d ids are remembered", len(ts.early))
	}
}
