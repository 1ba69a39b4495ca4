package pool_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandwarden/sandwarden/sandbox/native/pool"
)

// A thing is what the tests keep ready.
type thing struct {
	key   string
	dead  bool
	gone  bool // discarded
	taken bool
}

// A factory makes things, and knows what became of each.
type factory struct {
	took   time.Duration // by one making
	ending time.Duration // by one discarding
	fails  func() bool

	mu sync.Mutex
	counts
}

// counts are what a factory has done.
type counts struct {
	tries, now, most int // makings: all, at once, and at once at most
	made             []*thing
	discarded        int
	alive, mostAlive int  // of the pool's own, those that are being made included
	taking           int  // takers, each of which may have one that still counts as the pool's
	twice            bool // something was had by two
}

// seen returns the counts as they are.
func (f *factory) seen() counts {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts
}

var errFailed = errors.New("failed")

func (f *factory) make(ctx context.Context, key string) (*thing, error) {
	f.mu.Lock()
	f.tries++
	f.now++
	f.alive++
	f.most, f.mostAlive = max(f.most, f.now), max(f.mostAlive, f.alive-f.taking)
	fails, took := f.fails != nil && f.fails(), f.took
	f.mu.Unlock()
	var err error
	select {
	case <-time.After(took):
	case <-ctx.Done():
		err = ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now--
	if fails && err == nil {
		err = errFailed
	}
	if err != nil {
		f.alive--
		return nil, err
	}
	made := &thing{key: key}
	f.made = append(f.made, made)
	return made, nil
}

func (f *factory) discard(t *thing) {
	time.Sleep(f.ending)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.twice = f.twice || t.gone || t.taken
	t.gone = true
	f.discarded++
	f.alive--
}

func (f *factory) lives(t *thing) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !t.dead
}

// take takes a thing from the pool, which is not the pool's then.
func (f *factory) take(p *pool.Pool[string, *thing], key string) *thing {
	f.mu.Lock()
	f.taking++
	f.mu.Unlock()
	got, ok := p.Take(key)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.taking--
	if !ok {
		return nil
	}
	f.twice = f.twice || got.taken || got.gone || got.key != key
	got.taken = true
	f.alive--
	return got
}

func (f *factory) options() pool.Options[string, *thing] {
	return pool.Options[string, *thing]{
		Make: f.make, Discard: f.discard, Alive: f.lives,
		Min: 2, Max: 8, Parallel: 2, Warm: []string{"warm"},
	}
}

// check ends a pool and looks whether anything was lost, or had twice.
func (f *factory) check(t *testing.T, p *pool.Pool[string, *thing]) {
	t.Helper()
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	taken := 0
	for _, one := range f.made {
		if one.taken {
			taken++
		}
		if one.taken == one.gone {
			t.Errorf("a thing was taken: %t, and discarded: %t", one.taken, one.gone)
		}
	}
	if len(f.made) != taken+f.discarded || f.twice || f.alive != 0 || f.now != 0 {
		t.Errorf("%d made, %d taken, %d discarded, some twice: %t, %d left, %d being made", len(f.made), taken, f.discarded, f.twice, f.alive, f.now)
	}
}

// die lets some of the things die, by the order in which they were made.
func (f *factory) die(which ...int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, i := range which {
		f.made[i].dead = true
	}
}

// forgetMost begins anew to count how many are made at once.
func (f *factory) forgetMost() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.most = 0
}

// after lets time pass, and what begins then come to rest.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func stat(t *testing.T, p *pool.Pool[string, *thing], key string) pool.Stat[string] {
	t.Helper()
	for _, s := range p.Stats() {
		if s.Key == key {
			return s
		}
	}
	return pool.Stat[string]{}
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

func TestPool_KeepsWarmKeysReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &factory{took: 10 * time.Millisecond}
		p := pool.New(t.Context(), f.options())
		defer f.check(t, p)
		synctest.Wait()
		equal(t, "at first", p.Stats(), []pool.Stat[string]{{Key: "warm", Making: 2, Target: 2}})
		after(11 * time.Millisecond)
		equal(t, "after one making", p.Stats(), []pool.Stat[string]{{Key: "warm", Ready: 2, Target: 2}})
		if f.take(p, "warm") == nil {
			t.Fatal("nothing was ready")
		}
		synctest.Wait() // no time passes: the refill has begun
		equal(t, "after one was taken", p.Stats(), []pool.Stat[string]{{Key: "warm", Ready: 1, Making: 1, Target: 2, Hits: 1}})
		after(11 * time.Millisecond)
		equal(t, "after the refill", p.Stats(), []pool.Stat[string]{{Key: "warm", Ready: 2, Target: 2, Hits: 1}})
		after(time.Hour) // unasked, it stays
		equal(t, "much later", p.Stats(), []pool.Stat[string]{{Key: "warm", Ready: 2, Target: 2, Hits: 1}})
	})
}

func TestPool_LearnsKeysAndForgetsThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &factory{took: 10 * time.Millisecond}
		p := pool.New(t.Context(), f.options())
		defer f.check(t, p)
		if f.take(p, "new") != nil {
			t.Fatal("a key never seen was a hit")
		}
		after(time.Second)
		equal(t, "learnt", stat(t, p, "new"), pool.Stat[string]{Key: "new", Ready: 2, Target: 2, Misses: 1})
		if f.take(p, "new") == nil {
			t.Fatal("a key that was learnt is not ready")
		}
		after(5*time.Minute + 10*time.Second)
		equal(t, "unasked", p.Stats(), []pool.Stat[string]{{Key: "warm", Ready: 2, Target: 2}})
	})
}

func TestPool_ForgetsTheLeastRecentlyUsedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &factory{took: 10 * time.Millisecond}
		o := f.options()
		o.MaxKeys = 2
		p := pool.New(t.Context(), o)
		defer f.check(t, p)
		for _, key := range []string{"a", "b", "a", "c"} {
			f.take(p, key)
			after(time.Second)
		}
		var keys []string
		for _, s := range p.Stats() {
			keys = append(keys, s.Key)
		}
		equal(t, "keys", keys, []string{"warm", "a", "c"})
		f.take(p, "d") // the next to go is made for just then
		f.take(p, "e")
		f.take(p, "f")
	})
}

func TestPool_GrowsWithABurstAndFades(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &factory{took: 10 * time.Millisecond}
		p := pool.New(t.Context(), f.options())
		defer f.check(t, p)
		after(time.Second)
		for range 6 {
			f.take(p, "warm")
		}
		after(time.Second)
		equal(t, "after a burst of 6", stat(t, p, "warm"), pool.Stat[string]{Key: "warm", Ready: 6, Target: 6, Hits: 2, Misses: 4})
		after(20 * time.Second)
		for range 6 { // the second burst is met
			if f.take(p, "warm") == nil {
				t.Fatal("the second burst was not met")
			}
		}
		for range 100 {
			f.take(p, "warm")
		}
		after(time.Second)
		equal(t, "at most", stat(t, p, "warm").Ready, 8)
		after(time.Minute)
		if got := stat(t, p, "warm").Ready; got <= 2 || got >= 8 {
			t.Fatalf("%d are ready after a minute, want fewer than at the peak and more than at least", got)
		}
		after(10 * time.Minute)
		equal(t, "after all", stat(t, p, "warm").Ready, 2)
	})
}

func TestPool_FollowsASteadyRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &factory{took: 100 * time.Millisecond}
		o := f.options()
		o.Min, o.Max, o.Parallel = 1, 64, 16
		p := pool.New(t.Context(), o)
		defer f.check(t, p)
		for range 100 { // 10 in a second
			f.take(p, "warm")
			after(100 * time.Millisecond)
		}
		before := stat(t, p, "warm")
		if before.Target < 15 || before.Target > 25 {
			t.Fatalf("%d are to be ready, want about the 20 that arrive within two seconds", before.Target)
		}
		for range 100 {
			f.take(p, "warm")
			after(100 * time.Millisecond)
		}
		equal(t, "misses at the steady rate", stat(t, p, "warm").Misses, before.Misses)
	})
}

func TestPool_SharesTheTotal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &factory{took: 10 * time.Millisecond, ending: 30 * time.Millisecond}
		o := f.options()
		o.Total = 8
		p := pool.New(t.Context(), o)
		defer f.check(t, p)
		after(time.Second)
		for range 8 {
			f.take(p, "a")
		}
		after(time.Second)
		equal(t, "one", stat(t, p, "a").Ready, 6) // all but the floor of the warm one
		for range 8 {
			f.take(p, "b")
		}
		after(time.Second)
		equal(t, "both", []int{stat(t, p, "warm").Ready, stat(t, p, "a").Ready, stat(t, p, "b").Ready}, []int{2, 3, 3})
		equal(t, "at most", f.seen().mostAlive, 8)
	})
}

func TestPool_DiscardsTheDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &factory{took: 10 * time.Millisecond}
		p := pool.New(t.Context(), f.options())
		defer f.check(t, p)
		after(time.Second)
		f.die(1) // the newest, which is tried first
		if got := f.take(p, "warm"); got != f.seen().made[0] {
			t.Fatalf("took %+v, want the one that lives", got)
		}
		synctest.Wait()
		equal(t, "discarded", f.seen().discarded, 1)
		after(time.Second)
		f.die(2, 3)
		after(5 * time.Second)
		equal(t, "discarded by the sweep", f.seen().discarded, 3)
		equal(t, "made instead", stat(t, p, "warm").Ready, 2)
	})
}

