package sandboxtest

import (
	"testing"

	"github.com/sandwarden/sandwarden/sandbox"
)

// The Fake does with files what every backend does.
func TestFake_Files(t *testing.T) {
	spec := sandbox.Spec{Session: "files", Template: sandbox.Templates()[0], Flavor: sandbox.Flavors()[0]}
	for name, test := range fileTests() {
		t.Run(name, func(t *testing.T) { test(t, NewBox(t, &Fake{}, spec)) })
	}
}
