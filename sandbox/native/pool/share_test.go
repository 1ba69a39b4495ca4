package pool

import (
	"math/rand/v2"
	"testing"
)

// Whatever is wanted: the total is kept and used, floors are met where they can
// be, and nobody gets more than it wants.
func TestShare(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		wants := make([]want, random.IntN(8))
		wishes, floors := 0, 0
		for i := range wants {
			wants[i] = want{size: random.IntN(20), floor: random.IntN(6)}
			wishes += wants[i].size
			floors += min(wants[i].size, wants[i].floor)
		}
		before := append([]want(nil), wants...)
		total := random.IntN(60)
		share(wants, total)
		sum := 0
		for i, w := range wants {
			sum += w.size
			if least := min(before[i].size, before[i].floor); w.size > before[i].size || floors <= total && w.size < least {
				t.Fatalf("%v of %d became %v", before, total, wants)
			}
		}
		if sum != min(total, wishes) {
			t.Fatalf("%v of %d became %v, which sum up to %d", before, total, wants, sum)
		}
	}
}
