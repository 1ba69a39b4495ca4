package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// year bounds every time in seconds, so that none overflows.
const year = 365 * 24 * 3600

// A rule turns the text of a setting into its value, or says what is wrong with
// it in the words that users of the original know. An empty text is an unset
// setting, whose value is the zero of its type.
type rule func(v given) (any, error)

// integer is what the original, which was Python, took for one.
var integer = regexp.MustCompile(`^[+-]?[0-9]+(_?[0-9]+)*$`)

// dnsName is what the name of a host can look like.
var dnsName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?$`)

func parseInteger(text string) (n int64, ok bool) {
	text = strings.TrimSpace(text)
	if !integer.MatchString(text) {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 10, 64)
	return n, err == nil
}

// quote shows a value on one line, whatever is in it.
func quote(s string) string {
	const longest = 200
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "") + "…"
	}
	q := strconv.Quote(s)
	return "'" + strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`) + "'"
}

func plain(s string) string {
	q := quote(s)
	return q[1 : len(q)-1]
}

func port(v given) (any, error) {
	what := v.name
	if v.from == fromFlags || v.from == fromFile {
		what = "port"
	}
	n, ok := parseInteger(v.text)
	switch {
	case !ok:
		return 0, fmt.Errorf("Invalid %s: invalid literal for int() with base 10: %s", what, quote(v.text)) //nolint:staticcheck // a text of the original
	case n >= 1 && n <= 65535:
		return int(n), nil
	case v.from == fromEnvironment:
		return 0, fmt.Errorf("Invalid %s: Invalid port number: %d", what, n) //nolint:staticcheck // a text of the original
	}
	return 0, fmt.Errorf("Invalid port: %d", n) //nolint:staticcheck // a text of the original
}

func host(v given) (any, error) {
	name := strings.TrimSpace(v.text)
	if name == "" {
		return "", errors.New("Host cannot be empty") //nolint:staticcheck // a text of the original
	}
	if !isHost(name) {
		return "", fmt.Errorf("%s must be an address or a name, without a port, got %s", v.name, quote(v.text))
	}
	return name, nil
}

// isHost reports whether name is an IP address or can be a host's name.
func isHost(name string) bool {
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return len(name) <= 253 && dnsName.MatchString(name)
}

func flavor(v given) (any, error) {
	name := strings.ToLower(strings.TrimSpace(v.text))
	if !slices.Contains(flavors(), name) {
		return "", fmt.Errorf("Invalid %s %s. Valid options are: %s", v.name, quote(name), strings.Join(flavors(), ", ")) //nolint:staticcheck // a text of the original
	}
	return name, nil
}

// whole is the rule of counts, which begin at 1.
func whole(most int64) rule {
	return func(v given) (any, error) {
		if v.text == "" {
			return int64(0), nil
		}
		n, ok := parseInteger(v.text)
		switch {
		case !ok:
			return int64(0), fmt.Errorf("%s must be a valid integer, got %s", v.name, quote(v.text))
		case n <= 0:
			return int64(0), fmt.Errorf("%s must be a positive integer, got %d", v.name, n)
		case n > most:
			return int64(0), fmt.Errorf("%s must be from 1 to %d, got %d", v.name, most, n)
		}
		return n, nil
	}
}

// seconds is the rule of times: whole seconds from 1 on, or a length like 90s
// or 30m.
func seconds(most int64) rule {
	count := whole(most)
	return func(v given) (any, error) {
		if d, err := time.ParseDuration(strings.TrimSpace(v.text)); err == nil && !integer.MatchString(strings.TrimSpace(v.text)) {
			if d < time.Second || d > time.Duration(most)*time.Second {
				return time.Duration(0), fmt.Errorf("%s must be from 1s to %ds, got %s", v.name, most, d)
			}
			return d, nil
		}
		n, err := count(v)
		number, _ := n.(int64)
		return time.Duration(number) * time.Second, err
	}
}

