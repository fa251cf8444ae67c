// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/utils/clock"
)

// ReapOrphans takes the exit codes of processes that the laboratory has not started itself and that fall to it as pid 1: children
// of plugins that were killed. Nobody else would, and each keeps its pid for ever.
//
// Those that it has started are waited for elsewhere, at once. One that is still a zombie at a second look is nobody's.
func ReapOrphans(ctx context.Context) {
	const pause = 3 * time.Second
	if os.Getpid() != 1 {
		return
	}
	seen := map[int]bool{}
	for ctx.Err() == nil {
		again := map[int]bool{}
		for _, pid := range zombies() {
			if seen[pid] {
				_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
			} else {
				again[pid] = true
			}
		}
		seen = again
		select {
		case <-clock.RealClock{}.After(pause):
		case <-ctx.Done():
		}
	}
}

// zombies are the children of this process that have ended and were not waited for.
func zombies() []int {
	var all []int
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		text, _ := os.ReadFile(file) //nolint:gosec // a path of /proc
		// pid (name) state parent ...; the name may hold anything.
		_, rest, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		if len(fields) < 2 || fields[0] != "Z" || fields[1] != "1" {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			all = append(all, pid)
		}
	}
	return all
}
