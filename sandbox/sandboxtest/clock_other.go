//go:build !linux

package sandboxtest

import "time"

func Boottime() time.Duration { return time.Duration(time.Now().UnixNano()) }
