package bench

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// What a report may hold at most, so that a file cannot take all memory.
const (
	maxReport  = 64 << 20 // bytes
	maxResults = 100
	maxOptions = 1000 // and notes
	maxFigures = 1000 // of one result
	maxSeries  = 100  // of one result
	maxBases   = 10   // of one result
	maxWall    = 1e6  // seconds
)

// ReadReport reads what [Report.JSON] wrote, of up to 64 MiB. It says what is
// wrong with a file that is none, or that a newer release wrote.
func ReadReport(r io.Reader) (*Report, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxReport+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxReport {
		return nil, fmt.Errorf("the report is longer than %d MiB", maxReport>>20)
	}
	// The version first: another one may have members of other types.
	var head struct {
		Schema *int `json:"schema"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("not a report in JSON: %w", err)
	}
	switch {
	case head.Schema == nil:
		return nil, errors.New("not a report: there is no member schema (write one with sandwarden bench --json)")
	case *head.Schema != schema:
		return nil, fmt.Errorf("the report's schema is %d, and this program reads %d: use the release that wrote it", *head.Schema, schema)
	}
	var form wireReport
	if err := json.Unmarshal(data, &form); err != nil {
		return nil, fmt.Errorf("not a report in JSON: %w", err)
	}
	return form.report()
}

func (x *wireReport) report() (*Report, error) {
	r := &Report{Time: x.Time.UTC(), URL: x.URL, Daemon: x.Daemon, Machine: x.Machine, Options: x.Options, Notes: x.Notes}
	m := &x.Machine
	switch year := r.Time.Year(); {
	case year < 1970 || year > 9999:
		return nil, fmt.Errorf("the report is of the year %d", year)
	case m.Cores < 0 || m.Memory < 0 || m.Cgroup < 0 || m.Load < 0:
		return nil, errors.New("the report's machine has less than nothing of something")
	case len(x.Results) > maxResults || len(x.Options) > maxOptions || len(x.Notes) > maxOptions:
		return nil, fmt.Errorf("the report has %d results, %d options and %d notes, more than %d, %d and %d",
			len(x.Results), len(x.Options), len(x.Notes), maxResults, maxOptions, maxOptions)
	}
	for i := range x.Results {
		result, err := x.Results[i].result()
		if err != nil {
			return nil, fmt.Errorf("result %d of the report (%s): %w", i+1, clean(x.Results[i].Workload), err)
		}
		r.Results = append(r.Results, result)
	}
	return r.clean(), nil
}

func (x *wireResult) result() (*Result, error) {
	if err := x.check(); err != nil {
		return nil, err
	}
	r := &Result{
		Workload: x.Workload, Clients: x.Clients, N: x.N, Rate: x.Rate, Arrival: x.Arrival,
		Wall: time.Duration(math.Round(x.Wall * float64(time.Second))), Figures: x.Figures,
	}
	if len(x.Figures) == 0 {
		r.Figures = nil // as one that has just been measured
	}
	var err error
	if r.Latency, err = x.Latency.histogram(); err != nil {
		return nil, fmt.Errorf("latency: %w", err)
	}
	for i, base := range x.Bases {
		h, err := base.Latency.histogram()
		switch {
		case err != nil:
			return nil, fmt.Errorf("latency of baseline %d: %w", i+1, err)
		case h == nil:
			return nil, fmt.Errorf("baseline %d has no latency", i+1)
		}
		r.Bases = append(r.Bases, Baseline{base.Name, h})
	}
	for i := range x.Series {
		s, err := x.Series[i].series()
		if err != nil {
			return nil, fmt.Errorf("series %d: %w", i+1, err)
		}
		r.Series = append(r.Series, s)
	}
	return r, nil
}

// check looks at the numbers and sizes.
func (x *wireResult) check() error {
	switch {
	case x.Workload == "":
		return errors.New("it does not name its workload")
	case x.Clients < 0 || x.N < 0 || x.Rate < 0:
		return errors.New("a number of clients, calls or arrivals is negative")
	case x.Wall < 0 || x.Wall > maxWall:
		return fmt.Errorf("wall_s is %g: 0 to %g can be", x.Wall, float64(maxWall))
	case len(x.Figures) > maxFigures || len(x.Series) > maxSeries || len(x.Bases) > maxBases:
		return fmt.Errorf("%d figures, %d series and %d baselines are more than %d, %d and %d",
			len(x.Figures), len(x.Series), len(x.Bases), maxFigures, maxSeries, maxBases)
	}
	for i := range x.Figures {
		if b := x.Figures[i].Better; b != "" && b != Lower && b != Higher {
			return fmt.Errorf("figure %d: better is %q, and can be %s or %s", i+1, clean(b), Lower, Higher)
		}
	}
	return nil
}

func (x *wireSeries) series() (Series, error) {
	s := Series{Name: x.Name, XUnit: x.XUnit, Unit: x.Unit}
	for i, p := range x.Points {
		if len(p) != 2 {
			return s, fmt.Errorf("point %d has %d numbers, not 2", i+1, len(p))
		}
		s.Points = append(s.Points, [2]float64{p[0], p[1]})
	}
	return s, nil
}

// histogram returns what was counted, or nil where nothing was.
func (x *wireLatency) histogram() (*hdrhistogram.Histogram, error) {
	if x == nil {
		return nil, nil //nolint:nilnil // there is none, and nothing wrong with that
	}
	if err := checkGeometry(x.Histogram); err != nil {
		return nil, err
	}
	h, err := hdrhistogram.Decode([]byte(x.Histogram))
	if err != nil {
		return nil, fmt.Errorf("histogram_us: %w", err)
	}
	if h.TotalCount() != x.Count {
		return nil, fmt.Errorf("count is %d, but the histogram has %d", x.Count, h.TotalCount())
	}
	return h, nil
}

// checkGeometry looks at what an encoded histogram says of itself, before
// memory is taken for it: 3 digits up to a day are 240 KB, while the form could
// ask for 50 MB.
func checkGeometry(encoded string) error {
	// The cookie and the length of what is compressed stand before it.
	compressed := base64.NewDecoder(base64.StdEncoding, bytes.NewReader([]byte(encoded)))
	if _, err := io.CopyN(io.Discard, compressed, 8); err != nil {
		return fmt.Errorf("histogram_us is not one: %w", err)
	}
	z, err := zlib.NewReader(compressed)
	if err != nil {
		return fmt.Errorf("histogram_us is not one: %w", err)
	}
	defer func() { _ = z.Close() }()
	var header struct {
		Cookie, Length, Offset, Digits int32
		Lowest, Highest                int64
		Conversion                     float64
	}
	if err := binary.Read(z, binary.BigEndian, &header); err != nil {
		return fmt.Errorf("histogram_us is not one: %w", err)
	}
	day := (24 * time.Hour).Microseconds()
	if header.Digits < 1 || header.Digits > 3 || header.Lowest != 1 || header.Highest < 2 || header.Highest > day {
		return fmt.Errorf("histogram_us has %d digits from %d to %d: up to 3 from 1 to %d are read", header.Digits, header.Lowest, header.Highest, day)
	}
	return nil
}
