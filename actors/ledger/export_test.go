package ledger

// Forget lets the next question for room ask the disk.
func (s *Store) Forget() { s.suspect() }
