package config_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sandwarden/sandwarden/config"
)

var update = flag.Bool("update", false, "rewrite docs/configuration.md")

func TestMarkdown_IsThePage(t *testing.T) {
	const file = "../docs/configuration.md"
	var page strings.Builder
	if err := config.Markdown(&page); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(written), page.String()); diff != "" {
		t.Errorf("%s is not what the table says; make golden writes it (-page +table):\n%s", file, diff)
	}
}

func TestMarkdown_SaysAllOfEverySetting(t *testing.T) {
	var page strings.Builder
	if err := config.Markdown(&page); err != nil {
		t.Fatal(err)
	}
	_, report, err := load(t, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(page.String()) {
		cells := strings.Split(strings.Trim(line, "|\n"), "|")
		if !strings.HasPrefix(line, "| ") || cells[0] == " key " {
			continue
		}
		rows++
		if len(cells) != 6 {
			t.Errorf("%q has %d cells", line, len(cells))
		}
		for _, cell := range cells {
			if strings.TrimSpace(cell) == "" {
				t.Errorf("%q has an empty cell", line)
			}
		}
	}
	if rows != len(report.Values) {
		t.Errorf("the page has %d settings, and there are %d", rows, len(report.Values))
	}
}

func TestReport_HidesTheKey(t *testing.T) {
	_, report, err := load(t, "", []string{"MSB_API_KEY=hush", "MSB_SERVER_URL=http://me:hush@localhost:5555", "MCP_SERVER_PORT=x"})
	var printed strings.Builder
	if err := report.Print(&printed); err != nil {
		t.Fatal(err)
	}
	if all := printed.String() + err.Error(); strings.Contains(all, "hush") || !strings.Contains(all, "***") {
		t.Errorf("the key is not hidden in:\n%s", all)
	}
}
