package ledger

import (
	"encoding/base64"
	"encoding/json"
	"strconv"

	"github.com/sandwarden/sandwarden/sandbox"
)

// appendLine appends an entry as JSON: what decoding it into a line gives is the
// entry, but for its data. There are four of them for each execution, most of which
// are short, so those that all executions have are not left to reflection.
func appendLine(dst []byte, e *Entry) ([]byte, error) {
	if v := &e.Event; v.MIME != "" || v.StateLost || v.FilesLost || e.Box != "" || len(e.Held) > 0 || e.Refused != nil {
		text, err := json.Marshal(lineOf(e))
		return append(dst, text...), err
	}
	v := &e.Event
	o := object{dst: append(dst, '{')}
	o.number("n", int64(v.Seq)) //nolint:gosec // events are counted one by one
	if !v.Time.IsZero() {
		o.number("t", v.Time.UnixNano())
	}
	o.text("y", string(v.Type))
	o.text("x", string(v.Exec))
	o.text("s", string(v.Stream))
	o.exit("e", v.Exit)
	o.text("c", string(v.Cause))
	o.text("v", v.Evidence)
	o.number("f", int64(e.Frame)) //nolint:gosec // so are frames
	o.accepted("a", e.Accepted)
	o.number("d", int64(e.Deadline))
	o.number("dr", e.Dropped)
	return append(o.dst, '}'), o.err
}

// An object is JSON that is being written. A member of no value is left out.
type object struct {
	dst []byte
	err error
}

func (o *object) name(name string) {
	if last := o.dst[len(o.dst)-1]; last != '{' {
		o.dst = append(o.dst, ',')
	}
	o.dst = append(o.dst, '"')
	o.dst = append(o.dst, name...)
	o.dst = append(o.dst, '"', ':')
}

func (o *object) number(name string, n int64) {
	if n != 0 {
		o.name(name)
		o.dst = strconv.AppendInt(o.dst, n, 10)
	}
}

func (o *object) flag(name string, is bool) {
	if is {
		o.name(name)
		o.dst = append(o.dst, "true"...)
	}
}

func (o *object) text(name, text string) {
	if text != "" {
		o.name(name)
		o.string(text)
	}
}

func (o *object) string(text string) {
	if isPlain(text) {
		o.dst = append(o.dst, '"')
		o.dst = append(o.dst, text...)
		o.dst = append(o.dst, '"')
		return
	}
	quoted, err := json.Marshal(text)
	o.dst = append(o.dst, quoted...)
	if err != nil {
		o.err = err
	}
}

// isPlain tells whether a text stands in JSON as it is.
func isPlain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func (o *object) texts(name string, all []string) {
	if all == nil {
		return
	}
	o.name(name)
	o.dst = append(o.dst, '[')
	for i, text := range all {
		if i > 0 {
			o.dst = append(o.dst, ',')
		}
		o.string(text)
	}
	o.dst = append(o.dst, ']')
}

func (o *object) bytes(name string, data []byte) {
	if data != nil {
		o.name(name)
		o.dst = append(o.dst, '"')
		o.dst = base64.StdEncoding.AppendEncode(o.dst, data)
		o.dst = append(o.dst, '"')
	}
}

// inside writes an object as a member.
func (o *object) inside(name string, members func()) {
	o.name(name)
	o.dst = append(o.dst, '{')
	members()
	o.dst = append(o.dst, '}')
}

func (o *object) exit(name string, x *sandbox.Exit) {
	if x == nil {
		return
	}
	o.inside(name, func() {
		o.number("Code", int64(x.Code))
		o.text("Cause", string(x.Cause))
		o.text("Evidence", x.Evidence)
		o.flag("StateLost", x.StateLost)
		o.text("Result", x.Result)
		if f := x.Failure; f != nil {
			o.inside("Failure", func() {
				o.text("Name", f.Name)
				o.text("Message", f.Message)
			})
		}
		o.number("Dropped", x.Dropped)
		o.number("Duration", int64(x.Duration))
		o.number("CPU", int64(x.CPU))
		o.number("PeakBytes", x.PeakBytes)
	})
}

func (o *object) accepted(name string, a *Accepted) {
	if a == nil {
		return
	}
	o.inside(name, func() {
		o.inside("Exec", func() { o.exec(&a.Exec) })
		o.text("Key", a.Key)
		o.bytes("Digest", a.Digest)
		o.number("Timeout", int64(a.Timeout))
	})
}

func (o *object) exec(x *sandbox.Exec) {
	o.text("ID", string(x.ID))
	o.text("Request", x.Request)
	o.text("Code", x.Code)
	o.texts("Argv", x.Argv)
	o.texts("Env", x.Env)
	o.text("Dir", x.Dir)
	o.flag("Stdin", x.Stdin)
	o.flag("Background", x.Background)
	o.number("Deadline", int64(x.Deadline))
	o.number("CPU", int64(x.CPU))
	o.number("OutputLimit", x.OutputLimit)
}
