package kernel

import (
	"reflect"
	"testing"
)

// What the short way understands, the decoder understands the same.
func FuzzPlainDone(f *testing.F) {
	for _, frame := range []string{
		`{"done":{"id":"1","ok":true,"interrupted":false}}`,
		`{"done":{"id":"17","ok":true,"result":"2","interrupted":false}}`,
		`{"done":{"id":"1","ok":true,"result":"'a\\nb'","interrupted":false}}`,
		`{"done":{"id":"1","ok":true,"result":"a\u00e9","interrupted":false}}`,
		`{"done":{"id":"1","ok":true,"result":"\xff","interrupted":false}}`,
		`{"done":{"id":"","ok":true,"interrupted":false}}`,
		`{"done":{"id":"a b","ok":true,"interrupted":false}}`,
		`{"done":{"id":"1","ok":true,"interrupted":false}} `,
		`{"done":{"id":"1","ok":true,"result":"","interrupted":false}}`,
		`{"done":{"id":"1","ok":false,"failure":{"name":"E","message":"m"},"interrupted":false}}`,
	} {
		f.Add([]byte(frame))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		done, ok := plainDone(frame)
		if !ok {
			return
		}
		got, gotErr := done.message()
		want, wantErr := decodeAny(frame)
		if !reflect.DeepEqual(got, want) || (gotErr == nil) != (wantErr == nil) {
			t.Errorf("%q is %+v, %v; the decoder says %+v, %v", frame, got.Done, gotErr, want.Done, wantErr)
		}
	})
}

func TestPlainDone(t *testing.T) {
	for frame, want := range map[string]bool{
		`{"done":{"id":"1","ok":true,"interrupted":false}}`:               true,
		`{"done":{"id":"1","ok":true,"result":"2","interrupted":false}}`:  true,
		`{"done":{"id":"1","ok":true,"result":"\n","interrupted":false}}`: false,
		`{"done":{"id":"1","ok":true,"result":"2","interrupted":true}}`:   false,
		`{"done":{"id":"1","ok":true,"result":"2`:                         false,
		`{"done":{"id":"1","ok":false,"interrupted":false}}`:              false,
		``: false,
	} {
		if _, ok := plainDone([]byte(frame)); ok != want {
			t.Errorf("%s: %v, want %v", frame, ok, want)
		}
	}
}
