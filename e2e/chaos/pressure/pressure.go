// SPDX-License-Identifier: Apache-2.0

// Package pressure says how busy the machine is on which a run's nodes share the CPUs, which real ones do not.
package pressure

import (
	"os"
	"strconv"
	"strings"
	"time"
)

// Stalled is for how long in all, since the machine was started, something on it has waited for a CPU: the kernel's pressure stall
// information. 0 if the kernel has none.
func Stalled() time.Duration {
	text, err := os.ReadFile("/proc/pressure/cpu")
	if err != nil {
		return 0
	}
	return parse(string(text))
}

// parse reads the line that is called some.
func parse(text string) time.Duration {
	some, _, _ := strings.Cut(text, "\n")
	_, total, _ := strings.Cut(some, "total=")
	microseconds, err := strconv.ParseInt(total, 10, 64)
	if err != nil {
		return 0
	}
	return time.Duration(microseconds) * time.Microsecond
}
