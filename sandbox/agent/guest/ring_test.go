//go:build linux

package guest

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

func numbers(frames []*wire.Frame) (all []uint64) {
	for _, f := range frames {
		all = append(all, f.GetSeq())
	}
	return all
}

func checkNumbers(t *testing.T, what string, got []*wire.Frame, want ...uint64) {
	t.Helper()
	all := numbers(got)
	if len(all) != len(want) {
		t.Errorf("%s: frames %v, want %v", what, all, want)
		return
	}
	for i := range want {
		if all[i] != want[i] {
			t.Errorf("%s: frames %v, want %v", what, all, want)
		}
	}
}

// Output waits a little for the end that follows it, and no longer.
func TestRing_Settles(t *testing.T) {
	const settle = time.Millisecond
	text := func() *wire.Frame { return &wire.Frame{Exec: "x", Data: []byte("text")} }
	for name, test := range map[string]struct {
		end  time.Duration // after the output
		want []uint64
	}{
		"the end is soon": {settle / 2, []uint64{1, 2}},
		"the end is late": {10 * settle, []uint64{1}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRing(1 << 20)
				go func() {
					<-time.After(time.Second)
					r.push(text())
					<-time.After(test.end)
					r.pushEnd(&wire.Frame{Exec: "x", Exit: &wire.Exit{}})
				}()
				began := time.Now()
				checkNumbers(t, name, r.read(t.Context(), 0, 1000, time.Minute, settle), test.want...)
				if took := time.Since(began); took > time.Second+settle {
					t.Errorf("it took %v", took)
				}
				synctest.Wait()
				<-time.After(time.Minute)
			})
		})
	}
}

// What was read is not read again, also where it is not acknowledged; and what is
// more than asked for does not wait.
func TestRing_Reads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRing(1 << 20)
		for range 3 {
			r.push(&wire.Frame{Exec: "x", Data: make([]byte, 100)})
		}
		checkNumbers(t, "all", r.read(t.Context(), 0, 1<<20, 0, 0), 1, 2, 3)
		checkNumbers(t, "some", r.read(t.Context(), 0, 200, 0, time.Hour), 1)
		checkNumbers(t, "from one on", r.read(t.Context(), 1, 1<<20, 0, 0), 2, 3)
		checkNumbers(t, "nothing", r.read(t.Context(), 3, 1<<20, time.Second, 0))
		var gone []string
		r.pushEnd(&wire.Frame{Exec: "x", Exit: &wire.Exit{}})
		r.forget(2, func(id string) { gone = append(gone, id) })
		checkNumbers(t, "what is left", r.read(t.Context(), 0, 1<<20, 0, 0), 3, 4)
		r.forget(4, func(id string) { gone = append(gone, id) })
		if len(gone) != 1 || gone[0] != "x" || r.size != 0 {
			t.Errorf("gone %v, %d bytes", gone, r.size)
		}
	})
}

// Who writes into a full ring waits until there is room.
func TestRing_Full(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRing(300)
		pushed := make(chan struct{})
		go func() {
			defer close(pushed)
			for range 3 {
				r.push(&wire.Frame{Exec: "x", Data: make([]byte, 100)})
			}
		}()
		synctest.Wait()
		select {
		case <-pushed:
			t.Fatal("more was taken than there is room for")
		default:
		}
		checkNumbers(t, "full", r.read(t.Context(), 0, 1<<20, 0, 0), 1)
		r.forget(1, func(string) {})
		synctest.Wait()
		r.forget(2, func(string) {})
		<-pushed
		checkNumbers(t, "the last", r.read(t.Context(), 2, 1<<20, 0, 0), 3)
	})
}
