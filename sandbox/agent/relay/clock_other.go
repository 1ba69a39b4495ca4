//go:build !linux

package relay

import "time"

// boottime is for builds alone: sandboxes need Linux.
func boottime() time.Duration { return time.Duration(time.Now().UnixNano()) }
