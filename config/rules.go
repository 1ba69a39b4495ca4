package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// year bounds every time in seconds, so that none overflows.
const year = 365 * 24 * 3600

// A rule says which values a setting takes.
type rule struct {
	says string // for people
	// parse turns the text of a setting into its value, or says what is wrong
	// with it in the words that users of the original know. An empty text is an
	// unset setting, whose value is the zero of its type.
	parse func(v given) (any, error)
	items bool     // it looks at each item of a list in the file
	words []string // in the environment only these turn a switch on; nil is no such rule
}

// integer and decimal are what the original, which was Python, took for numbers.
var (
	integer = regexp.MustCompile(`^[+-]?[0-9]+(_?[0-9]+)*$`)
	decimal = regexp.MustCompile(`^[+-]?([0-9]+(_[0-9]+)*\.?([0-9]+(_[0-9]+)*)?|\.[0-9]+(_[0-9]+)*)([eE][+-]?[0-9]+(_[0-9]+)*)?$`)
)

// dnsName is what the name of a host can look like.
var dnsName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?$`)

// serviceLink is what Kubernetes writes into the variable NAME_PORT of every
// container, for each Service called name.
var serviceLink = regexp.MustCompile(`^(tcp|udp|sctp)://`)

// parseInteger reads a number as Python does. One that is too large for n is at
// the end of its range there, and whole in digits.
func parseInteger(text string) (n int64, digits string, ok bool) {
	const longest = 4300 // of Python too
	text = strings.TrimSpace(text)
	if len(text) > longest || !integer.MatchString(text) {
		return 0, "", false
	}
	whole, ok := new(big.Int).SetString(strings.ReplaceAll(text, "_", ""), 10)
	switch {
	case !ok:
		return 0, "", false
	case whole.IsInt64():
		n = whole.Int64()
	case whole.Sign() < 0:
		n = math.MinInt64
	default:
		n = math.MaxInt64
	}
	return n, plain(whole.String()), true
}

func port() rule { return rule{says: "1 to 65535", parse: parsePort} }

func parsePort(v given) (any, error) {
	what := v.name
	if !v.asVariable() {
		what = "port"
	}
	n, digits, ok := parseInteger(v.text)
	switch {
	case !ok && v.asVariable() && serviceLink.MatchString(v.text):
		return 0, fmt.Errorf("Invalid %s: invalid literal for int() with base 10: %s (Kubernetes sets this variable in every pod beside a Service named mcp-server: "+ //nolint:staticcheck // a text of the original
			"set enableServiceLinks: false in the pod, or %s in the env of the container)", what, repr(v.text), what)
	case !ok:
		return 0, fmt.Errorf("Invalid %s: invalid literal for int() with base 10: %s", what, repr(v.text)) //nolint:staticcheck // a text of the original
	case n >= 1 && n <= 65535:
		return int(n), nil
	case v.asVariable():
		return 0, fmt.Errorf("Invalid %s: Invalid port number: %s", what, digits) //nolint:staticcheck // a text of the original
	}
	return 0, fmt.Errorf("Invalid port: %s", digits) //nolint:staticcheck // a text of the original
}

func host() rule { return rule{says: "an address or a name, without a port", parse: parseHost} }

