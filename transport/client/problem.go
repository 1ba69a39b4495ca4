package client

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

// An Error is what the daemon says of a request that failed.
type Error struct {
	Status int    `json:"status"`
	Kind   string `json:"kind"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy"`
	Code   string `json:"error_code"`
	Cause  string `json:"cause"`
}

// Error is for people.
func (e *Error) Error() string {
	if e.Remedy == "" {
		return e.Detail
	}
	return e.Detail + ". " + e.Remedy
}

// problemOf reads what an answer says, which may be none of a daemon.
func problemOf(answer *http.Response) error {
	e := &Error{}
	data, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	if err != nil || json.Unmarshal(data, e) != nil || e.Detail == "" {
		e.Detail = "the answer is " + answer.Status + ", and says no more"
	}
	e.Status = answer.StatusCode
	return e
}

// IsNotFound reports whether an error says that something is not there.
func IsNotFound(err error) bool { return hasStatus(err, http.StatusNotFound) }

func hasStatus(err error, status int) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Status == status
}

// passes reports whether the same request may succeed a little later: the
// connection broke, or the daemon or a proxy before it is away or busy.
func passes(err error) bool {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return true
	}
	if e.Cause == "shutdown" { // what was asked for goes on, and the next daemon has it
		return true
	}
	switch e.Status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}
