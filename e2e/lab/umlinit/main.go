// SPDX-License-Identifier: Apache-2.0

// Umlinit is the init of a User-mode Linux of the laboratory, see lab.Machine. It makes a system of what the kernel gives it,
// then becomes the program of the test. It is a program of its own because libraries that the other links want to write to
// disk before their main has begun.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// What the kernel's command line sets.
const (
	programEnv = "MACPOOL_PROGRAM"
	modulesEnv = "MACPOOL_MODULES"
)

func main() {
	err := furnish(os.Getenv(modulesEnv))
	if err == nil {
		program := os.Getenv(programEnv)
		env := append(os.Environ(), "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
		err = fmt.Errorf("executing %s: %w", program, unix.Exec(program, []string{program}, env))
	}
	_, _ = fmt.Fprintln(os.Stderr, "umlinit:", err)
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// mount is one of those that furnish makes, in this order.
type mount struct {
	source, target, kind, data string
	flags                      uintptr
}

// furnish is what an init does before there is a system: mounts, modules, and a root that can be written to, which is the
// overlay. The root of hostfs stays below it.
func furnish(modules string) error {
	const upper, work, root = "/run/upper", "/run/work", "/run/root"
	before := []mount{
		// First of all: hostfs shows the files of the other kernel's /proc.
		{"proc", "/proc", "proc", "", 0},
		{"sys", "/sys", "sysfs", "", 0},
		{"run", "/run", "tmpfs", "mode=0755", 0},
	}
	after := []mount{
		{"overlay", root, "overlay", strings.Join([]string{"lowerdir=/", "upperdir=" + upper, "workdir=" + work}, ","), 0},
		{"/proc", root + "/proc", "", "", unix.MS_BIND},
		{"/sys", root + "/sys", "", "", unix.MS_BIND},
		{"dev", root + "/dev", "devtmpfs", "", 0},
		{"run", root + "/run", "tmpfs", "mode=0755", 0},
		{"netns", root + "/run/netns", "tmpfs", "mode=0755", 0}, // where runtimes name network namespaces
		{"tmp", root + "/dev/shm", "tmpfs", "", 0},
	}
	if err := mountAll(before); err != nil {
		return err
	}
	for path := range strings.SplitSeq(modules, ",") {
		if err := loadModule(path); err != nil {
			return err
		}
	}
	for _, dir := range []string{upper, work, root} {
		if err := os.Mkdir(dir, 0o755); err != nil { //nolint:gosec // the mode of a root
			return fmt.Errorf("making %s: %w", dir, err)
		}
	}
	if err := mountAll(after); err != nil {
		return err
	}
	if err := errors.Join(unix.Chroot(root), unix.Chdir("/")); err != nil {
		return fmt.Errorf("entering the new root: %w", err)
	}
	return nil
}

func mountAll(mounts []mount) error {
	for _, m := range mounts {
		if err := os.MkdirAll(m.target, 0o755); err != nil && !errors.Is(err, fs.ErrExist) { //nolint:gosec // the mode of a mount point
			return fmt.Errorf("making %s: %w", m.target, err)
		}
		if err := unix.Mount(m.source, m.target, m.kind, m.flags, m.data); err != nil {
			return fmt.Errorf("mounting %s on %s: %w", m.source, m.target, err)
		}
	}
	return nil
}

func loadModule(path string) error {
	f, err := os.Open(path) //nolint:gosec // a module of the kernel that runs this
	if err != nil {
		return fmt.Errorf("opening a module: %w", err)
	}
	defer func() { _ = f.Close() }()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("loading module %s: %w", filepath.Base(path), err)
	}
	return nil
}