func parseHost(v given) (any, error) {
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

func flavor() rule {
	return rule{says: "one of " + strings.Join(flavors(), ", "), parse: func(v given) (any, error) {
		name := strings.ToLower(strings.TrimSpace(v.text))
		if !slices.Contains(flavors(), name) {
			return "", fmt.Errorf("Invalid %s %s. Valid options are: %s", v.name, quote(name), strings.Join(flavors(), ", ")) //nolint:staticcheck // a text of the original
		}
		return name, nil
	}}
}

// whole is the rule of counts.
func whole(least, most int64) rule {
	return rule{says: fmt.Sprintf("%d to %d", least, most), parse: func(v given) (any, error) {
		if v.text == "" {
			return int64(0), nil
		}
		n, digits, ok := parseInteger(v.text)
		switch {
		case !ok:
			return int64(0), fmt.Errorf("%s must be a valid integer, got %s", v.name, quote(v.text))
		case n <= 0 && least > 0:
			return int64(0), fmt.Errorf("%s must be a positive integer, got %s", v.name, digits)
		case n < least || n > most:
			return int64(0), fmt.Errorf("%s must be from %d to %d, got %s", v.name, least, most, digits)
		}
		return n, nil
	}}
}

// seconds is the rule of times: whole seconds, or a length like 90s or 30m.
func seconds(least, most int64) rule {
	count := whole(least, most)
	says := fmt.Sprintf("%ds to %ds", least, most)
	return rule{says: says, parse: func(v given) (any, error) {
		d, isLength, err := length(v, time.Duration(least)*time.Second, most)
		if isLength {
			return d, err
		}
		n, err := count.parse(v)
		number, _ := n.(int64)
		return time.Duration(number) * time.Second, err
	}}
}

// length reads a time with a unit. It reports whether the text is one at all.
func length(v given, least time.Duration, most int64) (d time.Duration, isLength bool, err error) {
	text := strings.TrimSpace(v.text)
	d, isLength = duration(text)
	switch {
	case !isLength || integer.MatchString(text):
		return 0, false, nil
	case d < least || d > time.Duration(most)*time.Second:
		return 0, true, fmt.Errorf("%s must be from %s to %ds, got %s", v.name, inSeconds(least), most, d)
	}
	return d, true, nil
}

func duration(text string) (d time.Duration, ok bool) {
	d, err := time.ParseDuration(text)
	return d, err == nil
}

// fraction is the rule of times that may be parts of a second.
func fraction(most int64) rule {
	says := fmt.Sprintf("above 0 to %ds, also parts of a second", most)
	return rule{says: says, parse: func(v given) (any, error) {
		const least = time.Millisecond // no shorter one can be meant
		if d, isLength, err := length(v, least, most); isLength {
			return d, err
		}
		text := strings.TrimSpace(v.text)
		if !decimal.MatchString(text) {
			return time.Duration(0), fmt.Errorf("%s must be a valid number, got %s", v.name, quote(v.text))
		}
		n, err := strconv.ParseFloat(strings.ReplaceAll(text, "_", ""), 64)
		switch {
		case n <= 0:
			return time.Duration(0), fmt.Errorf("%s must be a positive number, got %s", v.name, float(n))
		case err != nil || n > float64(most):
			return time.Duration(0), fmt.Errorf("%s must be above 0 and at most %d, got %s", v.name, most, plain(v.text))
		}
		return max(least, time.Duration(n*float64(time.Second))), nil
	}}
}

// bytes is the rule of sizes: a number of bytes, or one with KiB, MiB or GiB.
func bytes(least, most int64) rule {
	return rule{says: size(least) + " to " + size(most), parse: func(v given) (any, error) {
		number, factor := strings.TrimSpace(v.text), int64(1)
		for i, unit := range []string{"KiB", "MiB", "GiB"} {
			if rest, ok := strings.CutSuffix(number, unit); ok {
				number, factor = rest, int64(1)<<(10*(i+1))
			}
		}
		n, _, ok := parseInteger(number)
		if !ok {
			return int64(0), fmt.Errorf("%s must be a number of bytes, as 65536 or 4MiB, got %s", v.name, quote(v.text))
		}
		if n < 0 || n > most/factor || n*factor < least {
			return int64(0), fmt.Errorf("%s must be from %s to %s, got %s", v.name, size(least), size(most), plain(v.text))
		}
		return n * factor, nil
	}}
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

// boolean is the rule of switches.
func boolean() rule {
	return rule{says: "a switch", parse: func(v given) (any, error) {
		word := strings.ToLower(strings.TrimSpace(v.text))
		on, ok := switched(word)
		if !ok {
			return false, fmt.Errorf("%s must be a valid boolean value (true/false, 1/0, yes/no, on/off, enabled/disabled), got %s", v.name, quote(word))
		}
		return on, nil
	}}
}

func switched(word string) (on, ok bool) {
	switch word {
	case "true", "1", "yes", "on", "enabled":
		return true, true
	case "false", "0", "no", "off", "disabled":
		return false, true
	}
	return false, false
}

// only is the rule of switches that certain words turn on in the environment,
// and all others off, as in the original. Another one warns, too.
func only(words ...string) rule {
	r := boolean()
	parse := r.parse
	r.words = words
	r.says += "; of a variable only " + strings.Join(words, ", ") + " turns it on"
	r.parse = func(v given) (any, error) {
		if !v.asVariable() {
			return parse(v)
		}
		return slices.Contains(words, strings.ToLower(strings.TrimSpace(v.text))), nil
	}
	return r
}

func serverURL() rule {
	return rule{says: "begins with http:// or https://", parse: func(v given) (any, error) {
		if v.text == "" {
			return "", nil
		}
		text := strings.TrimSpace(v.text)
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return "", fmt.Errorf("Invalid server URL format: %s. Must start with http:// or https://", plain(v.text)) //nolint:staticcheck // a text of the original
		}
		return strings.TrimRight(text, "/"), nil
	}}
}

// listenAddress is the rule of an address that may be left to us, or be none.
func listenAddress() rule {
	return rule{says: "off, auto or HOST:PORT", parse: func(v given) (any, error) {
		text := strings.TrimSpace(v.text)
		switch strings.ToLower(text) {
		case "", "off":
			return "", nil
		case "auto":
			return "auto", nil
		}
		if host, ok := hostOf(text); !ok || !isHost(host) {
			return "", fmt.Errorf("%s must be off, auto or HOST:PORT, as %s, got %s", v.name, UsualAPI, quote(v.text))
		}
		return text, nil
	}}
}

// hereAlone is the rule of an address that other machines cannot reach, or of
// none.
func hereAlone() rule {
	return rule{says: "off, or HOST:PORT of this machine", parse: func(v given) (any, error) {
		text := strings.TrimSpace(v.text)
		if text == "" || strings.EqualFold(text, "off") {
			return "", nil
		}
		if host, ok := hostOf(text); !ok || !IsLoopback(host) {
			return "", fmt.Errorf("%s must be off or HOST:PORT of this machine, as 127.0.0.1:6060, got %s", v.name, quote(v.text))
		}
		return text, nil
	}}
}

// hostOf is the host of HOST:PORT; false when it is no such text.
func hostOf(text string) (string, bool) {
	host, number, err := net.SplitHostPort(text)
	n, _, ok := parseInteger(number)
	return host, err == nil && ok && n >= 1 && n <= 65535
}

// ifWanted is a switch that is also left to us.
func ifWanted() rule {
	r := boolean()
	parse := r.parse
	r.says = "auto, or a switch"
	r.parse = func(v given) (any, error) {
		if isAuto(v.text) {
			return false, nil
		}
		return parse(v)
	}
	return r
}

func isAuto(text string) bool { return strings.EqualFold(strings.TrimSpace(text), "auto") }

// image names an image of a registry.
func image() rule {
	return rule{says: "the name of an image", parse: func(v given) (any, error) {
		name := strings.TrimSpace(v.text)
		if strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c > '~' }) || len(name) > 255 {
			return "", fmt.Errorf("%s must be the name of an image, as microsandbox/python, got %s", v.name, quote(v.text))
		}
		return name, nil
	}}
}

