package config

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"testing"
)

func TestZZ(t *testing.T) {
	f, _ := os.Open("/tmp/diffcases.jsonl")
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	n := 0
	for sc.Scan() {
		var c [2]string
		json.Unmarshal(sc.Bytes(), &c)
		items, err := parseJSONArray(c[0])
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			for _, i := range items {
				got += typeOf(i) + " "
				if s, ok := i.(string); ok { got += s + " " }
			}
		}
		if got != c[1] {
			t.Errorf("%q: got %q want %q", c[0], got, c[1])
		}
		n++
	}
	fmt.Println(n)
}
func TestZZEnv(t *testing.T) {
	f, _ := os.Open("/tmp/envcases.jsonl")
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	bad := 0
	for sc.Scan() {
		var c struct{ T string; W [][2]string }
		json.Unmarshal(sc.Bytes(), &c)
		got := [][2]string{}
		for b := range variables(c.T) {
			if !b.wrong { got = append(got, [2]string{b.name, b.text}) }
		}
		if fmt.Sprint(got) != fmt.Sprint(c.W) {
			bad++
			if bad < 25 { t.Errorf("%q: got %q want %q", c.T, got, c.W) }
		}
	}
	fmt.Println("bad", bad)
}
