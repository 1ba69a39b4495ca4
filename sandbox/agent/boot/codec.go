package boot

import (
	"encoding/binary"
	"errors"
)

// A codec writes fields one after the other, or reads them in the same order. What
// comes after the first error is zero.
type codec struct {
	data  []byte // written, or still to be read
	reads bool
	err   error
}

var errCut = errors.New("the configuration is cut short")

func number[T ~int | ~int64 | ~uint64](c *codec, p *T) {
	if !c.reads {
		c.data = binary.AppendVarint(c.data, int64(*p))
		return
	}
	v, n := binary.Varint(c.data)
	if n <= 0 {
		c.data, c.err = nil, errCut
		return
	}
	*p, c.data = T(v), c.data[n:]
}

func (c *codec) flag(p *bool) {
	n := 0
	if *p {
		n = 1
	}
	number(c, &n)
	*p = n != 0
}

// text shares the memory of bytes that it reads.
func text[T ~string | ~[]byte](c *codec, p *T) {
	n := length(c, len(*p))
	if !c.reads {
		c.data = append(c.data, *p...)
		return
	}
	if n > 0 {
		*p, c.data = T(c.data[:n:n]), c.data[n:]
	}
}

func list[T any](c *codec, p *[]T, each func(*T, *codec)) {
	if n := length(c, len(*p)); c.reads && n > 0 {
		*p = make([]T, n)
	}
	for i := range *p {
		each(&(*p)[i], c)
	}
}

// length is that of something of which each part takes a byte at least.
func length(c *codec, now int) int {
	n := now
	number(c, &n)
	if c.reads && (n < 0 || n > len(c.data)) {
		c.data, c.err = nil, errCut
		return 0
	}
	return n
}
