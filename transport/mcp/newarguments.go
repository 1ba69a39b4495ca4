package mcp

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/tail"
)

// The bounds of arguments that the contract does not know.
const (
	maxKey     = 200     // bytes of an idempotency key
	maxPath    = 4096    // bytes, as the kernel has it
	maxVars    = 256     // variables of a command
	maxView    = 1 << 20 // bytes of output in one answer
	maxRead    = 1 << 20 // bytes of a file in one answer
	maxListing = 1000    // files in one answer
	maxOffset  = 1 << 60 // bytes
	maxLine    = 1 << 31 // lines
)

// The budgets of answers where a call names none.
const (
	viewBudget = 16 << 10  // bytes of output
	fileBudget = 256 << 10 // bytes of a file
	listBudget = 200       // files
)

// A look says what get_execution is to tell of the output.
type look struct {
	wait      int64 // seconds
	output    bool  // wait for output too, not for the end alone
	cursor    int64 // offset where it begins; below 0 counts from the end
	hasCursor bool
	lines     int64 // the last lines alone; 0 is all
	grep      string
	budget    int64 // bytes; 0 is viewBudget
}

// An input is what send_input sends.
type input struct {
	data   []byte
	given  bool
	closes bool
}

// A file is what is asked of the files of a session.
type file struct {
	path      string
	from      int64 // offset; below 0 counts from the end
	size      int64 // bytes at most; 0 is fileBudget
	encoding  string
	firstLine int64 // from 1; 0 is none
	lastLine  int64
	content   string // as it came
	data      []byte // what content means
	appends   bool
	mode      uint32
	recursive bool
	limit     int64 // files at most; 0 is listBudget
}

// isNew reports whether an argument is beyond the contract. Null is as good as
// none there, in every dialect.
func isNew(tool, name string) bool {
	switch tool {
	case executeCode:
		return name == "idempotency_key" || name == "working_directory" || name == "background"
	case executeCommand:
		return name == "idempotency_key" || name == "working_directory" || name == "background" || name == "stdin" || name == "env"
	case getSessions, stopSession, getVolumePath:
		return false
	}
	return true
}

// setNew checks one argument beyond the contract and keeps it.
func (r *rules) setNew(op *operation, name string, value []byte) (problem string) {
	switch op.tool {
	case executeCode, executeCommand:
		return r.setRun(op, name, value)
	case readFile, writeFile, listFiles:
		return r.setFile(op, name, value)
	}
	switch name {
	case "execution_id":
		var id string
		problem = setShort(&id, name, value, maxKey)
		op.execution = sandbox.ExecID(id)
		return problem
	case "session_id":
		return setText(&op.session, name, value)
	}
	switch op.tool {
	case getExecution:
		return r.setLook(&op.look, name, value)
	case sendInput:
		return r.setInput(&op.input, name, value)
	}
	return setSignal(op, name, value)
}

func (r *rules) setRun(op *operation, name string, value []byte) (problem string) {
	switch name {
	case "idempotency_key":
		return setShort(&op.key, name, value, maxKey)
	case "working_directory":
		return setPath(&op.dir, name, value)
	case "background":
		return setBool(&op.background, name, value)
	case "stdin":
		return setBool(&op.stdin, name, value)
	}
	return r.setEnv(op, value)
}

// setEnv keeps variables in the order of their names, so that a request which
// is sent again is the same one.
func (r *rules) setEnv(op *operation, value []byte) (problem string) {
	if !isObject(value) {
		return "Parameter 'env' must be an object"
	}
	if len(value) > r.maxCode {
		return "Parameter 'env' must be at most " + strconv.Itoa(r.maxCode) + " bytes"
	}
	op.vars = nil
	for key, value := range members(value) {
		name, _ := text(key)
		content, ok := text(value)
		switch {
		case !ok:
			return "Parameter 'env' must be an object of strings"
		case name == "", strings.ContainsAny(name, "=\x00"), strings.Contains(content, "\x00"):
			return "Parameter 'env' must have names without '=', and no NUL anywhere"
		case len(op.vars) == maxVars:
			return "Parameter 'env' must have at most " + strconv.Itoa(maxVars) + " members"
		}
		op.vars = append(op.vars, name+"="+content)
	}
	slices.Sort(op.vars)
	return ""
}

func (r *rules) setLook(l *look, name string, value []byte) (problem string) {
	switch name {
	case "wait":
		return setNumber(&l.wait, name, value, 0, r.maxWait)
	case "until":
		var until string
		problem = setChoice(&until, name, value, []string{"end", "output"}, listed([]string{"end", "output"}))
		l.output = until == "output"
		return problem
	case "cursor":
		l.hasCursor = true
		return setNumber(&l.cursor, name, value, -maxOffset, maxOffset)
	case "tail":
		return setNumber(&l.lines, name, value, 1, maxLine)
	case "grep":
		if problem := setText(&l.grep, name, value); problem != "" {
			return problem
		}
		if _, err := tail.Pattern(l.grep); err != nil {
			return "Parameter 'grep' must be a regular expression as of RE2: " + err.Error()
		}
	case "max_bytes":
		return setNumber(&l.budget, name, value, 256, maxView)
	}
	return ""
}

