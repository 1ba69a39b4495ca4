package pool

// A want is how many things of one key are to be ready.
type want struct {
	size  int
	floor int // that others may not have; not more than size counts
}

// share cuts wants to what there may be of all together: each gets its floor
// first, as far as there is enough, and of the rest as much as it wants more in
// relation to the others.
func share(wants []want, total int) {
	all, more := 0, 0
	for i := range wants {
		w := &wants[i]
		w.floor = min(w.floor, w.size)
		all += w.size
	}
	if all <= total {
		return
	}
	left := total
	for i := range wants {
		w := &wants[i]
		w.floor = min(w.floor, left)
		left -= w.floor
		more += w.size - w.floor
	}
	rest := left
	for i := range wants {
		w := &wants[i]
		part := (w.size - w.floor) * rest / more // more is not 0, as all is over total
		left -= part
		w.size, w.floor = w.floor+part, w.size // the floor is now the wish
	}
	for i := range wants { // what was lost by rounding
		if w := &wants[i]; left > 0 && w.size < w.floor {
			w.size++
			left--
		}
	}
}
