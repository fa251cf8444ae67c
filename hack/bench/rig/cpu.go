// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
)

// ticksPerSecond is USER_HZ, which is 100 on every architecture that Kubernetes runs on.
const ticksPerSecond = 100

// CPUSeconds is what the processes of the laboratory have used so far, by the names of their programs. Processes that have ended are missing:
// take it while they all live, before and after.
func CPUSeconds() map[string]float64 {
	used := map[string]float64{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, err := os.ReadFile(path) //nolint:gosec // a path of /proc
		if err != nil {
			continue // it has ended
		}
		open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
		if open < 0 || end < open {
			continue
		}
		fields := bytes.Fields(text[end+1:])
		if len(fields) < 13 {
			continue
		}
		user, _ := strconv.ParseFloat(string(fields[11]), 64)
		system, _ := strconv.ParseFloat(string(fields[12]), 64)
		used[string(text[open+1:end])] += (user + system) / ticksPerSecond
	}
	return used
}
