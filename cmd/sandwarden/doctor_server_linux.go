package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/sandwarden/sandwarden/config"
	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/microsandbox"
	"github.com/sandwarden/sandwarden/sandbox/native/doctor"
)

// checkBackend finds out whether sandboxes can be made: at the server, if there
// they are.
func checkBackend(ctx context.Context, c config.Config) []doctor.Finding {
	if c.Backend == microsandbox.Name {
		return []doctor.Finding{checkServer(ctx, c)}
	}
	return doctor.Check(ctx, doctorOptions(c))
}

// checkServer is what there is to say of the server.
func checkServer(ctx context.Context, c config.Config) doctor.Finding {
	id := knownInstance(c.StateDir)
	sight, err := microsandbox.Look(ctx, serverOptions(c, id, slog.New(slog.DiscardHandler)))
	f := doctor.Finding{Name: "microsandbox server", Level: doctor.OK}
	refuse := func(what, remedy string) {
		f.Level, f.Value, f.Remedy = doctor.Refuse, withoutPassword(c.ServerURL)+" "+what, remedy
		f.Why = "sandboxes are made there, as MSB_SERVER_URL or SANDWARDEN_BACKEND says"
	}
	switch {
	case err != nil:
		why, _ := errors.AsType[*sandbox.Error](err) // it always is one
		refuse("is of no use: "+why.Detail, why.Remedy)
	case id != "" && (sight.Instance == id || slices.Contains(sight.Behind, id)):
		refuse("leads back to this daemon", "let MSB_SERVER_URL name a server that makes sandboxes itself, or unset it")
	default:
		f.Value = fmt.Sprintf("%s answers: %s; %d sandboxes run in our namespace, %d of them ours", withoutPassword(c.ServerURL), kindOf(sight), sight.Running, sight.Ours)
	}
	return f
}

// kindOf says what a server is.
func kindOf(s microsandbox.Sight) string {
	switch {
	case s.Instance == "":
		return "a server of the v0.2 line"
	case len(s.Behind) > 0:
		return fmt.Sprintf("sandwarden %s, behind which are %d more", s.Instance, len(s.Behind))
	}
	return "sandwarden " + s.Instance
}
