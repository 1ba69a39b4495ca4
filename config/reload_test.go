package config_test

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sandwarden/sandwarden/config"
)

func TestChanged(t *testing.T) {
	for name, test := range map[string]struct {
		was, is           string
		reloadable, fixed []string
	}{
		"nothing":          {was: "port: 1", is: "port: 1"},
		"the same, spelt":  {was: "session_timeout: 90", is: "session_timeout: 1m30s"},
		"limits":           {is: "limits: {queue: 3, admission_wait: 0}\nmax_sessions: 3", reloadable: []string{"max_sessions", "limits.admission_wait"}, fixed: []string{"limits.queue"}},
		"where it listens": {is: "port: 1\nhost: 127.0.0.1", fixed: []string{"port", "host"}},
		"the door":         {is: "tokens_file: /t\ntls: {cert_file: /c, key_file: /k}\ncors: {enabled: true}\nallowed_hosts: [a]", reloadable: []string{"cors.enabled", "tokens_file", "tls.cert_file", "tls.key_file", "allowed_hosts", "msb.dev"}},
		"lists":            {was: "volumes: [a:/b]\nallowed_hosts: [a]", is: "volumes: [a:/b:ro]\nallowed_hosts: [a, b]", reloadable: []string{"allowed_hosts"}, fixed: []string{"volumes"}},
		"logs":             {is: "log: {level: debug, file: /f}", reloadable: []string{"log.level"}, fixed: []string{"log.file"}},
	} {
		t.Run(name, func(t *testing.T) {
			reloadable, fixed := config.Changed(loaded(t, test.was), loaded(t, test.is))
			if diff := cmp.Diff([][]string{test.reloadable, test.fixed}, [][]string{reloadable, fixed}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func loaded(t *testing.T, file string) config.Config {
	t.Helper()
	c, _, err := load(t, file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A field that Changed passes over could never be reloaded, and nobody would
// hear of it.
func TestChanged_KnowsEveryField(t *testing.T) {
	for i := range reflect.TypeFor[config.Config]().NumField() {
		was, is := loaded(t, ""), loaded(t, "")
		field := reflect.ValueOf(&is).Elem().Field(i)
		switch field.Kind() { //nolint:exhaustive // those that there are
		case reflect.Bool:
			field.SetBool(!field.Bool())
		case reflect.String:
			field.SetString(field.String() + "x")
		case reflect.Slice:
			field.Set(reflect.MakeSlice(field.Type(), 3, 3))
		default:
			field.SetInt(field.Int() + 1)
		}
		reloadable, fixed := config.Changed(was, is)
		key := reflect.TypeFor[config.Config]().Field(i).Tag.Get("koanf")
		if got := append(reloadable, fixed...); key != "files" && (len(got) != 1 || got[0] != key) {
			t.Errorf("%s changed, and Changed says %q", key, got)
		}
	}
}
