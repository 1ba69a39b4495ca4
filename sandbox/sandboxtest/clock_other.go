//go:build !linux

package sandboxtest

import "time"

func boottime() time.Duration { return time.Duration(time.Now().UnixNano()) }
