package mcp_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/door"
	"github.com/sandwarden/sandwarden/transport/mcp"
	"github.com/sandwarden/sandwarden/transport/transporttest"
)

// What is sent is behind what was sent before, of whatever length, also by
// others.
func TestSendInput_GoesOnWhereItWas(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	fake := &transporttest.Sessions{Run: until(release)}
	url := serve(t, fake, mcp.Options{})
	post(t, url, guideCall("execute_command", `{"command":"cat","stdin":true,"background":true}`))
	var want strings.Builder
	for _, n := range []int{1, 1, 2, 5, 1000, 3, 0, 70_000, 1} {
		piece := strings.Repeat(strconv.Itoa(n%10), n)
		want.WriteString(piece)
		_, got := post(t, url, guideCall("send_input", `{"execution_id":"exec-1","text":"`+piece+`"}`))
		expect(t, strconv.Itoa(n), got, []string{fmt.Sprintf(`"sent_bytes":%d,"complete":true`, n)})
	}
	if n, err := fake.WriteStdin(t.Context(), "", "exec-1", uint64(want.Len()), []byte("other")); n != 5 || err != nil {
		t.Fatal(n, err)
	}
	post(t, url, guideCall("send_input", `{"execution_id":"exec-1","text":"end","close":true}`))
	if got := fake.Input("exec-1"); got != want.String()+"otherend" {
		t.Errorf("%d bytes arrived, ending in %q", len(got), got[max(0, len(got)-20):])
	}
	_, got := post(t, url, guideCall("send_input", `{"execution_id":"exec-1","text":"x"}`))
	expect(t, "closed", got, []string{`"error":{"code":-32602,"message":"Invalid parameters: this execution takes no input"`})
}

// A stuffed stdin takes no more than so many bytes.
type stuffed struct {
	*transporttest.Sessions

	room int
}

func (s *stuffed) WriteStdin(ctx context.Context, owner sandbox.Principal, id sandbox.ExecID, offset uint64, data []byte) (int, error) {
	if room := s.room - int(offset); len(data) > room {
		data = data[:max(room, 0)]
	}
	return s.Sessions.WriteStdin(ctx, owner, id, offset, data)
}

// A program that does not read is not waited for without end, and not closed.
func TestSendInput_ToWhoDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		fake := &stuffed{&transporttest.Sessions{Run: until(release)}, 4}
		h := mcp.New(fake, mcp.Options{})
		who := sandbox.Principal("")
		call := func(tool, arguments string) string {
			r := httptest.NewRequestWithContext(door.With(t.Context(), who), http.MethodPost, "/mcp", strings.NewReader(guideCall(tool, arguments)))
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w.Body.String()
		}
		call("execute_command", `{"command":"cat","stdin":true,"background":true}`)
		first := make(chan string)
		go func() { first <- call("send_input", `{"execution_id":"exec-1","text":"123456","close":true}`) }()
		synctest.Wait()
		expect(t, "at once", call("send_input", `{"execution_id":"exec-1","text":"7"}`), []string{`Conflict: another call is sending input`, `"Wait for its answer, then send"`})
		who = "somebody else" // who does not learn that somebody sends, and keeps nobody's turn
		expect(t, "another's", call("send_input", `{"execution_id":"exec-1","text":"7"}`), []string{`Execution not found: exec-1`})
		who = ""
		expect(t, "in the end", <-first, []string{`4 of 6 bytes were sent: the program reads no more now. Send the rest later`, `"sent_bytes":4,"complete":false,"closed":false`})
		fake.room = 100
		expect(t, "the rest", call("send_input", `{"execution_id":"exec-1","text":"56","close":true}`), []string{`"sent_bytes":2,"complete":true,"closed":true`})
		if got := fake.Input("exec-1"); got != "123456" {
			t.Errorf("%q arrived", got)
		}
		close(release)
		synctest.Wait()
	})
}
