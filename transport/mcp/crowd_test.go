package mcp_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/transport/mcp"
	"github.com/sandwarden/sandwarden/transport/transporttest"
)

// Clients that send large bodies slowly fill their places and nothing more:
// another large one is turned away, small ones are served.
func TestSlowLargeBodies(t *testing.T) {
	const places = 2
	address := strings.TrimPrefix(listen(t, mcp.New(&transporttest.Sessions{}, mcp.Options{MaxLarge: places, ReadTimeout: 500 * time.Millisecond})), "http://")
	send := func(sent int) net.Conn {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		const length = 1 << 20
		fmt.Fprintf(conn, "POST /mcp HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", address, length)
		if _, err := conn.Write([]byte(strings.Repeat(" ", sent))); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	statuses := map[int]int{}
	var conns []net.Conn
	for range places + 3 {
		conns = append(conns, send(200<<10))
	}
	resp, err := http.Post("http://"+address+"/mcp", "application/json", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("a small request meanwhile: %v, %v", resp, err)
	}
	resp.Body.Close()
	for _, conn := range conns {
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		statuses[answer.StatusCode]++
	}
	if statuses[http.StatusServiceUnavailable] == 0 || statuses[http.StatusServiceUnavailable]+statuses[http.StatusBadRequest] != places+3 {
		t.Errorf("got %v, want some turned away and the others given up", statuses)
	}
}
