//go:build linux

package guest

import "strings"

// environment joins lists of variables, "K=V". Of one name the last counts, which
// not every program would see of two.
func environment(lists ...[]string) []string {
	at := map[string]int{}
	var all []string
	for _, list := range lists {
		for _, pair := range list {
			name, _, _ := strings.Cut(pair, "=")
			if i, ok := at[name]; ok {
				all[i] = pair
				continue
			}
			at[name] = len(all)
			all = append(all, pair)
		}
	}
	return all
}
