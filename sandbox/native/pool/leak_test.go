package pool_test

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sandwarden/sandwarden/sandbox/native/pool"
)

// Whatever happens, in whatever order: each thing that was made is taken or
// discarded, once, and there are never more of them or of makings than allowed.
func TestPool_NeverLosesAThing(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { misuse(t, seed) })
		})
	}
}

// misuse does a thousand random things with a pool, four side by side.
func misuse(t *testing.T, seed uint64) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 0))
	f := &factory{took: time.Duration(random.IntN(200)) * time.Millisecond, ending: time.Duration(random.IntN(50)) * time.Millisecond}
	failures := rand.New(rand.NewPCG(seed, 1))
	f.fails = func() bool { return failures.IntN(4) == 0 }
	o := f.options()
	o.Min, o.Max, o.Total, o.Parallel, o.MaxKeys = random.IntN(4), 1+random.IntN(20), 1+random.IntN(30), 1+random.IntN(6), 1+random.IntN(4)
	p := pool.New(t.Context(), o)
	var users sync.WaitGroup
	for user := range uint64(4) {
		users.Go(func() { misuser(f, p, rand.New(rand.NewPCG(seed, 2+user))) })
	}
	if seed%2 == 0 { // else it is closed in the midst of it
		users.Wait()
	} else {
		time.Sleep(40 * time.Second)
	}
	f.check(t, p)
	users.Wait()
	if seen := f.seen(); seen.most > o.Parallel || seen.mostAlive > o.Total {
		t.Errorf("%d makings at once and %d things, want at most %d and %d", seen.most, seen.mostAlive, o.Parallel, o.Total)
	}
	if len(f.seen().made) == 0 {
		t.Error("nothing was ever made")
	}
}

func misuser(f *factory, p *pool.Pool[string, *thing], random *rand.Rand) {
	for range 250 {
		switch random.IntN(10) {
		case 0:
			if random.IntN(10) == 0 { // nothing is made for some time
				p.Trim(random.IntN(4))
			}
		case 1:
			done := p.Foreground()
			time.Sleep(time.Duration(random.IntN(800)) * time.Millisecond)
			done()
		case 2:
			f.kill(random)
		case 3:
			p.Stats()
		case 4:
			time.Sleep(time.Duration(random.IntN(8000)) * time.Millisecond)
		default:
			f.take(p, string("warm"[random.IntN(4)]))
			f.take(p, "warm")
			time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond)
		}
	}
}

// kill lets one of the things die that were made.
func (f *factory) kill(random *rand.Rand) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.made) > 0 {
		f.made[random.IntN(len(f.made))].dead = true
	}
}

// The same with real time and real threads, for the race detector.
func TestPool_ManyTakers(t *testing.T) {
	f := &factory{}
	o := f.options()
	o.Total = 12
	p := pool.New(t.Context(), o)
	var users sync.WaitGroup
	for user := range 8 {
		users.Go(func() {
			for i := range 500 {
				f.take(p, []string{"warm", "a", "b"}[(user+i)%3])
				if i%50 == 0 {
					p.Trim(1)
					p.Foreground()()
				}
			}
		})
	}
	users.Wait()
	if err := p.Close(context.Background()); err != nil { //nolint:usetesting // it is to end, whatever the test does
		t.Fatal(err)
	}
	f.check(t, p)
	if seen := f.seen(); seen.most > o.Parallel || seen.mostAlive > o.Total {
		t.Errorf("%d makings at once and %d things, want at most %d and %d", seen.most, seen.mostAlive, o.Parallel, o.Total)
	}
}
