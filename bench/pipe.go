package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const pipeName = "bare Python over a pipe"

// repl evaluates each line that it reads, and answers with the value.
const repl = `import sys
for line in sys.stdin:
    sys.stdout.write(repr(eval(line)) + "\n")
    sys.stdout.flush()
`

// pipeBaseline measures calls of an interpreter that is warm and no further
// away than a pipe: what a call on a session would take without HTTP, without a
// daemon and without a sandbox.
func pipeBaseline(ctx context.Context, python string, d time.Duration) (h *hdrhistogram.Histogram, err error) {
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, python, "-I", "-c", repl)
	in, err := cmd.StdinPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("the baseline needs a python3 (see --python): %w", err)
	}
	defer func() {
		cancel()
		_ = cmd.Wait() // killed by cancel
	}()
	return askAgain(in, bufio.NewReader(out), d)
}

// askAgain asks for the same sum for some time. The first answer, for which the
// interpreter has to start, does not count.
func askAgain(in io.Writer, out *bufio.Reader, d time.Duration) (*hdrhistogram.Histogram, error) {
	h := newHistogram()
	began := time.Now()
	for first := true; first || time.Since(began) < d; first = false {
		asked := time.Now()
		if _, err := io.WriteString(in, "1+1\n"); err != nil {
			return nil, fmt.Errorf("the Python over a pipe: %w", err)
		}
		answer, err := out.ReadString('\n')
		if err == nil && strings.TrimSpace(answer) != "2" {
			err = fmt.Errorf("it answered %.100q to 1+1", answer)
		}
		if err != nil {
			return nil, fmt.Errorf("the Python over a pipe: %w", err)
		}
		if first {
			began = time.Now()
			continue
		}
		record(h, time.Since(asked))
	}
	return h, nil
}
