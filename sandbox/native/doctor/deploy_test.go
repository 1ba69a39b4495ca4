//go:build linux

package doctor

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func shipped(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "deploy", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// The profile that is shipped is the one that is advised.
func TestAppArmorProfile_IsTheOneThatIsShipped(t *testing.T) {
	_, rest, _ := strings.Cut(appArmorProfile("/usr/local/bin/sandwarden"), "\n")
	advised, _, _ := strings.Cut(rest, "END\n")
	got := regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(shipped(t, "apparmor/sandwarden"), "")
	if got != advised {
		t.Errorf("shipped is\n%s\nadvised is\n%s", got, advised)
	}
}

// What is shipped leaves or gives what is needed.
func TestNeeded_IsGiven(t *testing.T) {
	unit := regexp.MustCompile(`(?m)^CapabilityBoundingSet=.*$`).FindString(shipped(t, "systemd/mcp-server.service"))
	const byDefault = " CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_KILL CAP_SETGID CAP_SETUID CAP_SETPCAP CAP_SYS_CHROOT CAP_MKNOD"
	list := regexp.MustCompile(`(?:cap_add|add): \[(.*)\]`)
	for name := range needed() {
		if !strings.Contains(unit+" ", name+" ") {
			t.Errorf("the unit takes %s away", name)
		}
		for _, file := range []string{"docker/compose.yaml", "kubernetes/mcp-server.yaml"} {
			added := list.FindStringSubmatch(shipped(t, file))
			if added == nil || !strings.Contains(byDefault+" ", " "+name+" ") && !strings.Contains(", "+added[1]+",", ", "+strings.TrimPrefix(name, "CAP_")+",") {
				t.Errorf("%s does not give %s: %q", file, name, added)
			}
		}
	}
}
