package key

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"time"
)

const day = 24 * time.Hour

// How long a key may live.
const (
	shortest = time.Second
	longest  = 100 * 365 * day
)

var lifeForm = regexp.MustCompile(`^([0-9]{1,10})(s|m|h|d|w|mo|y)$`)

// ParseLife reads how long a key is to live, as msb server keygen takes it:
// 30s, 5m, 24h, 7d, 2w, 6mo or 1y, of which a month has 30 days and a year 365.
func ParseLife(text string) (time.Duration, error) {
	parts := lifeForm.FindStringSubmatch(text)
	if parts == nil {
		return 0, invalid(fmt.Sprintf("%.40q is not how long a key can live", text), "write a number and its unit: 1s, 2m, 3h, 4d, 5w, 6mo or 7y")
	}
	unit := unitOf(parts[2])
	n, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil || n < 1 || n > math.MaxInt64/int64(unit) || time.Duration(n)*unit > longest {
		return 0, invalid("a key cannot live for "+text, "name a time from 1s to 100y")
	}
	return time.Duration(n) * unit, nil
}

func unitOf(word string) time.Duration {
	switch word {
	case "s":
		return time.Second
	case "m":
		return time.Minute
	case "h":
		return time.Hour
	case "d":
		return day
	case "w":
		return 7 * day
	case "mo":
		return 30 * day
	}
	return 365 * day
}
