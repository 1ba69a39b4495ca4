package config

import "reflect"

// Changed names the settings in which two configurations differ: those that a
// daemon can take over while it runs, and those that are fixed until it starts
// again.
func Changed(was, is Config) (reloadable, fixed []string) {
	old, now := byKey(was), byKey(is)
	for _, s := range settings(directories{}) {
		switch {
		case reflect.DeepEqual(old[s.key], now[s.key]):
		case s.reload:
			reloadable = append(reloadable, s.key)
		default:
			fixed = append(fixed, s.key)
		}
	}
	return reloadable, fixed
}

// byKey takes a Config apart.
func byKey(c Config) map[string]any {
	all := map[string]any{}
	v := reflect.ValueOf(c)
	for i := range v.NumField() {
		all[v.Type().Field(i).Tag.Get("koanf")] = v.Field(i).Interface()
	}
	return all
}
