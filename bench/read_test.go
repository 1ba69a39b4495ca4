package bench_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/sandwarden/sandwarden/bench"
)

func TestReadReport_SaysWhatIsWrong(t *testing.T) {
	good := string(written(t, sample(t).JSON))
	encoded := func(h *hdrhistogram.Histogram) string {
		data, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	one := func(latency string) string {
		return `{"schema":1,"time":"2026-11-26T16:00:00Z","results":[{"workload":"warm","latency":` + latency + `}]}`
	}
	for name, test := range map[string]struct{ data, want string }{
		"nothing":            {"", "not a report in JSON"},
		"text":               {"| workload |", "not a report in JSON"},
		"two":                {good + good, "not a report in JSON"},
		"cut":                {good[:len(good)/2], "not a report in JSON"},
		"something else":     {`{"version":"1.1","results":[]}`, "no member schema"},
		"a newer one":        {`{"schema":2,"results":"other"}`, "schema is 2, and this program reads 1"},
		"another type":       {`{"schema":1,"results":"other"}`, "not a report in JSON"},
		"no time":            {`{"schema":1}`, "the year 1"},
		"too long":           {strings.Repeat(" ", 64<<20) + good, "longer than 64 MiB"},
		"too many":           {`{"schema":1,"time":"2026-11-26T16:00:00Z","results":[` + strings.Repeat(`{"workload":"x"},`, 100) + `{"workload":"x"}]}`, "101 results"},
		"no workload":        {`{"schema":1,"time":"2026-11-26T16:00:00Z","results":[{}]}`, "result 1 of the report (): it does not name"},
		"negative":           {strings.Replace(good, `"clients": 64`, `"clients": -64`, 1), "negative"},
		"an age":             {strings.Replace(good, `"wall_s": 5,`, `"wall_s": 5e9,`, 1), "result 2 of the report (create): wall_s is 5e+09"},
		"no direction":       {strings.Replace(good, `"lower"`, `"sideways"`, 1), `better is "sideways"`},
		"a lone number":      {strings.Replace(good, "1000,\n              40", "1000", 1), "point 4 has 1 numbers"},
		"another count":      {strings.Replace(good, `"count": 5000`, `"count": 5001`, 1), "count is 5001, but the histogram has 5000"},
		"no histogram":       {one(`{"count":0}`), "histogram_us is not one"},
		"not a histogram":    {one(`{"count":0,"histogram_us":"AAAAAAAAAAAAAAAA"}`), "histogram_us is not one"},
		"a large histogram":  {one(`{"count":0,"histogram_us":"` + encoded(hdrhistogram.New(1, 1e9, 5)) + `"}`), "5 digits"},
		"of a long time":     {one(`{"count":0,"histogram_us":"` + encoded(hdrhistogram.New(1, 1e12, 3)) + `"}`), "to 1000000000000: up to 3 from 1 to 86400000000"},
		"of another unit":    {one(`{"count":0,"histogram_us":"` + encoded(hdrhistogram.New(1000, 1e9, 3)) + `"}`), "from 1000"},
		"baseline of naught": {`{"schema":1,"time":"2026-11-26T16:00:00Z","results":[{"workload":"x","baselines":[{"name":"y"}]}]}`, "has no latency"},
	} {
		r, err := bench.ReadReport(strings.NewReader(test.data))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %+v, error %v, want %q", name, r, err, test.want)
		}
	}
}

func FuzzReadReport(f *testing.F) {
	f.Add(written(f, sample(f).JSON))
	f.Add([]byte(`{"schema":1,"time":"2026-11-26T16:00:00Z","results":[{"workload":"burst","n":3,"figures":[{"name":"a\u0000|b","value":1e308,"ratio":1e-308,"unit":"ms"}],
		"series":[{"name":"</svg>","points":[[0,-1e308],[1e308,5e-324]]},{"points":[[1e-300,1],[1e300,2]]}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := bench.ReadReport(bytes.NewReader(data))
		if err != nil {
			return
		}
		again, err := bench.ReadReport(bytes.NewReader(written(t, r.JSON)))
		if err != nil {
			t.Fatalf("what was read is written so that it cannot be read: %v", err)
		}
		equal(t, again, r)
		wellFormed(t, written(t, r.HTML))
		if table := written(t, r.Markdown); bytes.ContainsAny(table, "\x00\x1b\r") {
			t.Errorf("the table has control characters: %q", table)
		}
		if worse := bench.Compare(r, again, 0).Worse(); len(worse) > 0 {
			t.Errorf("worse than itself: %q", worse)
		}
		if err := r.ComputeSDK(io.Discard); err != nil && !strings.Contains(err.Error(), "none of the scenarios") {
			t.Error(err)
		}
	})
}
