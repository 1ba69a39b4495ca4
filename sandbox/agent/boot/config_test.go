package boot_test

import (
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent/boot"
)

// fill gives all that is in a value something that is not zero.
func fill(t *testing.T, v reflect.Value, n *int) {
	t.Helper()
	*n++
	switch v.Kind() { //nolint:exhaustive // the others fail
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(-1 - *n))
	case reflect.Uint8, reflect.Uint64:
		v.SetUint(math.MaxUint64 - uint64(*n))
	case reflect.String:
		v.SetString(string(rune('a'+*n)) + "\x00é")
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 3, 3))
		for i := range 3 {
			fill(t, v.Index(i), n)
		}
	case reflect.Struct:
		for _, field := range v.Fields() {
			fill(t, field, n)
		}
	default:
		t.Fatalf("a configuration with a %s", v.Kind())
	}
}

// All that is written is read, by the agent and by who builds the walls.
func TestConfig(t *testing.T) {
	var want boot.Config
	n := 0
	fill(t, reflect.ValueOf(&want).Elem(), &n)
	want.Kernel.Language = sandbox.Python // a text that is not UTF-8 is none
	for name, c := range map[string]boot.Config{"full": want, "empty": {}, "some": {Walls: boot.Walls{UID: 7, Late: true}, Grace: time.Second}} {
		data, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := boot.DecodeConfig(data)
		if err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("%s: %v\n got %+v\nwant %+v", name, err, got, c)
		}
		if walls, err := boot.DecodeWalls(data); err != nil || !reflect.DeepEqual(walls, c.Walls) {
			t.Errorf("%s: %v\n got %+v\nwant %+v", name, err, walls, c.Walls)
		}
	}
}

// A part of it is no configuration.
func TestConfig_Cut(t *testing.T) {
	data, err := boot.Config{Walls: boot.Walls{Hostname: "name", Filter: make([]byte, 300), Volumes: []boot.Volume{{Target: "/x"}}, Zygote: []string{"a"}}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for n := range data {
		if _, err := boot.DecodeConfig(data[:n]); err == nil {
			t.Fatalf("%d bytes of %d are enough", n, len(data))
		}
	}
	for i := range 300 { // whatever is damaged, it ends
		damaged := append([]byte{}, data...)
		damaged[i] ^= 0xff
		_, _ = boot.DecodeConfig(damaged)
	}
}
