//go:build !unix

package testenv

import "time"

var began = time.Now()

// CPU is the time that has passed: this system is not asked for more.
func CPU() time.Duration { return time.Since(began) }