// bytes is the rule of sizes: a number of bytes, or one with KiB, MiB or GiB.
func bytes(least, most int64) rule {
	return func(v given) (any, error) {
		number, factor := strings.TrimSpace(v.text), int64(1)
		for i, unit := range []string{"KiB", "MiB", "GiB"} {
			if rest, ok := strings.CutSuffix(number, unit); ok {
				number, factor = rest, int64(1)<<(10*(i+1))
			}
		}
		n, ok := parseInteger(number)
		if !ok {
			return int64(0), fmt.Errorf("%s must be a number of bytes, as 65536 or 4MiB, got %s", v.name, quote(v.text))
		}
		if n < 0 || n > most/factor || n*factor < least {
			return int64(0), fmt.Errorf("%s must be from %s to %s, got %s", v.name, size(least), size(most), plain(v.text))
		}
		return n * factor, nil
	}
}

// size writes a number of bytes as the rule reads it.
func size(n int64) string {
	for i, unit := range []string{"GiB", "MiB", "KiB"} {
		if factor := int64(1) << (30 - 10*i); n >= factor && n%factor == 0 {
			return strconv.FormatInt(n/factor, 10) + unit
		}
	}
	return strconv.FormatInt(n, 10)
}

// boolean is the rule of switches. In the environment the switch for CORS knows
// one word only, as in the original: another one warns and changes nothing.
func boolean(v given) (any, error) {
	word := strings.ToLower(strings.TrimSpace(v.text))
	if v.from == fromEnvironment && v.name == "MCP_ENABLE_CORS" {
		return word == "true", nil
	}
	switch word {
	case "true", "1", "yes", "on", "enabled":
		return true, nil
	case "false", "0", "no", "off", "disabled":
		return false, nil
	}
	return false, fmt.Errorf("%s must be a valid boolean value (true/false, 1/0, yes/no, on/off, enabled/disabled), got %s", v.name, quote(v.text))
}

func serverURL(v given) (any, error) {
	if v.text == "" {
		return "", nil
	}
	text := strings.TrimSpace(v.text)
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", fmt.Errorf("Invalid server URL format: %s. Must start with http:// or https://", plain(v.text)) //nolint:staticcheck // a text of the original
	}
	return strings.TrimRight(text, "/"), nil
}

// path makes a path absolute, as the daemon may change its directory.
func path(v given) (any, error) {
	if v.text == "" {
		return "", nil
	}
	if strings.ContainsRune(v.text, 0) {
		return "", fmt.Errorf("%s must be a path, got %s", v.name, quote(v.text))
	}
	name, err := filepath.Abs(v.text)
	if err != nil {
		return "", fmt.Errorf("%s must be an absolute path, got %s: %w", v.name, quote(v.text), err)
	}
	return name, nil
}

// list is the rule of values between commas.
func list(each func(string) error) rule {
	return func(v given) (any, error) {
		all := []string{}
		for item := range strings.SplitSeq(v.text, ",") {
			if item = strings.TrimSpace(item); item == "" {
				continue
			}
			if err := each(item); err != nil {
				return []string{}, fmt.Errorf("%s %w, got %s", v.name, err, quote(item))
			}
			all = append(all, item)
		}
		return all, nil
	}
}

func origin(text string) error {
	u, err := url.Parse(text)
	if text != "*" && (err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "") {
		return errors.New("must list origins, as https://example.org or *")
	}
	return nil
}

func hostName(text string) error {
	if !isHost(text) {
		return errors.New("must list names or addresses without ports, as box.example.org")
	}
	return nil
}

func oneOf(words ...string) rule {
	return func(v given) (any, error) {
		word := strings.ToLower(strings.TrimSpace(v.text))
		if !slices.Contains(words, word) {
			return "", fmt.Errorf("%s must be one of %s, got %s", v.name, strings.Join(words, ", "), quote(v.text))
		}
		return word, nil
	}
}

func level(v given) (any, error) {
	switch strings.ToUpper(strings.TrimSpace(v.text)) {
	case "DEBUG":
		return slog.LevelDebug, nil
	case "INFO":
		return slog.LevelInfo, nil
	case "WARNING", "WARN":
		return slog.LevelWarn, nil
	case "ERROR", "CRITICAL":
		return slog.LevelError, nil
	}
	return slog.LevelInfo, fmt.Errorf("%s must be one of DEBUG, INFO, WARNING, ERROR, got %s", v.name, quote(v.text))
}