func TestPool_GivesWayToTheForeground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &factory{took: 10 * time.Millisecond}
		p := pool.New(t.Context(), f.options())
		defer f.check(t, p)
		after(time.Second)
		first, second := p.Foreground(), p.Foreground()
		for range 8 {
			f.take(p, "warm")
		}
		first()
		first()
		after(400 * time.Millisecond)
		equal(t, "made meanwhile", f.seen().tries, 2)
		second()
		synctest.Wait()
		equal(t, "being made at once", f.seen().now, 2)
	})
}

func TestPool_IsNotStarvedByTheForeground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &factory{took: 10 * time.Millisecond}
		p := pool.New(t.Context(), f.options())
		defer f.check(t, p)
		after(time.Second)
		defer p.Foreground()()
		f.take(p, "warm")
		f.take(p, "warm")
		f.forgetMost()
		after(time.Second)
		equal(t, "ready", stat(t, p, "warm").Ready, 2)
		equal(t, "made at once", f.seen().most, 1)
	})
}

func TestPool_TrimGivesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &factory{took: 10 * time.Millisecond}
		p := pool.New(t.Context(), f.options())
		defer f.check(t, p)
		after(time.Second)
		for range 8 {
			f.take(p, "other")
		}
		after(time.Second)
		equal(t, "ready", []int{stat(t, p, "warm").Ready, stat(t, p, "other").Ready}, []int{2, 8})
		equal(t, "given back", p.Trim(4), 4)
		synctest.Wait()
		equal(t, "discarded", f.seen().discarded, 4)
		after(9 * time.Second)
		if all := stat(t, p, "warm").Ready + stat(t, p, "other").Ready; all > 6 {
			t.Errorf("%d are ready, want no new ones while the host is short", all)
		}
		equal(t, "given back of all that is left", p.Trim(100), 6)
		equal(t, "given back of nothing", p.Trim(1), 0)
		after(11 * time.Second)
		equal(t, "ready again", []int{stat(t, p, "warm").Ready, stat(t, p, "other").Ready}, []int{2, 2})
	})
}

func TestPool_WithoutAMaximumKeepsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &factory{}
		o := f.options()
		o.Min, o.Max = 4, 0
		p := pool.New(t.Context(), o)
		defer f.check(t, p)
		f.take(p, "warm")
		after(time.Minute)
		equal(t, "tries", f.seen().tries, 0)
	})
}

func TestPool_CloseHasADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &factory{ending: time.Minute}
		p := pool.New(t.Context(), f.options())
		defer f.check(t, p)
		after(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Close says %v, want that it took too long", err)
		}
		if f.take(p, "warm") != nil || p.Trim(1) != 0 {
			t.Fatal("a closed pool gave something away")
		}
	})
}

func TestPool_CloseEndsMakings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &factory{took: time.Hour}
		o := f.options()
		o.Limit = 24 * time.Hour
		p := pool.New(t.Context(), o)
		synctest.Wait()
		began := time.Now()
		f.check(t, p)
		equal(t, "time that Close took", time.Since(began), time.Duration(0))
		equal(t, "made", len(f.seen().made), 0)
	})
}

// A making that does not hear that it is over must not leave anything behind.
func TestPool_CloseDiscardsWhatComesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &factory{took: time.Minute}
		o := f.options()
		o.Make = func(ctx context.Context, key string) (*thing, error) {
			return f.make(context.WithoutCancel(ctx), key)
		}
		p := pool.New(t.Context(), o)
		synctest.Wait()
		f.check(t, p)
		equal(t, "discarded", f.seen().discarded, 2)
	})
}

// A thing that is looked at while the pool closes is somebody's too.
func TestPool_CloseWaitsForWhoLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &factory{}
		o := f.options()
		o.Alive = func(*thing) bool {
			time.Sleep(time.Second)
			return false
		}
		p := pool.New(t.Context(), o)
		synctest.Wait()
		go f.take(p, "warm")
		synctest.Wait()
		f.check(t, p)
		equal(t, "discarded", f.seen().discarded, 2)
	})
}

func TestPool_MakingHasALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &factory{took: time.Hour}
		p := pool.New(t.Context(), f.options())
		defer f.check(t, p)
		after(time.Minute + time.Second)
		equal(t, "failed", stat(t, p, "warm").Failed, uint64(2))
	})
}
