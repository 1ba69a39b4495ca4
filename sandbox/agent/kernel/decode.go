package kernel

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"
	"unicode/utf8"

	"github.com/sandwarden/sandwarden/sandbox"
)

// The messages as they are on the wire.
type (
	wireMessage struct {
		Ready   *wireReady   `json:"ready"`
		Display *wireDisplay `json:"display"`
		Done    *wireDone    `json:"done"`
	}
	wireReady struct {
		Version string `json:"version"`
	}
	wireDisplay struct {
		MIME string `json:"mime"`
		Data []byte `json:"data"` // base64
	}
	wireDone struct {
		ID          string       `json:"id"`
		OK          bool         `json:"ok"`
		Result      string       `json:"result"`
		Failure     *wireFailure `json:"failure"`
		Exit        *int         `json:"exit"`
		Interrupted bool         `json:"interrupted"`
		Tasks       bool         `json:"tasks"`
	}
	wireFailure struct {
		Name    string `json:"name"`
		Message string `json:"message"`
	}
)

// headerSize is the size of what comes before the body of a frame, which is the size of
// that.
const headerSize = 4

// Cut splits the first frame off what a kernel has said that does not speak lines. ok is
// false as long as it has not come whole.
func Cut(said []byte) (body, rest []byte, ok bool) {
	if len(said) < headerSize {
		return nil, said, false
	}
	size := uint64(binary.BigEndian.Uint32(said))
	if uint64(len(said)-headerSize) < size {
		return nil, said, false
	}
	return said[headerSize : headerSize+size], said[headerSize+size:], true
}

// Decode understands the body of one frame, as [Conn.Next] does.
func Decode(body []byte) (Message, error) { return decode(body) }

// decode understands one frame. A driver of ours keeps all bounds, so what is
// beyond one was not sent by it and is refused.
func decode(frame []byte) (Message, error) {
	if done, ok := plainDone(frame); ok {
		return done.message()
	}
	return decodeAny(frame)
}

func decodeAny(frame []byte) (Message, error) {
	var m wireMessage
	d := json.NewDecoder(bytes.NewReader(frame))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return Message{}, fmt.Errorf("a frame: %w", notEOF(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Message{}, errors.New("more than one value in a frame")
	}
	switch {
	case m.Ready != nil && m.Display == nil && m.Done == nil:
		return m.Ready.message()
	case m.Display != nil && m.Ready == nil && m.Done == nil:
		return m.Display.message()
	case m.Done != nil && m.Ready == nil && m.Display == nil:
		return m.Done.message()
	}
	return Message{}, errors.New("a frame that is not exactly one message")
}

// plainDone understands the end of a run as most are: word for word as the driver
// of Python writes it, without a failure, and with nothing escaped. Others are left
// to the decoder, which would say the same of these and take longer.
func plainDone(frame []byte) (*wireDone, bool) {
	p := plain{rest: frame, ok: true}
	d := &wireDone{}
	p.word(`{"done":{"id":`)
	d.ID = p.text()
	p.word(`,"ok":true`)
	d.OK = true
	if bytes.HasPrefix(p.rest, []byte(`,"result":`)) {
		p.word(`,"result":`)
		d.Result = p.text()
	}
	p.word(`,"interrupted":false}}`)
	return d, p.ok && len(p.rest) == 0
}

// A plain is what is left of a frame. It is not ok once it was something else.
type plain struct {
	rest []byte
	ok   bool
}

// word takes a word.
func (p *plain) word(word string) {
	if p.ok = p.ok && bytes.HasPrefix(p.rest, []byte(word)); p.ok {
		p.rest = p.rest[len(word):]
	}
}

// text takes a string of printable ASCII without anything escaped.
func (p *plain) text() string {
	p.word(`"`)
	for i, c := range p.rest {
		switch {
		case !p.ok, c < ' ', c > '~', c == '\\':
			p.ok = false
			return ""
		case c == '"':
			text := string(p.rest[:i])
			p.rest = p.rest[i+1:]
			return text
		}
	}
	p.ok = false
	return ""
}

func (r *wireReady) message() (Message, error) {
	if !isWord(r.Version) {
		return Message{}, errors.New("a version that is not a word")
	}
	return Message{Ready: &Ready{Version: r.Version}}, nil
}

func (d *wireDisplay) message() (Message, error) {
	if len(d.Data) > sandbox.MaxDisplay {
		return Message{}, fmt.Errorf("a display of %d bytes", len(d.Data))
	}
	if len(d.MIME) > maxMIME {
		return Message{}, errors.New("a long media type")
	}
	media, _, err := mime.ParseMediaType(d.MIME)
	if err != nil || !strings.Contains(media, "/") {
		return Message{}, errors.New("a display without a media type")
	}
	return Message{Display: &Display{MIME: media, Data: d.Data}}, nil
}

func (d *wireDone) message() (Message, error) {
	switch {
	case !isWord(d.ID):
		return Message{}, errors.New("an id that is not a word")
	case d.Exit != nil && (*d.Exit < 0 || *d.Exit > 255):
		return Message{}, fmt.Errorf("an exit status of %d", *d.Exit)
	}
	done := &Done{
		ID: d.ID, OK: d.OK, Result: cut(d.Result, MaxResult), Exit: d.Exit, Interrupted: d.Interrupted, Tasks: d.Tasks,
	}
	if d.Failure != nil {
		done.Failure = &sandbox.Failure{
			Name: cut(d.Failure.Name, maxName), Message: cut(d.Failure.Message, maxFailure),
		}
	}
	return Message{Done: done}, nil
}

// cut shortens text to a size in bytes, between characters.
func cut(text string, size int) string {
	if len(text) <= size {
		return text
	}
	for size > 0 && !utf8.RuneStart(text[size]) {
		size--
	}
	return text[:size]
}
