package microsandbox

import (
	"context"
	"errors"

	"github.com/sandwarden/sandwarden/sandbox"
)

// Purge stops all sandboxes that the daemon of an instance has at a server. It
// needs no daemon; a running one must not be there. It returns how many it
// stopped.
func Purge(ctx context.Context, o Options) (int, error) {
	o = o.withDefaults()
	b, err := seen(o)
	if err != nil {
		return 0, err
	}
	defer b.server.close()
	ids, err := b.List(ctx)
	if err != nil {
		return 0, err
	}
	stopped := 0
	for _, id := range ids {
		failed := b.server.stop(ctx, b.nameOf(id))
		if failed == nil {
			stopped++
		}
		err = errors.Join(err, fault("purge", id, failed))
	}
	return stopped, err
}

// A Sight is what a look at a server has shown.
type Sight struct {
	Instance string   // of the sandwarden that it is; "" is another server
	Behind   []string // the daemons that its sandboxes are made by, if it does not make them
	Running  int      // sandboxes in the namespace of ours
	Ours     int      // of them
}

// Look looks at a server as a daemon would at its start, and changes nothing.
// The instance may be empty: then none is ours.
func Look(ctx context.Context, o Options) (Sight, error) {
	o = o.withDefaults()
	s := newServer(&o)
	defer s.close()
	h, err := s.health(ctx)
	if err != nil {
		return Sight{}, fault("look", "", err)
	}
	sight := Sight{Instance: h.Instance, Behind: h.Behind}
	all, err := s.metrics(ctx, "")
	if err != nil {
		return sight, fault("look", "", err)
	}
	b, unnamed := seen(o)
	for _, m := range all {
		if !m.Running {
			continue
		}
		sight.Running++
		if unnamed == nil {
			if _, ours := b.idOf(m.Name); ours {
				sight.Ours++
			}
		}
	}
	return sight, nil
}

// seen is a backend that makes nothing, and knows what is ours.
func seen(o Options) (*Backend, error) {
	if len(o.Instance) < instanceSize {
		return nil, &sandbox.Error{Op: "look", Kind: sandbox.Invalid, Detail: "the daemon has no id to know its sandboxes by"}
	}
	return &Backend{opts: o, server: newServer(&o), prefix: prefixOf(o.Instance)}, nil
}
