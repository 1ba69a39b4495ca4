package kernel

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/sandwarden/sandwarden/sandbox"
)

// The bounds of the control channel, in bytes.
const (
	MaxRun     = 4 << 20  // of a frame to the kernel
	MaxMessage = 1 << 20  // of a frame from it
	MaxResult  = 64 << 10 // of Done.Result
	maxFailure = 8 << 10  // of Done.Failure.Message
	maxName    = 256      // of Done.Failure.Name, of an id, of a version
	maxMIME    = 128
	maxLine    = 1024 // of a line from a kernel that speaks lines
	small      = 1024 // of a frame whose room may be made before it has come
)

// A Message is what a kernel says. Exactly one field is set.
type Message struct {
	Ready   *Ready
	Display *Display
	Done    *Done
}

// Ready tells, once and first, that the kernel takes runs.
type Ready struct {
	Version string // of the interpreter
}

// Display is one rich result, at most [sandbox.MaxDisplay] bytes.
type Display struct {
	MIME string
	Data []byte
}

// Done tells that a run ended.
type Done struct {
	ID          string // that of SendRun; the kernel may lie
	OK          bool
	Result      string // of the last expression; empty when there is none
	Failure     *sandbox.Failure
	Exit        *int // 0 to 255, when the code called exit, and always of a shell
	Interrupted bool // ended by SIGINT
	Tasks       bool // it left something that goes on in the kernel's own thread
}

// A Conn is the agent's end of a control channel. One goroutine may call
// SendRun while another calls Next. Neither has a deadline: to give up, set
// one on the file, or close it.
type Conn struct {
	mu    sync.Mutex // held while a run is written
	w     io.Writer
	r     *bufio.Reader
	lines bool // the shell's framing; see bash.sh
}

// NewConn speaks with a kernel of a language over rw, which stays the
// caller's.
func NewConn(rw io.ReadWriter, lang sandbox.Language) *Conn {
	return &Conn{w: rw, r: bufio.NewReaderSize(rw, maxLine), lines: lang == sandbox.Bash}
}

// SendRun asks for code to be run under an id that has neither spaces nor
// control characters. Kinds: Invalid for code that cannot be sent, after which
// the channel is as it was; Stopped when the kernel is gone.
func (c *Conn) SendRun(id, code string) error {
	if !isWord(id) {
		return &sandbox.Error{Op: "run", Kind: sandbox.Invalid, Detail: "the id of the run is not a word"}
	}
	frame, err := c.encode(id, code)
	if err != nil {
		return err
	}
	return c.send(frame)
}

func (c *Conn) send(frame []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.w.Write(frame); err != nil {
		return &sandbox.Error{Op: "run", Kind: sandbox.Stopped, Detail: "the kernel is gone", Err: err}
	}
	return nil
}

func (c *Conn) encode(id, code string) ([]byte, error) {
	if c.lines {
		return encodeLine(id, code)
	}
	return EncodeRun(id, code)
}

// EncodeRun is the frame of SendRun, for a kernel that does not speak lines.
func EncodeRun(id, code string) ([]byte, error) {
	word, err := json.Marshal(id)
	if err != nil {
		return nil, unencoded(err)
	}
	text, err := json.Marshal(code)
	if err != nil {
		return nil, unencoded(err)
	}
	const before, between, behind = `{"run":{"id":`, `,"code":`, `}}`
	size := len(before) + len(word) + len(between) + len(text) + len(behind)
	if size > MaxRun {
		return nil, tooLarge()
	}
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, 4+size), uint32(size))
	frame = append(append(frame, before...), word...)
	frame = append(append(frame, between...), text...)
	return append(frame, behind...), nil
}

// frameOf puts its length before a body.
func frameOf(body []byte) ([]byte, error) {
	if len(body) > MaxRun {
		return nil, tooLarge()
	}
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(body)), uint32(len(body))), body...), nil
}

