package mcp

import (
	"strconv"

	protocol "github.com/mark3labs/mcp-go/mcp"
)

// executionTools are the tools for runs that outlive their calls.
func (o Options) executionTools() []protocol.Tool {
	const id = `"execution_id":{"type":"string","description":"From the result of a run, or from a list"}`
	wait := strconv.FormatInt(o.openRules().maxWait, 10)
	return []protocol.Tool{
		tool(getExecution, "Tell how far a run is, and show its output (stdout and stderr in the order of their writing): all of it, "+
			"or its two ends when there is more than max_bytes; its last lines with tail; the lines that match with grep. "+
			"With session_id alone, list the newest runs of the session.",
			object(id+`,"session_id":{"type":"string","description":"List the runs of this session"},`+
				`"wait":{"type":"integer","description":"Seconds to wait for what until says","minimum":0,"maximum":`+wait+`,"default":0},`+
				`"until":{"type":"string","enum":["end","output"],"default":"end","description":"The end of the run; or its end, or output after cursor"},`+
				`"cursor":{"type":"integer","description":"Byte of the output to begin at: the cursor of an earlier answer; below 0 counts from the end","default":0},`+
				`"tail":{"type":"integer","description":"Show the last lines alone: so many","minimum":1},`+
				`"grep":{"type":"string","description":"Show the lines alone that match this regular expression (RE2), as line:offset:text","maxLength":1000},`+
				`"max_bytes":{"type":"integer","description":"Bytes of output to show at most","minimum":256,"maximum":`+strconv.Itoa(maxView)+
				`,"default":`+strconv.Itoa(viewBudget)+`}`, ``),
			either(recordMembers()+`,"from":{"type":"integer"},"cursor":{"type":"integer","description":"Where to go on"},`+
				`"omitted_bytes":{"type":"integer","description":"Left out between the two ends"},`+
				`"missing_bytes":{"type":"integer","description":"Asked for, and not kept any more"},`+
				`"has_more":{"type":"boolean","description":"Not all was searched"},"output":{"type":"string"},`+
				`"matches":{"type":"array","items":{"type":"object"}},"hint":{"type":"string"},`+
				`"rich":{"type":"array","items":{"type":"object"}},"executions":{"type":"array","items":{"type":"object"}}`,
				`"session_id"`), hints{readOnly: true, idempotent: true}),
		tool(sendInput, "Write to the stdin of a command that was run with stdin.",
			object(id+`,"text":{"type":"string","description":"What to write; most programs wait for a newline at its end"},`+
				`"base64":{"type":"string","description":"Bytes to write, instead of text"},`+
				`"close":{"type":"boolean","description":"Then close stdin: the program sees its end","default":false}`, `"execution_id"`),
			either(`"execution_id":{"type":"string"},"sent_bytes":{"type":"integer"},`+
				`"complete":{"type":"boolean","description":"All was sent; else the program reads no more now"},"closed":{"type":"boolean"},`+
				`"cursor":{"type":"integer","description":"Where the program's answer begins in its output"}`,
				`"execution_id","sent_bytes","complete"`), hints{destructive: true}),
		tool(cancelExecution, "End a run that goes on or waits. interrupt (Ctrl-C) lets a kernel keep its variables.",
			object(id+`,"mode":{"type":"string","enum":["interrupt","terminate","kill"],"default":"interrupt"}`, `"execution_id"`),
			either(recordMembers(), `"session_id","execution_id","status"`), hints{destructive: true, idempotent: true}),
	}
}

// recordMembers are those of an execution's record.
func recordMembers() string {
	return `"execution_id":{"type":"string"},"session_id":{"type":"string"},"kind":{"type":"string"},` +
		`"status":{"type":"string","enum":["queued","running","finished","failed","cancelled","lost"]},` +
		`"idempotency_key":{"type":"string"},"background":{"type":"boolean"},"stdin":{"type":"boolean"},` +
		`"queued_at":{"type":"string"},"started_at":{"type":"string"},"ended_at":{"type":"string"},"running_ms":{"type":"integer"},` +
		`"timeout_ms":{"type":"integer"},"output_bytes":{"type":"integer"},` + exitMembers +
		`"first_kept":{"type":"integer","description":"Offset of the oldest output that is kept"}`
}

// fileTools are the tools for the files of a session.
func fileTools() []protocol.Tool {
	const where = `"session_id":{"type":"string","description":"A session that is there: run something in it first"},`
	const path = where + `"path":{"type":"string","description":"A relative one begins at /work"},`
	told := `"session_id":{"type":"string"},"path":{"type":"string"},`
	return []protocol.Tool{
		tool(readFile, "Read a file of a session, or a part of it by bytes (from, size) or by lines (first_line, last_line).",
			object(path+`"from":{"type":"integer","description":"Byte to begin at; below 0 counts from the end","default":0},`+
				`"size":{"type":"integer","description":"Bytes at most","minimum":1,"maximum":`+strconv.Itoa(maxRead)+`,"default":`+strconv.Itoa(fileBudget)+`},`+
				`"first_line":{"type":"integer","minimum":1},"last_line":{"type":"integer","minimum":1},`+
				`"encoding":{"type":"string","enum":["auto","text","base64"],"default":"auto","description":"auto is text where it is UTF-8, else base64"}`,
				`"session_id","path"`),
			either(told+`"from":{"type":"integer"},"next":{"type":"integer","description":"Where to go on"},"size":{"type":"integer"},`+
				`"first_line":{"type":"integer"},"has_more":{"type":"boolean"},"encoding":{"type":"string"},"text":{"type":"string"},"base64":{"type":"string"}`,
				`"session_id","path","size","has_more"`), hints{readOnly: true, idempotent: true}),
		tool(writeFile, "Write a file of a session: in place of what is there, or behind it.",
			object(path+`"content":{"type":"string"},"encoding":{"type":"string","enum":["text","base64"],"default":"text","description":"What content is"},`+
				`"append":{"type":"boolean","default":false},`+
				`"mode":{"type":"string","description":"Permission bits of a new file, in octal","default":"0644"}`,
				`"session_id","path","content"`),
			either(told+`"written_bytes":{"type":"integer"},"size":{"type":"integer","description":"Of the file now"},"mode":{"type":"string"}`,
				`"session_id","path","written_bytes"`), hints{destructive: true}),
		tool(listFiles, "List a folder of a session, or all that is below it.",
			object(where+`"path":{"type":"string","description":"A relative one begins at /work","default":"/work"},`+
				`"recursive":{"type":"boolean","default":false},`+
				`"limit":{"type":"integer","minimum":1,"maximum":`+strconv.Itoa(maxListing)+`,"default":`+strconv.Itoa(listBudget)+`}`, `"session_id"`),
			either(told+`"has_more":{"type":"boolean"},"files":{"type":"array","items":{"type":"object"}}`, `"session_id","path","files"`),
			hints{readOnly: true, idempotent: true}),
	}
}
