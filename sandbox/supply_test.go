package sandbox_test

import (
	"testing"

	"github.com/sandwarden/sandwarden/sandbox"
)

func TestSupply_Arithmetic(t *testing.T) {
	for name, tc := range map[string]struct {
		supply      sandbox.Supply
		holds, room int
		forTen      int64
	}{
		"plenty":            {sandbox.Supply{Used: 100, Max: 10_000, Reserve: 1000, Each: 10}, 900, 890, 1100},
		"little is shared":  {sandbox.Supply{Used: 0, Max: 100, Reserve: 1000, Each: 10}, 5, 5, 1100},
		"all used":          {sandbox.Supply{Used: 9500, Max: 10_000, Reserve: 1000, Each: 10}, 900, -50, 1100},
		"nobody counts":     {sandbox.Supply{Used: -1, Max: 100, Each: 10}, 10, 1<<31 - 1, 100},
		"more than an int":  {sandbox.Supply{Used: 0, Max: 1 << 62, Each: 1}, 1<<31 - 1, 1<<31 - 1, 10},
		"nothing to be had": {sandbox.Supply{Used: 0, Max: 0, Reserve: 10, Each: 1}, 0, 0, 20},
	} {
		s := tc.supply
		if s.Holds() != tc.holds || s.Room() != tc.room || s.For(10) != tc.forTen {
			t.Errorf("%s: holds %d, room %d, for ten %d; want %d, %d, %d", name, s.Holds(), s.Room(), s.For(10), tc.holds, tc.room, tc.forTen)
		}
	}
}
