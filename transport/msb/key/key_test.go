package key_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/msb/key"
)

const secret = "0123456789abcdefghijABCDEFGHIJ01"

// open returns a Keeper of a secret, as an older server may have left it.
func open(tb testing.TB, text string) *key.Keeper {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "server.key")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	k, err := key.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// sign makes a token without the library under test.
func sign(with string, of func() hash.Hash, header, claims string) string {
	b := base64.RawURLEncoding
	text := b.EncodeToString([]byte(header)) + "." + b.EncodeToString([]byte(claims))
	mac := hmac.New(of, []byte(with))
	mac.Write([]byte(text))
	return text + "." + b.EncodeToString(mac.Sum(nil))
}

const (
	hs256 = `{"typ":"JWT","alg":"HS256"}`
	later = `"exp":4102444800,"iat":1767225600`
)

func TestKeeper_Namespace(t *testing.T) {
	k := open(t, secret+"\n")
	for name, test := range map[string]struct{ token, want, err string }{
		"of a namespace, made by Python's hmac": {
			token: "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJleHAiOjQxMDI0NDQ4MDAsImlhdCI6MTc2NzIyNTYwMCwibmFtZXNwYWNlIjoidGVhbS1hIn0.W9Jxldg02nK7Ifex9xTJ8p0OejMgO6h_RF9wFd3iHuA",
			want:  "team-a",
		},
		"of a server without namespaces, made by Python's hmac": {
			token: "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJleHAiOjQxMDI0NDQ4MDAsImlhdCI6MTc2NzIyNTYwMH0.jVNBEHJskGaXnDSVDl_OjJYfc2BcltdQl9jLv_KJHbQ",
			want:  "*",
		},
		"all":           {token: sign(secret, sha256.New, hs256, `{`+later+`,"namespace":"*"}`), want: "*"},
		"no iat":        {token: sign(secret, sha256.New, hs256, `{"exp":4102444800,"namespace":"a"}`), want: "a"},
		"HS512":         {token: sign(secret, sha512.New, `{"typ":"JWT","alg":"HS512"}`, `{`+later+`}`), err: "not one of this server"},
		"none":          {token: strings.TrimRight(sign(secret, sha256.New, `{"alg":"none"}`, `{`+later+`}`), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), err: "not one of this server"},
		"none, signed":  {token: sign(secret, sha256.New, `{"alg":"none"}`, `{`+later+`}`), err: "not one of this server"},
		"no algorithm":  {token: sign(secret, sha256.New, `{}`, `{`+later+`}`), err: "not one of this server"},
		"other secret":  {token: sign(secret+"\n", sha256.New, hs256, `{`+later+`}`), err: "not one of this server"},
		"expired":       {token: sign(secret, sha256.New, hs256, `{"exp":1300819380}`), err: "has expired"},
		"no exp":        {token: sign(secret, sha256.New, hs256, `{"iat":1767225600}`), err: "does not say when it expires"},
		"not yet":       {token: sign(secret, sha256.New, hs256, `{"exp":4102444801,"nbf":4102444800}`), err: "not valid yet"},
		"no name":       {token: sign(secret, sha256.New, hs256, `{`+later+`,"namespace":""}`), err: "cannot be one"},
		"a bad name":    {token: sign(secret, sha256.New, hs256, `{`+later+`,"namespace":"../x"}`), err: "cannot be one"},
		"a number":      {token: sign(secret, sha256.New, hs256, `{`+later+`,"namespace":1}`), err: "not one of this server"},
		"exp as text":   {token: sign(secret, sha256.New, hs256, `{"exp":"soon"}`), err: "not one of this server"},
		"no JSON":       {token: sign(secret, sha256.New, hs256, `{`), err: "not one of this server"},
		"nothing":       {err: "not one of this server"},
		"with prefix":   {token: "msb_" + sign(secret, sha256.New, hs256, `{`+later+`}`), err: "not one of this server"},
		"far too large": {token: strings.Repeat("a.", 1<<20), err: "not one of this server"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := k.Namespace(test.token)
			if got != test.want || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("%q, %v; want %q, %q", got, err, test.want, test.err)
			}
		})
	}
}

