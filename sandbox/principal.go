package sandbox

// A Principal is who asks, as the daemon's door knows them. A session belongs
// to the one that made it, and to everybody else it is not there. The empty one
// is whoever may come in without a token.
type Principal string

// A Ref names a session. The names of two owners never meet.
type Ref struct {
	Owner Principal
	Name  string
}

// A SessionQuery asks for the sessions of one owner.
type SessionQuery struct {
	Owner Principal
	Usage bool // with what each uses now, which costs a look at its sandbox

	// Of those that have all of these alone; what is empty says nothing.
	Labels   map[string]string
	Template string
	Status   Status
}