// word takes any text.
func word() rule {
	return rule{says: "any text", parse: func(v given) (any, error) { return strings.TrimSpace(v.text), nil }}
}

// pathname makes a path absolute, as the daemon may change its directory.
func pathname() rule {
	return rule{says: "a path", parse: func(v given) (any, error) {
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
	}}
}

// controlGroup names a group below the root of the hierarchies.
func controlGroup() rule {
	return rule{says: "a path, such as /sandwarden.slice", parse: func(v given) (any, error) {
		name := strings.TrimSpace(v.text)
		if name != "" && (path.Clean("/"+name) != "/"+strings.TrimPrefix(name, "/") || path.Clean(name) == "/") {
			return "", fmt.Errorf("%s must be the path of a control group, such as /sandwarden.slice, got %s", v.name, quote(v.text))
		}
		return name, nil
	}}
}

// list is the rule of values between commas.
func list(of string, isOne func(string) bool) rule {
	return rule{says: of + ", with commas, or a list in the file", parse: func(v given) (any, error) {
		all := []string{}
		for item := range strings.SplitSeq(v.text, ",") {
			if item = strings.TrimSpace(item); item == "" {
				continue
			}
			if !isOne(item) {
				return []string{}, fmt.Errorf("%s must list %s, got %s", v.name, of, quote(item))
			}
			all = append(all, item)
		}
		return all, nil
	}}
}

func origin(text string) bool {
	u, err := url.Parse(text)
	return text == "*" || err == nil && u.Scheme != "" && u.Host != "" && u.Path == "" && u.RawQuery == "" && u.Fragment == ""
}

func hostName(text string) bool { return isHost(text) }

// dottedName is how Python names a module.
var dottedName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$`)

func moduleName(text string) bool { return len(text) <= 200 && dottedName.MatchString(text) }

func oneOf(words ...string) rule {
	return rule{says: "one of " + strings.Join(words, ", "), parse: func(v given) (any, error) {
		word := strings.ToLower(strings.TrimSpace(v.text))
		if !slices.Contains(words, word) {
			return "", fmt.Errorf("%s must be one of %s, got %s", v.name, strings.Join(words, ", "), quote(v.text))
		}
		return word, nil
	}}
}

// transport is one of the two that there are. The third, which the original
// had, says what to use.
func transport() rule {
	r := oneOf("streamable-http", "stdio")
	parse := r.parse
	r.parse = func(v given) (any, error) {
		if strings.EqualFold(strings.TrimSpace(v.text), "sse") {
			return "", fmt.Errorf("%s is sse, a transport that MCP has given up: use streamable-http", v.name)
		}
		return parse(v)
	}
	return r
}

func level() rule {
	return rule{says: "DEBUG, INFO, WARNING, ERROR, in any case", parse: func(v given) (any, error) {
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
	}}
}
