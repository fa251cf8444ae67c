// SPDX-License-Identifier: Apache-2.0

package installer_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/macpool/macpool/internal/installer"
)

// dropCapabilities becomes what the container of the DaemonSet is: root without a capability, of the host's root only if
// its first argument names directories to make read-only, and then installOnce with the rest.
func dropCapabilities(args []string) error {
	runtime.LockOSThread()
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	for dir := range strings.FieldsSeq(args[0]) {
		if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("binding %s: %w", dir, err)
		}
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
			return fmt.Errorf("making %s read-only: %w", dir, err)
		}
	}
	for c := range uintptr(unix.CAP_LAST_CAP + 1) {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("dropping capability %d: %w", c, err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if err := os.Setenv(roleVariable, "install-once"); err != nil {
		return err
	}
	return syscall.Exec(self, append([]string{self}, args[1:]...), os.Environ())
}

func installOnce(args []string) error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	if !strings.Contains(string(status), "CapEff:\t0000000000000000") || os.Geteuid() != 0 {
		return fmt.Errorf("is not root without capabilities: %s", status)
	}
	i, err := installer.New(installer.Options{
		Host: args[0], Source: args[1], Platform: installer.Auto, BinDirs: args[2:], Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	if err := i.Install(); err != nil {
		return err
	}
	return i.Check()
}

// withoutCapabilities runs Install and Check as root without capabilities, with some directories of the host read-only.
func withoutCapabilities(t *testing.T, n *node, readOnly string, binDirs ...string) error {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become one without capabilities")
	}
	if readOnly != "" {
		readOnly = filepath.Join(n.host, readOnly)
	}
	cmd := exec.CommandContext(t.Context(), self, append([]string{readOnly, n.host, n.source}, binDirs...)...)
	cmd.Env = append(os.Environ(), roleVariable+"=drop-capabilities")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	output, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, output)
	}
	return nil
}

func TestWithoutCapabilities(t *testing.T) {
	n := newNode(t, tree{"/etc/containerd/config.toml": configuration(containerd2, bin, "/etc/cni/net.d"), bin + "/loopback": "theirs"})
	for _, release := range []string{"1", "2"} {
		n.release(release)
		if err := withoutCapabilities(t, n, ""); err != nil {
			t.Fatal(err)
		}
		if got := n.read(bin + "/macpool"); got != content("macpool", release) {
			t.Errorf("macpool is %q", got)
		}
	}
}

// TestReadOnly has directories that cannot be written: on a read-only file system, or with an owner that is not root.
func TestReadOnly(t *testing.T) {
	const other = 4711
	for name, test := range map[string]struct {
		readOnly string
		spoil    func(n *node) error
		binDirs  []string
		fails    bool
	}{
		"root elsewhere":            {readOnly: "/usr", binDirs: []string{"/usr/libexec/cni", "/opt/cni/bin"}},
		"root elsewhere, missing":   {readOnly: "/usr", binDirs: []string{"/usr/lib/cni", "/opt/cni/bin"}},
		"all":                       {readOnly: "/usr", binDirs: []string{"/usr/libexec/cni"}, fails: true},
		"all, missing":              {readOnly: "/usr", binDirs: []string{"/usr/lib/cni"}, fails: true},
		"of another user":           {spoil: func(n *node) error { return os.Chown(filepath.Join(n.host, "/usr/libexec/cni"), other, other) }, binDirs: []string{"/usr/libexec/cni", "/opt/cni/bin"}},
		"of another user, only one": {spoil: func(n *node) error { return os.Chown(filepath.Join(n.host, "/usr/libexec/cni"), other, other) }, binDirs: []string{"/usr/libexec/cni"}, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, tree{"/usr/libexec/cni/loopback": "theirs"})
			if test.spoil != nil {
				if err := test.spoil(n); err != nil {
					t.Skip(err)
				}
			}
			err := withoutCapabilities(t, n, test.readOnly, test.binDirs...)
			if !test.fails {
				if err != nil {
					t.Fatal(err)
				}
				if got := n.read("/opt/cni/bin/macpool"); got != content("macpool", "1") {
					t.Errorf("macpool is %q", got)
				}
				return
			}
			if err == nil {
				t.Fatal("Install is content with nothing")
			}
			if !strings.Contains(err.Error(), "MP518") || !strings.Contains(err.Error(), test.binDirs[0]) {
				t.Errorf("the error does not say what is wrong: %v", err)
			}
		})
	}
}
