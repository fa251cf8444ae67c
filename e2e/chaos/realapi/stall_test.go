// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package realapi_test

import (
	"os"
	"strconv"
	"strings"
	"time"
)

// cpuStall is for how long in all, since the machine was started, something on it has waited for a CPU: the kernel's pressure stall
// information. 0 if the kernel has none.
func cpuStall() time.Duration {
	text, _ := os.ReadFile("/proc/pressure/cpu")
	some, _, _ := strings.Cut(string(text), "\n")
	_, total, _ := strings.Cut(some, "total=")
	microseconds, _ := strconv.ParseInt(total, 10, 64)
	return time.Duration(microseconds) * time.Microsecond
}
