package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/sandwarden/sandwarden/config"
	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/msb"
	"github.com/sandwarden/sandwarden/transport/msb/key"
)

// An apiServer serves the microsandbox API beside the daemon's own surface, on
// the same sessions. It has no TLS, as its clients know none.
type apiServer struct {
	handler *msb.Handler
	server  *http.Server
}

// newAPI makes the server of the API, or none where nothing listens for it.
func (d *daemon) newAPI(life context.Context, c config.Config, logger *slog.Logger) error {
	if c.MSBListen == "" {
		return nil
	}
	options, err := apiOptions(c, d.backend, logger)
	if err != nil {
		return err
	}
	options.Foreign = d.handler.Foreign
	handler, err := msb.New(d.sessions, options)
	if err != nil {
		return explained(err)
	}
	d.api = &apiServer{handler: handler, server: newServer(life, handler, c, nil, logger)}
	return nil
}

// A behind is a backend whose sandboxes other daemons make.
type behind interface {
	Behind() []string
}

// apiOptions are the parts of a configuration that clients of the API meet.
func apiOptions(c config.Config, backend sandbox.Backend, logger *slog.Logger) (msb.Options, error) {
	options := msb.Options{
		Logger:         logger.With("part", "msb"),
		Version:        release(),
		Images:         templatesOfImages(c),
		Volumes:        c.Volumes,
		File:           filepath.Join(c.StateDir, "msb.json"),
		IdleTimeout:    c.MSBIdleTimeout,
		StartTimeout:   c.SandboxStartTimeout,
		DefaultTimeout: c.ExecutionTimeout,
		MaxTimeout:     c.MaxExecutionTime,
		MaxCode:        int(c.CodeBytes),
		ReadTimeout:    c.BodyTimeout,
	}
	if b, ok := backend.(behind); ok {
		options.Behind = b.Behind
	}
	var err error
	if options.Instance, err = instanceOf(c.StateDir, logger); err != nil {
		return options, err
	}
	if c.Clean {
		if err := os.Remove(options.File); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return options, fmt.Errorf("cannot begin clean: %w", err)
		}
	}
	options.Keys, err = keysOf(c)
	return options, err
}

// keysOf knows the keys to the API; nil needs none.
func keysOf(c config.Config) (msb.Keeper, error) {
	if c.MSBDev {
		return nil, nil //nolint:nilnil // it is the development mode
	}
	keeper, err := key.Open(c.MSBKeyFile)
	if err != nil {
		return nil, explained(err)
	}
	return keeper, nil
}

// templatesOfImages are the templates that images stand for: those that are set,
// and the two that clients of the original name.
func templatesOfImages(c config.Config) map[string]string {
	all := map[string]string{"microsandbox/python": "python", "microsandbox/node": "node"}
	for _, set := range []struct{ image, template string }{{c.BashImage, "bash"}, {c.NodeImage, "node"}, {c.PythonImage, "python"}} {
		if set.image != "" {
			all[set.image] = set.template
		}
	}
	return all
}

// apiLog says where the API is, and whether all may use it.
func apiLog(ctx context.Context, c config.Config, logger *slog.Logger) {
	if c.MSBListen != "" {
		logger.InfoContext(ctx, "serving the microsandbox API", "addr", apiURL(c), "keys", !c.MSBDev)
	}
}

// apiURL is where a client on this machine finds the API.
func apiURL(c config.Config) string { return "http://" + reachable(c.MSBListen) }

// setKeys changes who may use the API.
func (a *apiServer) setKeys(c config.Config) error {
	if a == nil {
		return nil
	}
	keys, err := keysOf(c)
	if err != nil {
		return err // the old ones stay
	}
	a.handler.SetKeys(keys)
	return nil
}

// shutdown ends the server, whose listeners are closed at once. The channel gets
// its end, after which the handler is finished.
func (a *apiServer) shutdown(ctx context.Context) <-chan error {
	ended := make(chan error, 1)
	if a == nil {
		ended <- nil
		return ended
	}
	go func() { // ends with ctx
		err := a.server.Shutdown(ctx)
		if err != nil { // somebody does not read the answer
			err = a.server.Close()
		}
		finish, cancel := context.WithTimeout(context.WithoutCancel(ctx), handlerGrace)
		defer cancel()
		ended <- errors.Join(err, a.handler.Shutdown(finish))
	}()
	return ended
}

// handlerGrace is what the handler gets to write down what it keeps.
const handlerGrace = time.Second
