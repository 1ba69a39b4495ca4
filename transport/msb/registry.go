package msb

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/sandwarden/sandwarden/sandbox"
)

// A registry knows the configurations of sandboxes, also of those that do not
// run now: they may be started again without one. It holds so many, of so many
// bytes in all, and forgets those that were configured longest ago.
//
// Its file has one line for each change, the last of which counts.
type registry struct {
	most      int
	mostBytes int
	path      string // empty: it is kept in memory alone

	mu      sync.Mutex
	known   map[place]*entry
	used    map[string]bool // the namespaces, also those of which no config is known any more
	count   uint64          // of changes
	bytes   int             // of what is known
	file    *os.File
	lines   int // in the file
	written int // bytes of it
	turns   map[place]*turn
}

type entry struct {
	config config
	bytes  int
	at     uint64 // of the change that made it
}

// A turn is held by the one who starts or stops a sandbox.
type turn struct {
	held chan struct{}
	want int // who hold it or wait for it
}

// A record is a line of the file.
type record struct {
	Namespace string  `json:"namespace"`
	Sandbox   string  `json:"sandbox"`
	Config    *config `json:"config"`
}

// maxRecord is the length of a line: a config as large as a request may be.
const maxRecord = 8 << 20

// openRegistry reads what is there, and begins a file without what is outdated.
// It holds so many configs, of so many bytes in all.
func openRegistry(path string, most, mostBytes int) (*registry, error) {
	r := &registry{most: most, mostBytes: mostBytes, path: path, known: map[place]*entry{}, used: map[string]bool{}, turns: map[place]*turn{}}
	if path == "" {
		return r, nil
	}
	if err := r.load(); err != nil {
		return nil, r.fault("cannot be read", err)
	}
	if err := r.rewrite(); err != nil {
		return nil, r.fault("cannot be written", err)
	}
	return r, nil
}

func (r *registry) fault(what string, err error) error {
	return &sandbox.Error{
		Op: "start", Kind: sandbox.Unavailable, Detail: fmt.Sprintf("the file of sandboxes %s %s", r.path, what), Err: err,
		Remedy: "see to it that the daemon's user may read and write it, or remove it: sandboxes that are stopped then need their config again",
	}
}

// load reads the file. A line that is no record, as a crash may leave one, is
// left out.
func (r *registry) load() error {
	file, err := os.Open(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, maxRecord)
	for lines.Scan() {
		var one record
		if json.Unmarshal(lines.Bytes(), &one) != nil || nameFault("", one.Namespace) != "" {
			continue
		}
		r.use(one.Namespace)
		if one.Config != nil && nameFault("", one.Sandbox) == "" {
			r.note(place{one.Namespace, one.Sandbox}, *one.Config)
		}
	}
	return lines.Err()
}

// note takes a config into memory, and forgets what there is no room for.
func (r *registry) note(p place, c config) {
	r.forget(p)
	r.use(p.space)
	r.count++
	e := &entry{config: c, bytes: len(lineOf(p, c)), at: r.count}
	r.known[p] = e
	r.bytes += e.bytes
	for len(r.known) > r.most || r.bytes > r.mostBytes && len(r.known) > 1 {
		oldest := p
		for p, e := range r.known {
			if e.at < r.known[oldest].at {
				oldest = p
			}
		}
		r.forget(oldest)
	}
}

// use notes that there may be sandboxes in a namespace. Of too many, those go of
// which nothing else is known.
func (r *registry) use(space string) {
	if len(r.used) > 2*r.most {
		clear(r.used)
		for p := range r.known {
			r.used[p.space] = true
		}
	}
	r.used[space] = true
}

func (r *registry) forget(p place) {
	if e, ok := r.known[p]; ok {
		r.bytes -= e.bytes
		delete(r.known, p)
	}
}

// rewrite makes a file of what is known alone.
func (r *registry) rewrite() error {
	var text bytes.Buffer
	for space := range r.used {
		line, _ := json.Marshal(record{Namespace: space}) //nolint:errchkjson // texts
		text.Write(append(line, '\n'))
	}
	for _, p := range r.inOrder() {
		text.Write(lineOf(p, r.known[p].config))
	}
	fresh, err := os.CreateTemp(filepath.Dir(r.path), filepath.Base(r.path)+".*")
	if err != nil {
		return err
	}
	_, err = text.WriteTo(fresh)
	if err == nil {
		err = os.Rename(fresh.Name(), r.path)
	}
	if err != nil {
		return errors.Join(err, fresh.Close(), os.Remove(fresh.Name()))
	}
	if r.file != nil {
		_ = r.file.Close() // it is outdated
	}
	r.file, r.lines, r.written = fresh, len(r.used)+len(r.known), r.bytes
	return nil
}

// inOrder returns the places as they were configured.
func (r *registry) inOrder() []place {
	all := make([]place, 0, len(r.known))
	for p := range r.known {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b place) int { return int(r.known[a].at) - int(r.known[b].at) }) //nolint:gosec // counts of changes
	return all
}

func lineOf(p place, c config) []byte {
	text, err := json.Marshal(record{p.space, p.name, &c})
	if err != nil { // a config is texts and numbers
		return nil
	}
	return append(text, '\n')
}

// put keeps a config. That it cannot be written is an error; it is known all the
// same.
func (r *registry) put(p place, c config) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.note(p, c)
	if r.file == nil {
		return nil
	}
	if r.lines > 2*(len(r.used)+len(r.known))+1000 || r.written > 2*r.mostBytes {
		return r.rewrite()
	}
	r.lines++
	n, err := r.file.Write(lineOf(p, c))
	r.written += n
	return err
}

// get returns the config of a sandbox.
func (r *registry) get(p place) (config, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.known[p]
	if !ok {
		return config{}, false
	}
	return e.config, true
}

// in returns the names in a namespace, in the order of the alphabet.
func (r *registry) in(space string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for p := range r.known {
		if p.space == space {
			names = append(names, p.name)
		}
	}
	slices.Sort(names)
	return names
}

// spaces returns the namespaces, in the order of the alphabet.
func (r *registry) spaces() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.used))
}

// take waits until nobody else starts or stops a sandbox.
func (r *registry) take(ctx context.Context, p place) (leave func(), err error) {
	r.mu.Lock()
	t := r.turns[p]
	if t == nil {
		t = &turn{held: make(chan struct{}, 1)}
		r.turns[p] = t
	}
	t.want++
	r.mu.Unlock()
	forget := func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if t.want--; t.want == 0 {
			delete(r.turns, p)
		}
	}
	select {
	case t.held <- struct{}{}:
		return func() { <-t.held; forget() }, nil
	case <-ctx.Done():
		forget()
		return nil, ctx.Err()
	}
}

// close ends the writing.
func (r *registry) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file = nil
	return err
}