func (r *rules) setInput(in *input, name string, value []byte) (problem string) {
	switch name {
	case "close":
		return setBool(&in.closes, name, value)
	case "text", "base64":
	default:
		return ""
	}
	var content string
	if problem := r.setLong(&content, name, value); problem != "" {
		return problem
	}
	if in.given {
		return "Parameters 'text' and 'base64' must not both be given"
	}
	in.given = true
	in.data, problem = decoded(content, name, name == "base64")
	return problem
}

func setSignal(op *operation, name string, value []byte) (problem string) {
	if name != "mode" {
		return ""
	}
	modes := []string{string(sandbox.Interrupt), string(sandbox.Terminate), string(sandbox.Kill)}
	var mode string
	problem = setChoice(&mode, name, value, modes, listed(modes))
	op.signal = sandbox.Signal(mode)
	return problem
}

func (r *rules) setFile(op *operation, name string, value []byte) (problem string) {
	f := &op.file
	switch name {
	case "session_id":
		return setText(&op.session, name, value)
	case "path":
		return setPath(&f.path, name, value)
	case "encoding":
		choices := []string{"auto", "text", "base64"}
		if op.tool == writeFile {
			choices = choices[1:]
		}
		return setChoice(&f.encoding, name, value, choices, listed(choices))
	}
	switch op.tool {
	case readFile:
		return setReading(f, name, value)
	case writeFile:
		return r.setWriting(f, name, value)
	}
	switch name {
	case "recursive":
		return setBool(&f.recursive, name, value)
	case "limit":
		return setNumber(&f.limit, name, value, 1, maxListing)
	}
	return ""
}

func setReading(f *file, name string, value []byte) (problem string) {
	switch name {
	case "from":
		return setNumber(&f.from, name, value, -maxOffset, maxOffset)
	case "size":
		return setNumber(&f.size, name, value, 1, maxRead)
	case "first_line":
		return setNumber(&f.firstLine, name, value, 1, maxLine)
	case "last_line":
		return setNumber(&f.lastLine, name, value, 1, maxLine)
	}
	return ""
}

func (r *rules) setWriting(f *file, name string, value []byte) (problem string) {
	switch name {
	case "content":
		return setText(&f.content, name, value)
	case "append":
		return setBool(&f.appends, name, value)
	case "mode":
		return setMode(&f.mode, name, value)
	}
	return ""
}

// setMode takes permission bits as people write them: in octal, as a string,
// which no number of JSON can be mistaken for.
func setMode(to *uint32, name string, value []byte) (problem string) {
	s, ok := text(value)
	bits, err := strconv.ParseUint(s, 8, 32)
	if !ok || err != nil || bits == 0 || bits > 0o777 {
		return "Parameter '" + name + "' must be permission bits in octal, as '0644'"
	}
	*to = uint32(bits)
	return ""
}

func setShort(to *string, name string, value []byte, most int) (problem string) {
	if problem := setText(to, name, value); problem != "" {
		return problem
	}
	if len(*to) > most {
		return "Parameter '" + name + "' must be at most " + strconv.Itoa(most) + " bytes, got " + strconv.Itoa(len(*to))
	}
	return ""
}

func setPath(to *string, name string, value []byte) (problem string) {
	if problem := setShort(to, name, value, maxPath); problem != "" {
		return problem
	}
	if *to == "" || strings.Contains(*to, "\x00") {
		return "Parameter '" + name + "' must be a path"
	}
	return ""
}

func setBool(to *bool, name string, value []byte) (problem string) {
	switch string(value) {
	case "true":
		*to = true
	case "false":
		*to = false
	default:
		return "Parameter '" + name + "' must be true or false"
	}
	return ""
}

func setNumber(to *int64, name string, value []byte, least, most int64) (problem string) {
	n, err := strconv.ParseInt(string(value), 10, 64)
	switch {
	case err != nil:
		return "Parameter '" + name + "' must be an integer"
	case n < least:
		return "Parameter '" + name + "' must be >= " + strconv.FormatInt(least, 10)
	case n > most:
		return "Parameter '" + name + "' must be <= " + strconv.FormatInt(most, 10)
	}
	*to = n
	return ""
}

// decoded is what a string of an argument stands for.
func decoded(content, name string, isBase64 bool) (data []byte, problem string) {
	if !isBase64 {
		return []byte(content), ""
	}
	data, err := base64.StdEncoding.DecodeString(content)
	if err != nil {
		return nil, "Parameter '" + name + "' must be base64: " + err.Error()
	}
	return data, ""
}

// lacks says what is wrong with arguments that are each good by themselves.
func (op *operation) lacks() (problem string) {
	switch op.tool {
	case getExecution:
		if op.execution == "" && op.session == "" {
			return "Missing required parameter: execution_id, or session_id for a list"
		}
	case sendInput:
		if !op.input.given && !op.input.closes {
			return "Missing required parameter: text, base64 or close"
		}
	case readFile:
		return op.file.badRange()
	case writeFile:
		op.file.data, problem = decoded(op.file.content, "content", op.file.encoding == "base64")
	}
	return problem
}

// badRange says what is wrong with the part of a file that is asked for.
func (f *file) badRange() (problem string) {
	switch {
	case f.byLines() && f.from != 0:
		return "Parameters 'from' and 'first_line' must not both be given"
	case f.lastLine > 0 && f.lastLine < f.firstLine:
		return "Parameter 'last_line' must be >= 'first_line'"
	}
	return ""
}
