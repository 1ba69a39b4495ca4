package microsandbox

import "context"

// StartNamed starts a sandbox at a server under a name of one's own.
func StartNamed(ctx context.Context, url, name string) error {
	o := Options{URL: url}.withDefaults()
	s := newServer(&o)
	defer s.close()
	_, err := s.start(ctx, name, map[string]any{"image": "microsandbox/python"}, o.StartTimeout)
	return err
}