// The vector of RFC 7515, appendix A.1, which has expired: that is said of
// those tokens alone whose signature is right.
func TestKeeper_Namespace_RFC7515(t *testing.T) {
	raw, err := base64.RawURLEncoding.DecodeString("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
	if err != nil {
		t.Fatal(err)
	}
	k := open(t, string(raw))
	const token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	if _, err := k.Namespace(token); err == nil || !strings.Contains(err.Error(), "has expired") {
		t.Error(err)
	}
	if _, err := open(t, secret).Namespace(token); err == nil || strings.Contains(err.Error(), "has expired") {
		t.Error(err)
	}
}

// A key opens its namespace, and no change of it opens any.
func TestKeeper_New(t *testing.T) {
	k := open(t, secret)
	now := time.Now()
	for namespace, want := range map[string]string{"": "*", "*": "*", "a": "a", strings.Repeat("x", 63): strings.Repeat("x", 63)} {
		made, expires, err := k.New(namespace, time.Hour, now)
		if err != nil || expires.After(now.Add(time.Hour)) || expires.Before(now.Add(time.Hour-2*time.Second)) {
			t.Fatal(made, expires, err)
		}
		token, ok := strings.CutPrefix(made, key.Prefix)
		if got, err := k.Namespace(token); !ok || got != want || err != nil {
			t.Errorf("%q: %q, %v", namespace, got, err)
		}
		for i := range token {
			tampered := token[:i] + string(token[i]^1) + token[i+1:]
			if got, err := k.Namespace(tampered); err == nil {
				t.Fatalf("with another byte %d it is taken, for %q", i, got)
			}
		}
		if _, err := open(t, strings.ToUpper(secret)).Namespace(token); err == nil {
			t.Error("another server takes it")
		}
	}
	old, _, err := k.New("", time.Second, now.Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Namespace(strings.TrimPrefix(old, key.Prefix)); err == nil {
		t.Error("an old one is taken")
	}
	for _, namespace := range []string{"**", "_a", "-a", "a b", "a/b", "ä", strings.Repeat("x", 64)} {
		if _, _, err := k.New(namespace, time.Hour, now); sandbox.KindOf(err) != sandbox.Invalid {
			t.Errorf("%q: %v", namespace, err)
		}
	}
	for _, life := range []time.Duration{0, -time.Hour, time.Millisecond, 1<<63 - 1} {
		if _, _, err := k.New("", life, now); sandbox.KindOf(err) != sandbox.Invalid {
			t.Errorf("%s: %v", life, err)
		}
	}
}

func TestParseLife(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"1s": time.Second, "2m": 2 * time.Minute, "3h": 3 * time.Hour, "4d": 96 * time.Hour, "5w": 35 * 24 * time.Hour,
		"6mo": 180 * 24 * time.Hour, "7y": 7 * 365 * 24 * time.Hour, "100y": 100 * 365 * 24 * time.Hour,
	} {
		if got, err := key.ParseLife(text); got != want || err != nil {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "1", "h", "0h", "-1h", "1.5h", "1H", " 1h", "1h ", "1h30m", "1ms", "101y", "9999999999y", "99999999999s", strings.Repeat("1", 1<<16) + "s"} {
		if got, err := key.ParseLife(text); sandbox.KindOf(err) != sandbox.Invalid || len(err.Error()) > 300 {
			t.Errorf("%.40s: %s, %v", text, got, err)
		}
	}
}

// The file is made once, for its owner alone, also when many want it at once.
func TestOpen_Makes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "server.key")
	keys := make([]string, 20)
	var all sync.WaitGroup
	for i := range keys {
		all.Go(func() {
			k, err := key.Open(path)
			if err != nil {
				t.Error(err)
				return
			}
			keys[i], _, _ = k.New("", time.Hour, time.Now())
		})
	}
	all.Wait()
	k, err := key.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, made := range keys {
		if _, err := k.Namespace(strings.TrimPrefix(made, key.Prefix)); err != nil {
			t.Error(err)
		}
	}
	data, _ := os.ReadFile(path)
	stat, _ := os.Stat(path)
	if stat.Mode() != 0o600 || !regexp.MustCompile(`^[A-Za-z0-9]{32}$`).Match(data) {
		t.Errorf("%v, %q", stat.Mode(), data)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// What root makes in the folder of a service belongs to the service.
func TestOpen_Owner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root makes files for others")
	}
	folder := t.TempDir()
	if err := os.Chown(folder, 12345, 23456); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "server.key")
	if _, err := key.Open(path); err != nil {
		t.Fatal(err)
	}
	stat, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if of, ok := stat.Sys().(*syscall.Stat_t); !ok || of.Uid != 12345 || of.Gid != 23456 || stat.Mode() != 0o600 {
		t.Errorf("%+v", stat.Sys())
	}
}

func TestOpen_Refuses(t *testing.T) {
	folder := t.TempDir()
	pipe := filepath.Join(folder, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		path, text string
		mode       os.FileMode
		want       string
	}{
		"others read it":  {text: secret, mode: 0o604, want: "chmod 600"},
		"others write it": {text: secret, mode: 0o602, want: "chmod 600"},
		"a group":         {text: secret, mode: 0o640, want: "chmod 600"},
		"too short":       {text: secret[1:] + "\r\n", mode: 0o600, want: "shorter than 32 characters"},
		"empty":           {mode: 0o600, want: "shorter than 32 characters"},
		"too large":       {text: strings.Repeat("x", 5000), mode: 0o600, want: "larger than"},
		"a pipe":          {path: pipe, want: "is no file"}, // it would be waited for, for ever
		"a folder":        {path: folder, want: "is no file"},
		"below a file":    {path: "/dev/null/server.key", want: "cannot be"},
	} {
		t.Run(name, func(t *testing.T) {
			if test.path == "" {
				test.path = filepath.Join(t.TempDir(), "server.key")
				if err := os.WriteFile(test.path, []byte(test.text), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(test.path, test.mode); err != nil {
					t.Fatal(err)
				}
			}
			_, err := key.Open(test.path)
			if sandbox.KindOf(err) != sandbox.Invalid || !strings.Contains(err.Error(), test.want) || strings.Contains(fmt.Sprint(err), secret) {
				t.Error(err)
			}
		})
	}
}

func FuzzKeeper_Namespace(f *testing.F) {
	k := open(f, secret)
	good := sign(secret, sha256.New, hs256, `{`+later+`,"namespace":"team-a"}`)
	f.Add(good)
	f.Add(sign(secret, sha256.New, `{"alg":"none"}`, `{`+later+`}`))
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		if namespace, err := k.Namespace(token); err == nil && token != good {
			t.Errorf("%q opens %q", token, namespace)
		}
	})
}
