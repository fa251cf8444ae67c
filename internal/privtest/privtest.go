// SPDX-License-Identifier: Apache-2.0

// Package privtest runs a part of a test as root with one capability, as the agent's container is run.
package privtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// roleEnv makes the test's binary become what the Role says, when it has dropped everything else.
const roleEnv, droppedEnv = "MACPOOL_PRIVTEST_ROLE", "MACPOOL_PRIVTEST_DROPPED"

// Role is what a process does that has one capability.
type Role struct {
	// Keep is the capability, as unix.CAP_NET_RAW.
	Keep uintptr
	Do   func(args []string) error
}

// Main is the TestMain of a package whose tests use Command.
func Main(m *testing.M, roles map[string]Role) {
	name := os.Getenv(roleEnv)
	if name == "" {
		os.Exit(m.Run())
	}
	if err := become(roles[name]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Command is a process of this binary in a role. It is born into the network namespace of the thread that starts it.
func Command(ctx context.Context, role string, args ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, args...) //nolint:gosec // G204: itself
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	return cmd, nil
}

func become(role Role) error {
	if os.Getenv(droppedEnv) == "" {
		return drop(role.Keep)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	if want := fmt.Sprintf("CapEff:\t%016x\n", 1<<role.Keep); !strings.Contains(string(status), want) {
		return fmt.Errorf("has other capabilities than %s: %s", want, status)
	}
	return role.Do(os.Args[1:])
}

// drop limits what root gets with the next exec, and does that.
func drop(keep uintptr) error {
	runtime.LockOSThread()
	for c := range uintptr(unix.CAP_LAST_CAP + 1) {
		if c == keep {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("dropping capability %d: %w", c, err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.Setenv(droppedEnv, "1"); err != nil {
		return err
	}
	return syscall.Exec(self, append([]string{self}, os.Args[1:]...), os.Environ()) //nolint:gosec // G204: itself
}
