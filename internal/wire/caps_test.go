// SPDX-License-Identifier: Apache-2.0

package wire

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

// roleEnv makes this binary become what the agent's container is, as far as it asks.
const roleEnv = "MACPOOL_WIRE_TEST_ROLE"

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(roleEnv) {
	case "":
		os.Exit(m.Run())
	case "drop":
		err = dropCapabilities()
	case "ask":
		err = askOnce()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// dropCapabilities becomes root with no capability but CAP_NET_RAW.
func dropCapabilities() error {
	runtime.LockOSThread()
	for c := range uintptr(unix.CAP_LAST_CAP + 1) {
		if c == unix.CAP_NET_RAW {
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
	if err := os.Setenv(roleEnv, "ask"); err != nil {
		return err
	}
	return syscall.Exec(self, []string{self}, os.Environ())
}

func askOnce() error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	if !strings.Contains(string(status), "CapEff:\t0000000000002000") {
		return fmt.Errorf("has other capabilities than CAP_NET_RAW: %s", status)
	}
	q := query(ip4, ip6)
	q.Rounds = 50
	by, err := Ask(context.Background(), parent, q)
	if err != nil {
		return err
	}
	if by != leasedMAC {
		return fmt.Errorf("answered by %q", by)
	}
	return nil
}

// R-S8: to ask needs CAP_NET_RAW and nothing else.
func TestLeastPrivilege(t *testing.T) {
	l := newLAN(t)
	asker := l.newHost(t)
	l.newHost(t).hold(t, leasedMAC, ip6+"/64")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), roleEnv+"=drop")
	var output []byte
	inside(t, asker.ns, func() error { // a process is born into the namespace of the thread that makes it
		output, err = cmd.CombinedOutput()
		return nil
	})
	if err != nil {
		t.Errorf("%v: %s", err, output)
	}
}
