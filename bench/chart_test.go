package bench_test

import (
	"encoding/xml"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sandwarden/sandwarden/bench"
)

func TestReport_ChartsAreFilesOfTheirOwn(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "made", "for it")
	r := sample(t)
	r.Results = append(r.Results, r.Results[1]) // of the same name
	names, err := r.SVG(folder)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, name := range names {
		got = append(got, filepath.Base(name))
	}
	want := []string{"warm-64-clients-latency.svg", "warm-64-clients-delay-by-load.svg", "create-1-client-latency.svg", "create-1-client-latency-2.svg", "ratios.svg"}
	if !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
	data, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	text, elements := wellFormed(t, data)
	if elements["title"] != 1+elements["circle"] || elements["circle"] == 0 || !strings.Contains(text, "of 5000: median ") || !strings.Contains(text, "bare echo p99: ") {
		t.Errorf("%v, %s", elements, text)
	}
	if err := os.WriteFile(filepath.Join(folder, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.SVG(filepath.Join(folder, "file")); err == nil {
		t.Error("a file was taken for a folder")
	}
}

// ticksOf returns the labels of a chart's axis in their order, and the distances
// between them.
func ticksOf(t *testing.T, r *bench.Report, anchor, axis string) (labels []string, steps []float64) {
	t.Helper()
	names, err := r.SVG(t.TempDir())
	if err != nil || len(names) != 1 {
		t.Fatalf("charts %q, %v", names, err)
	}
	data, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	type text struct {
		Class  string  `xml:"class,attr"`
		Anchor string  `xml:"text-anchor,attr"`
		X      float64 `xml:"x,attr"`
		Y      float64 `xml:"y,attr"`
		DX     string  `xml:"dx,attr"`
		Label  string  `xml:",chardata"`
	}
	var svg struct {
		Texts []text `xml:"text"`
	}
	if err := xml.Unmarshal(data, &svg); err != nil {
		t.Fatal(err)
	}
	var last float64
	for _, x := range svg.Texts {
		if _, err := strconv.ParseFloat(x.Label, 64); err != nil || x.Class != "tick" || x.Anchor != anchor {
			continue // a title, or the name of an axis
		}
		place := x.X
		if axis == "y" {
			place = -x.Y
		}
		if len(labels) > 0 {
			steps = append(steps, place-last)
		}
		labels, last = append(labels, x.Label), place
	}
	return labels, steps
}

func TestReport_AxesFitTheNumbers(t *testing.T) {
	for name, test := range map[string]struct {
		points       [][2]float64
		wantX, wantY []string
	}{
		"decades":         {[][2]float64{{1, 1}, {1000, 3000}, {20000, 2}}, []string{"1", "10", "100", "1000", "10000"}, []string{"1", "10", "100", "1000"}},
		"small ones":      {[][2]float64{{2, 0.02}, {10, 0.07}}, []string{"0", "2", "4", "6", "8", "10"}, []string{"0", "0.02", "0.04", "0.06", "0.08"}},
		"from zero":       {[][2]float64{{0, 0}, {1000, 95}}, []string{"0", "200", "400", "600", "800", "1000"}, []string{"0", "20", "40", "60", "80", "100"}},
		"below zero":      {[][2]float64{{0, -0.1}, {11.9, 11.8}}, []string{"0", "2", "4", "6", "8", "10", "12"}, []string{"-2", "0", "2", "4", "6", "8", "10", "12"}},
		"a single one":    {[][2]float64{{5, 5}}, []string{"0", "1", "2", "3", "4", "5"}, []string{"0", "1", "2", "3", "4", "5"}},
		"nothing but 0":   {[][2]float64{{0, 0}, {0, 0}}, []string{"0", "0.2", "0.4", "0.6", "0.8", "1"}, []string{"0", "0.2", "0.4", "0.6", "0.8", "1"}},
		"not the largest": {[][2]float64{{1, 1}, {2, math.Inf(1)}, {6, 2}}, []string{"0", "1", "2", "3", "4", "5", "6"}, []string{"0", "0.5", "1", "1.5", "2"}},
	} {
		r := of()
		r.Results[0].Series = []bench.Series{{Name: "x", XUnit: "sessions", Unit: "ms", Points: test.points}}
		for axis, want := range map[string][]string{"x": test.wantX, "y": test.wantY} {
			anchor := "middle"
			if axis == "y" {
				anchor = "end"
			}
			labels, steps := ticksOf(t, r, anchor, axis)
			if !slices.Equal(labels, want) {
				t.Errorf("%s, %s: labels %q, want %q", name, axis, labels, want)
			}
			for _, step := range steps { // also of powers of ten
				if math.Abs(step-steps[0]) > 0.2 || step <= 0 {
					t.Errorf("%s, %s: labels %q at distances %v", name, axis, labels, steps)
				}
			}
		}
	}
	r := of()
	r.Results[0].Latency = counted(t, 99, 1)
	if err := r.Results[0].Latency.RecordValue(500_000); err != nil {
		t.Fatal(err)
	}
	if labels, _ := ticksOf(t, r, "end", "y"); !slices.Contains(labels, "100") {
		t.Errorf("the longest of a hundred is not drawn: labels %q", labels)
	}
	r = of()
	r.Results[0].Series = []bench.Series{{Name: "none"}, {Name: "odd", Points: [][2]float64{{math.NaN(), 1}}}}
	if names, err := r.SVG(t.TempDir()); err != nil || len(names) > 0 {
		t.Errorf("charts of nothing: %q, %v", names, err)
	}
}

// A very long series is drawn and told in part, its ends among it.
func TestReport_LongSeriesAreThinned(t *testing.T) {
	r := of()
	s := bench.Series{Name: "memory", XUnit: "s", Unit: "MiB"}
	for i := range 86_401 {
		s.Points = append(s.Points, [2]float64{float64(i), float64(i)})
	}
	r.Results[0].Series = []bench.Series{s}
	page := written(t, r.HTML)
	text, _ := wellFormed(t, page)
	if len(page) > 100_000 || !strings.Contains(text, "200 of 86401 points") || !strings.Contains(string(page), "<td>86400</td>") {
		t.Errorf("a page of %d bytes", len(page))
	}
}
