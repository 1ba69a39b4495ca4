package rest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/rest"
	"github.com/sandwarden/sandwarden/transport/transporttest"
)

func TestFiles(t *testing.T) {
	h := made(&transporttest.Sessions{}, rest.Options{MaxFile: 64})
	ask(t, h, http.MethodPost, "", `{"session_id":"s"}`)
	const files = "/v1/sessions/s/files"
	long := strings.Repeat("x", 65)
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"PUT", files + "?path=a", "<script>1", 200, `{"path":"/work/a","type":"file","size":9,"mode":"0644","modified":"2026-01-31T15:36:30Z"}`},
		{"PUT", files + "?path=a&append=true&mode=0600", "23", 200, `"size":11`},
		{"PUT", files + "?path=a&exclusive=true", "x", 409, `"kind":"conflict"`},
		{"PUT", files + "?path=b&mode=999", "x", 400, `query.mode`},
		{"PUT", files, "x", 400, `query.path`},
		{"PUT", files + "?path=b", long, 413, `larger than 64 bytes`},
		{"GET", files + "?path=a", "", 200, "<script>123"},
		{"GET", files + "?path=/work/a&from=-3&size=2", "", 200, "12"},
		{"GET", files + "?path=b", "", 404, `"detail":"File not found: b"`},
		{"GET", files + "/stat?path=a", "", 200, `"size":11`},
		{"GET", files + "/stat?path=b", "", 404, `"detail":"File not found: b"`},
		{"GET", files + "/list", "", 200, `{"files":[{"path":"/work/a",`},
		{"GET", files + "/list?path=/tmp", "", 200, `{"files":[],"more":false}`},
		{"GET", files + "/list?limit=0", "", 400, `query.limit`},
		{"PUT", files + "/directory?path=d/e&mode=755", "", 204, ""},
		{"PUT", files + "/tree?path=tree", "as tar", 204, ""},
		{"GET", files + "/tree?path=tree", "", 200, "as tar"},
		{"DELETE", files + "?path=a&recursive=true", "", 204, ""},
		{"DELETE", files + "?path=a", "", 404, `"detail":"File not found: a"`},
		{"GET", "/v1/sessions/none/files?path=a", "", 404, `"detail":"Session not found: none"`},
		{"PUT", "/v1/sessions/none/files?path=a", "x", 404, `"detail":"Session not found: none"`},
		{"PUT", "/v1/sessions/none/files/tree", "x", 404, `"detail":"Session not found: none"`},
		{"GET", "/v1/sessions/none/files/list", "", 404, `"detail":"Session not found: none"`},
	} {
		w := send(t, h, c.method, c.path, c.body)
		got := strings.TrimSpace(w.Body.String())
		if w.Code != c.status || !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, w.Code, got, c.status, c.want)
		}
		kind := w.Header().Get("Content-Type")
		if w.Header().Get("X-Content-Type-Options") != "nosniff" || kind == "" && c.want != "" || w.Code >= 400 && kind != "application/problem+json" {
			t.Errorf("%s %s: %v", c.method, c.path, w.Header())
		}
	}
}

// What a browser gets it saves, whatever the name and the bytes.
func TestFiles_AreNoPages(t *testing.T) {
	h := made(&transporttest.Sessions{}, rest.Options{})
	ask(t, h, http.MethodPost, "", `{"session_id":"s"}`)
	for path, want := range map[string]string{
		"a.html":       `attachment; filename=a.html`,
		"d/a%20b.txt":  `attachment; filename="a b.txt"`,
		"a%22%0D%0Ab":  `attachment; filename*=utf-8''a%22%0D%0Ab`,
		"%C3%A9%22":    `attachment; filename*=utf-8''%C3%A9%22`,
		"%FF%3Bx%3D1/": `attachment; filename*=utf-8''%FF%3Bx%3D1`,
	} {
		send(t, h, http.MethodPut, "/v1/sessions/s/files?path="+path, "<html>")
		w := send(t, h, http.MethodGet, "/v1/sessions/s/files?path="+path, "")
		header := w.Header()
		if w.Code != 200 || header.Get("Content-Type") != "application/octet-stream" || header.Get("Content-Disposition") != want ||
			header.Get("X-Content-Type-Options") != "nosniff" || header.Get("Content-Security-Policy") != "default-src 'none'; sandbox" {
			t.Errorf("%s: %d %v, want %s", path, w.Code, header, want)
		}
	}
}

// broken gives some bytes, and then its sandbox dies.
type broken struct {
	transporttest.Sessions

	gives string
	says  string // as info
}

func (b *broken) Transfer(context.Context, sandbox.Ref, sandbox.FileRequest) (sandbox.Transfer, error) {
	if b.says != "" {
		return &scripted{Reader: strings.NewReader(b.says)}, nil
	}
	end := iotestErr{&sandbox.Error{Op: "read", Kind: sandbox.Stopped, Cause: sandbox.CauseOOM}}
	return &scripted{Reader: io.MultiReader(strings.NewReader(b.gives), end)}, nil
}

type iotestErr struct{ err error }

func (e iotestErr) Read([]byte) (int, error) { return 0, e.err }

type scripted struct{ io.Reader }

func (*scripted) Write(p []byte) (int, error) { return len(p), nil }
func (*scripted) CloseWrite() error           { return nil }
func (*scripted) Close() error                { return nil }

// A transfer that fails is an error while that can be said, and else no whole
// answer.
func TestFiles_CutOff(t *testing.T) {
	fake := &broken{}
	server := httptest.NewServer(made(fake, rest.Options{}))
	defer server.Close()
	get := func() (status int, body string, failed error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v1/sessions/s/files?path=a", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		data, err := io.ReadAll(answer.Body)
		return answer.StatusCode, string(data), err
	}
	if status, body, err := get(); status != 409 || err != nil || !strings.Contains(body, `"kind":"stopped"`) {
		t.Errorf("before the first byte: %d %s %v", status, body, err)
	}
	fake.gives = strings.Repeat("x", 100<<10)
	if status, body, err := get(); status != 200 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("after some bytes: %d, %d bytes, %v", status, len(body), err)
	}
}

// What a sandbox tells of its files becomes nothing else than text.
func TestFiles_HostileTales(t *testing.T) {
	for name, c := range map[string]struct {
		says   string
		status int
		want   string
	}{
		"no JSON":      {"<html>", 500, `"detail":"Internal server error"`},
		"odd members":  {`{"path":"</script>\u0000","type":"<b>","mode":4294967295,"size":-1,"modified":"2026-01-01T00:00:00Z"}`, 200, `"type":"other","size":-1,"mode":"07777"`},
		"far too much": {`{"path":"` + strings.Repeat("x", 17<<20) + `"}`, 429, `more to tell than fits`},
	} {
		w := send(t, made(&broken{says: c.says}, rest.Options{}), http.MethodGet, "/v1/sessions/s/files/stat?path=a", "")
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s: %d %.300s", name, w.Code, w.Body)
		}
	}
}
