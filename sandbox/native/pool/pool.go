package pool

import (
	"context"
	"log/slog"
	"sync"
)

type Options[K comparable, T any] struct {
	Make                      func(context.Context, K) (T, error)
	Discard                   func(T)
	Alive                     func(T) bool
	Min, Max, Total, Parallel int
	Warm                      []K
	Logger                    *slog.Logger
}
type Pool[K comparable, T any] struct {
	o      Options[K, T]
	ch     map[K]chan T
	cancel func()
	wg     sync.WaitGroup
}

func New[K comparable, T any](o Options[K, T]) *Pool[K, T] {
	p := &Pool[K, T]{o: o, ch: map[K]chan T{}}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	for _, k := range o.Warm {
		c := make(chan T, o.Min)
		p.ch[k] = c
		p.wg.Go(func() {
			for ctx.Err() == nil {
				x, err := o.Make(ctx, k)
				if err != nil {
					continue
				}
				select {
				case c <- x:
				case <-ctx.Done():
					o.Discard(x)
				}
			}
		})
	}
	return p
}
func (p *Pool[K, T]) Take(k K) (t T, ok bool) {
	select {
	case t = <-p.ch[k]:
		return t, true
	default:
		return t, false
	}
}
func (p *Pool[K, T]) Foreground() func() { return func() {} }
func (p *Pool[K, T]) Close(ctx context.Context) error {
	p.cancel()
	p.wg.Wait()
	for _, c := range p.ch {
		for len(c) > 0 {
			p.o.Discard(<-c)
		}
	}
	return nil
}
