package actors_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sandwarden/sandwarden/actors"
	"github.com/sandwarden/sandwarden/sandbox"
)

func output(text string) sandbox.Event {
	return sandbox.Event{Type: sandbox.Output, Data: []byte(text)}
}

func next(t *testing.T, s sandbox.Subscription) []sandbox.Event {
	t.Helper()
	got, err := s.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestLog_TellsWhatIsLost(t *testing.T) {
	l := actors.NewLog(100, 1000)
	slow := l.Subscribe(0)
	for i := range 30 {
		l.Append(output(fmt.Sprintf("%010d", i))) // ten fit
	}
	got := next(t, slow)
	if gap := got[0]; gap.Type != sandbox.Gap || gap.From != 1 || gap.To != 20 || gap.Seq != 20 {
		t.Errorf("got %+v", gap)
	}
	if len(got) != 11 || got[1].Seq != 21 || string(got[10].Data) != "0000000029" {
		t.Errorf("got %d events, the last %+v", len(got), got[len(got)-1])
	}
	for name, tc := range map[string]struct{ after, first uint64 }{
		"the oldest kept": {0, 21}, "one in the middle": {25, 26}, "one that is gone": {5, 20}, "one of another log": {99, 21},
	} {
		if got := next(t, l.Subscribe(tc.after)); got[0].Seq != tc.first {
			t.Errorf("%s: begins with %+v", name, got[0])
		}
	}
}

func TestLog_KeepsTheNewestWhateverItsSize(t *testing.T) {
	l := actors.NewLog(10, 1000)
	l.Append(output("a"))
	l.Append(output("far more than ten bytes"))
	if got := next(t, l.Subscribe(0)); len(got) != 1 || got[0].Seq != 2 {
		t.Errorf("got %+v", got)
	}
	l.Append(output("b"))
	if got := next(t, l.Subscribe(0)); len(got) != 1 || got[0].Seq != 3 {
		t.Errorf("got %+v", got)
	}
}

func TestLog_IsBoundedInCount(t *testing.T) {
	l := actors.NewLog(1<<20, 20)
	for range 1000 {
		l.Append(output(""))
	}
	if got := next(t, l.Subscribe(0)); len(got) != 20 || got[0].Seq != 981 {
		t.Errorf("got %d events from %d", len(got), got[0].Seq)
	}
}

func TestLog_GivesAtMost256AtOnce(t *testing.T) {
	l := actors.NewLog(1<<20, 1000)
	for range 2000 {
		l.Append(output("x"))
	}
	s := l.Subscribe(3)
	seen := uint64(3)
	for seen < 2000 {
		got := next(t, s)
		if len(got) > 256 {
			t.Fatalf("got %d", len(got))
		}
		for _, e := range got {
			if e.Type == sandbox.Gap && (e.From != seen+1 || e.To != e.Seq) || e.Type != sandbox.Gap && e.Seq != seen+1 {
				t.Fatalf("%+v follows %d", e, seen)
			}
			seen = e.Seq
		}
	}
}

func TestLog_EndsReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := actors.NewLog(100, 100)
		s := l.Subscribe(0)
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if _, err := s.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		l.Append(output("last"))
		l.Close()
		l.Close()
		l.Append(output("too late"))
		if got := next(t, s); len(got) != 1 || string(got[0].Data) != "last" {
			t.Errorf("got %+v", got)
		}
		if _, err := s.Next(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("got %v", err)
		}
	})
}

func TestLog_StuckReaderCostsNothing(t *testing.T) {
	const readers, count = 100, 20000
	l := actors.NewLog(1<<20, count)
	stuck := l.Subscribe(0)
	var all sync.WaitGroup
	for range readers {
		s := l.Subscribe(0)
		all.Go(func() {
			for seen := uint64(0); ; {
				got, err := s.Next(t.Context())
				if err != nil {
					if seen != count {
						t.Errorf("ended at %d", seen)
					}
					return
				}
				for _, e := range got {
					if e.Seq != seen+1 || e.Type != sandbox.Output {
						t.Errorf("%v %d follows %d", e.Type, e.Seq, seen)
						return
					}
					seen = e.Seq
				}
			}
		})
	}
	for range count {
		l.Append(output("0123456789"))
	}
	l.Close()
	all.Wait()
	if got := next(t, stuck); got[0].Seq != 1 {
		t.Errorf("got %+v", got[0])
	}
}
