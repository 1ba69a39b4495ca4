package kernel

import (
	"bytes"
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
	}
	wireFailure struct {
		Name    string `json:"name"`
		Message string `json:"message"`
	}
)

// decode understands one frame. A driver of ours keeps all bounds, so what is
// beyond one was not sent by it and is refused.
func decode(frame []byte) (Message, error) {
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
		ID: d.ID, OK: d.OK, Result: cut(d.Result, MaxResult), Exit: d.Exit, Interrupted: d.Interrupted,
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