func unencoded(err error) error {
	return &sandbox.Error{Op: "run", Kind: sandbox.Invalid, Detail: "the code cannot be encoded", Err: err}
}

// encodeLine counts bytes instead of ending the code with a character: a shell
// can read a counted piece fast, and byte by byte only otherwise.
func encodeLine(id, code string) ([]byte, error) {
	if strings.ContainsRune(code, 0) {
		return nil, &sandbox.Error{
			Op: "run", Kind: sandbox.Invalid,
			Detail: "shell code cannot hold a NUL character", Remedy: `write it as $'\0' or with printf '\0'`,
		}
	}
	if len(code) > MaxRun {
		return nil, tooLarge()
	}
	return fmt.Appendf(nil, "run %s %d\n%s", id, len(code), code), nil
}

func tooLarge() error {
	return &sandbox.Error{
		Op: "run", Kind: sandbox.Invalid,
		Detail: fmt.Sprintf("the code is too large to run: over %d MiB when encoded", MaxRun>>20),
		Remedy: "put data into files, and the code in smaller pieces",
	}
}

// Next waits for the next message. io.EOF: the kernel closed the channel. Any
// other error means that what came is not ours to believe, or that reading
// failed: the kernel is to be killed, and Next not called again.
func (c *Conn) Next() (Message, error) {
	m, err := c.next()
	if err != nil && !errors.Is(err, io.EOF) {
		return Message{}, &sandbox.Error{Op: "control", Kind: sandbox.Other, Err: err}
	}
	return m, err
}

func (c *Conn) next() (Message, error) {
	if c.lines {
		return c.nextLine()
	}
	var head [4]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return Message{}, err // io.EOF only between frames
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > MaxMessage {
		return Message{}, fmt.Errorf("a frame of %d bytes", size)
	}
	if size <= small {
		body := make([]byte, size)
		if _, err := io.ReadFull(c.r, body); err != nil {
			return Message{}, fmt.Errorf("in a frame: %w", notEOF(err))
		}
		return decode(body)
	}
	// The buffer grows with what comes, not with what is promised.
	var body bytes.Buffer
	if _, err := io.CopyN(&body, c.r, int64(size)); err != nil {
		return Message{}, fmt.Errorf("in a frame: %w", notEOF(err))
	}
	return decode(body.Bytes())
}

func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (c *Conn) nextLine() (Message, error) {
	line, err := c.r.ReadSlice('\n')
	switch {
	case errors.Is(err, io.EOF) && len(line) > 0:
		return Message{}, fmt.Errorf("in a line: %w", io.ErrUnexpectedEOF)
	case err != nil:
		return Message{}, err
	}
	return decodeLine(strings.TrimSuffix(string(line), "\n"))
}

// decodeLine understands "ready VERSION", and "done ID STATUS" with the word
// interrupted after it or not.
func decodeLine(line string) (Message, error) {
	verb, rest, _ := strings.Cut(line, " ")
	words := strings.Split(rest, " ")
	switch {
	case verb == "ready" && len(words) == 1 && isWord(words[0]):
		return Message{Ready: &Ready{Version: words[0]}}, nil
	case verb == "done" && len(words) >= 2 && len(words) <= 3 && isWord(words[0]):
		status, err := strconv.ParseUint(words[1], 10, 8)
		if err != nil {
			return Message{}, fmt.Errorf("the status of a done: %w", err)
		}
		if len(words) == 3 && words[2] != "interrupted" {
			return Message{}, errors.New("an unknown word after a done")
		}
		exit := int(status)
		return Message{Done: &Done{ID: words[0], OK: exit == 0, Exit: &exit, Interrupted: len(words) == 3}}, nil
	}
	return Message{}, errors.New("a line that is neither ready nor done")
}

// isWord reports whether s is one word of printable ASCII, and not long.
func isWord(s string) bool {
	return s != "" && len(s) <= maxName && strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}
