package main

import (
	"runtime"
	"testing"
)

func TestHalf(t *testing.T) {
	for processors, want := range map[int]int{1: 1, 2: 1, 3: 2, 4: 2, 64: 32} {
		if got := half(processors); got != want {
			t.Errorf("of %d: %d, want %d", processors, got, want)
		}
	}
}

func TestSpareProcessors(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	t.Setenv("GOMAXPROCS", "")
	restore := spareProcessors()
	if got := runtime.GOMAXPROCS(0); got != half(before) {
		t.Errorf("of %d: %d", before, got)
	}
	restore()
	if got := runtime.GOMAXPROCS(0); got != before {
		t.Errorf("afterwards %d, want %d", got, before)
	}
	t.Setenv("GOMAXPROCS", "7")
	spareProcessors()()
	if got := runtime.GOMAXPROCS(0); got != before {
		t.Errorf("with a word of the operator's: %d, want %d", got, before)
	}
}
