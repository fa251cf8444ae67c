// SPDX-License-Identifier: Apache-2.0

// Package usertest lets a test do something as another user.
package usertest

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// Nobody is a user who owns nothing.
const Nobody = 65534

// As runs f as the user, without capabilities. It takes root, and skips the test for others. f must not go to another goroutine: the kernel
// knows users by thread, and this one ends with f.
func As(t *testing.T, uid int, f func() error) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become another user")
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked, so that nobody gets this thread after f
		for _, change := range []struct{ call, id uintptr }{{unix.SYS_SETRESGID, uintptr(uid)}, {unix.SYS_SETRESUID, uintptr(uid)}} {
			if _, _, errno := unix.RawSyscall(change.call, change.id, change.id, change.id); errno != 0 {
				done <- fmt.Errorf("becoming uid %d: %w", uid, errno)
				return
			}
		}
		done <- f()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
