//go:build linux

package native

import (
	"bytes"
	"fmt"
	"os"
	"time"
)

// lastWords are the end of what a process of ours writes to stderr, which says why it
// ended. It may write as much as it likes.
type lastWords struct {
	done chan struct{} // closed when nobody can write any more
	text []byte        // not before
}

const (
	wordsKept = 2 << 10
	wordsWait = time.Second // for what the process has left behind
)

// hear returns what is heard, and the file for the process, which the caller closes.
func hear() (*lastWords, *os.File, error) {
	from, to, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	w := &lastWords{done: make(chan struct{})}
	go w.listen(from) // until the process, and all that it forked, have closed theirs
	return w, to, nil
}

func (w *lastWords) listen(from *os.File) {
	defer close(w.done)
	defer func() { _ = from.Close() }()
	piece := make([]byte, wordsKept)
	for {
		n, err := from.Read(piece)
		w.text = append(w.text, piece[:n]...)
		w.text = bytes.Clone(w.text[max(0, len(w.text)-wordsKept):])
		if err != nil {
			return
		}
	}
}

// explain adds to an error what was heard of a process that has ended.
func (w *lastWords) explain(err error) error {
	timer := time.NewTimer(wordsWait)
	defer timer.Stop()
	select {
	case <-w.done:
	case <-timer.C:
		return err
	}
	if said := bytes.TrimSpace(w.text); len(said) > 0 {
		return fmt.Errorf("%w: it said: %s", err, said)
	}
	return err
}
