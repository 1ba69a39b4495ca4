//go:build linux

package native_test

import (
	"strings"
	"testing"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/native"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

// Who gives up while a kernel is forked costs the others nothing: the zygote
// forks on.
func TestNursery_CallerGivesUp(t *testing.T) {
	b := begin(t, func(o *native.Options) { o.ZygoteForks = 100 })
	zygote := native.ZygotePID(b, "python")
	native.StopZygote(b, "python")
	unwanted, err := b.Create(t.Context(), "sb-given-up", python("given-up"))
	if err != nil {
		t.Fatal(err)
	}
	native.AwaitFork(t.Context(), b, "python")
	err = unwanted.Destroy(t.Context())
	native.ContinueZygote(zygote)
	if err != nil {
		t.Errorf("the sandbox that nobody wants: %v", err)
	}
	x := sandboxtest.NewBox(t, b, python("after"))
	if got := x.Code(t, forked).Exit.Result; got != "True" || native.ZygotePID(b, "python") != zygote {
		t.Errorf("forked afterwards: %s, by process %d instead of %d", got, native.ZygotePID(b, "python"), zygote)
	}
}

// A context that ends after the answer says nothing to the next request.
func TestNursery_DeadlineIsNotTheNext(t *testing.T) {
	b := begin(t, func(o *native.Options) { o.ZygoteForks = 100 })
	if err := native.AskAfterEnd(t.Context(), b, "python"); err != nil {
		t.Errorf("the next request: %v", err)
	}
}

// What was asked for while a zygote was being replaced has come with the next one.
func TestNursery_ReplacedOnce(t *testing.T) {
	if native.PutLeavesWorn() {
		t.Error("a zygote that has just come is to be replaced")
	}
}

// A zygote that hangs in a fork ends with its nursery.
func TestNursery_HangsAtTheEnd(t *testing.T) {
	b := begin(t, func(o *native.Options) { o.ZygoteForks = 100 })
	left, err := native.EndNurseryInFork(t.Context(), b, sandbox.Templates()[0])
	if err != nil {
		t.Fatal(err)
	}
	if left {
		t.Error("the zygote is still there")
	}
}

// The log says why there is no zygote.
func TestNursery_SaysWhyNot(t *testing.T) {
	b := begin(t, func(o *native.Options) { o.ZygoteForks = 100 })
	err := native.StartZygoteOf(t.Context(), b, sandbox.Templates()[0], "/bin/sh") // which does not know the options
	if err == nil || !strings.Contains(err.Error(), "it said: ") || !strings.Contains(err.Error(), "-X") {
		t.Errorf("got %v", err)
	}
}
