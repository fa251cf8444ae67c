// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
)

// dirEnv tells the isolated process its directory; set, it is what marks that process.
const dirEnv = "MACPOOL_LAB_DIR"

// userNSEnv tells it that it has a user namespace.
const userNSEnv = "MACPOOL_LAB_USERNS"

// Isolation is the process's own surroundings.
type Isolation struct {
	// Dir is a directory in memory that goes with the laboratory. Its path is short enough for UNIX sockets.
	Dir string

	// Host is the same directory as the rest of the machine sees it. What is written here can be read from another
	// terminal; it is removed at the end, but survives if the supervisor is killed with SIGKILL.
	Host *os.Root

	// UserNS tells whether it is root only in a user namespace of its own.
	UserNS bool
}

// pidFile holds the pid of the isolated process as the rest of the machine sees it.
const pidFile = "pid"

// Enter gives the command by which another terminal of the machine runs something in one of the laboratory's network
// namespaces.
func (i *Isolation) Enter() func(netns string) string {
	pid, err := i.Host.ReadFile(pidFile)
	if err != nil {
		pid = []byte("PID")
	}
	user := ""
	if i.UserNS {
		user = fmt.Sprintf("--target %s --user --preserve-credentials ", pid)
	}
	return func(netns string) string { return fmt.Sprintf("nsenter %s--net=/proc/%s/root%s", user, pid, netns) }
}

// Isolate runs the program again as pid 1 of a new PID namespace with a mount namespace of its own, and returns only there. With
// the last process of that namespace go its mounts, and with these the network namespaces and the links in them: the kernel
// cleans up, whichever way the program ends. Without root, a user namespace in which it is root comes with it.
//
// Call it first thing in main or TestMain. It exits with a sentence when the machine allows none of this.
func Isolate(ctx context.Context) *Isolation {
	dir := os.Getenv(dirEnv)
	if os.Getpid() != 1 || dir == "" {
		os.Exit(supervise(ctx))
	}
	iso, err := enter(dir)
	if err != nil {
		fmt.Fprintf(os.Stderr, "The laboratory cannot furnish its namespaces: %v\n", err)
		os.Exit(1)
	}
	return iso
}

// supervise starts the isolated process, hands signals on to it and returns its exit code.
func supervise(ctx context.Context) int {
	// Pdeathsig is bound to the thread that forked: it must live as long as this process.
	runtime.LockOSThread()

	dir, err := os.MkdirTemp("", "macpool-lab-")
	if err != nil {
		fmt.Fprintf(os.Stderr, "The laboratory cannot make its directory: %v\n", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()

	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	child, err := startIsolated(ctx, dir)
	if err != nil {
		explain(os.Stderr, err)
		return 1
	}
	go func() {
		for s := range signals {
			_ = child.Process.Signal(s)
		}
	}()
	return exitCode(child.Wait(), child.ProcessState)
}

// startIsolated tries as root first, since only real root can load the programs of the VLAN shim, then with a user
// namespace.
func startIsolated(ctx context.Context, dir string) (*exec.Cmd, error) {
	var errs []error
	for _, userNS := range []bool{false, true} {
		if !userNS && os.Geteuid() != 0 {
			continue
		}
		child, err := isolated(ctx, dir, userNS)
		if err != nil {
			return nil, err
		}
		err = child.Start()
		if err == nil {
			// For Enter. Without it only the hints are lost.
			_ = os.WriteFile(filepath.Join(dir, pidFile), []byte(strconv.Itoa(child.Process.Pid)), 0o600)
			return child, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func isolated(ctx context.Context, dir string, userNS bool) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding the program itself: %w", err)
	}
	child := exec.CommandContext(ctx, self, os.Args[1:]...) //nolint:gosec // the same program again
	child.Args[0] = os.Args[0]
	child.Env = append(os.Environ(), dirEnv+"="+dir, fmt.Sprintf("%s=%t", userNSEnv, userNS))
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS,
		// Own process group: a terminal's Ctrl-C comes once, from the supervisor, and not a second time from the terminal.
		Setpgid:   true,
		Pdeathsig: syscall.SIGKILL,
	}
	if userNS {
		child.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		child.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		child.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	return child, nil
}

func explain(w io.Writer, err error) {
	_, _ = fmt.Fprintf(w, `The laboratory needs namespaces of its own, and this machine gives it none: %v.
Run it as root, or allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1 or
user.max_user_namespaces, and kernel.apparmor_restrict_unprivileged_userns=0 where AppArmor restricts them).
In a container it needs the privileges to make namespaces and mounts (docker run --privileged).
`, err)
}

func exitCode(err error, state *os.ProcessState) int {
	if state == nil {
		fmt.Fprintf(os.Stderr, "The laboratory was lost: %v\n", err)
		return 1
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}
