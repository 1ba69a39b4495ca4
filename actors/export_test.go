package actors

// Join passes chunks of one stream through a joiner, and flushes it.
func Join(chunks ...[]byte) [][]byte {
	var j joiner
	var got [][]byte
	for _, chunk := range chunks {
		got = append(got, j.next(chunk))
	}
	return append(got, j.flush())
}
