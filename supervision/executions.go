package supervision

import (
	"context"

	"github.com/sandwarden/sandwarden/sandbox"
)

func unsupported(op string) error { return &sandbox.Error{Op: op, Kind: sandbox.Unsupported} }

// Touch is to come.
func (s *Sessions) Touch(ctx context.Context, ref sandbox.Ref) (sandbox.Session, error) {
	return s.Find(ctx, ref)
}

// Transfer is to come.
func (s *Sessions) Transfer(context.Context, sandbox.Ref, sandbox.FileRequest) (sandbox.Transfer, error) {
	return nil, unsupported("transfer")
}

// Start is to come.
func (s *Sessions) Start(context.Context, sandbox.ExecRequest) (sandbox.Execution, sandbox.Session, bool, error) {
	return sandbox.Execution{}, sandbox.Session{}, false, unsupported("start")
}

// Execution is to come.
func (s *Sessions) Execution(context.Context, sandbox.Principal, sandbox.ExecID) (sandbox.Execution, error) {
	return sandbox.Execution{}, unsupported("find")
}

// ListExecutions is to come.
func (s *Sessions) ListExecutions(context.Context, sandbox.ExecQuery) ([]sandbox.Execution, error) {
	return nil, unsupported("list")
}

// Await is to come.
func (s *Sessions) Await(context.Context, sandbox.Principal, sandbox.ExecID, sandbox.WaitQuery) (sandbox.Execution, error) {
	return sandbox.Execution{}, unsupported("wait")
}

// Result is to come.
func (s *Sessions) Result(context.Context, sandbox.Principal, sandbox.ExecID) (sandbox.ExecResult, error) {
	return sandbox.ExecResult{}, unsupported("result")
}

// ReadOutput is to come.
func (s *Sessions) ReadOutput(context.Context, sandbox.Principal, sandbox.ExecID, sandbox.OutputQuery) (sandbox.OutputPage, error) {
	return sandbox.OutputPage{}, unsupported("output")
}

// SubscribeExecution is to come.
func (s *Sessions) SubscribeExecution(context.Context, sandbox.Principal, sandbox.ExecID, uint64) (sandbox.Subscription, error) {
	return nil, unsupported("subscribe")
}

// Signal is to come.
func (s *Sessions) Signal(context.Context, sandbox.Principal, sandbox.ExecID, sandbox.Signal) error {
	return unsupported("signal")
}

// WriteStdin is to come.
func (s *Sessions) WriteStdin(context.Context, sandbox.Principal, sandbox.ExecID, uint64, []byte) (int, error) {
	return 0, unsupported("stdin")
}
