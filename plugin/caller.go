// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// WatchCaller ends the context when nobody will read the result on stdout any more (R-C9). A runtime that gives up kills
// the main plugin only; its IPAM plugin goes on, and would finish an ADD whose DEL has come and gone.
//
// A dead reader of the pipe is seen at once, a changed parent within the poll's interval: after the first moments, in which most ADDs are
// done, and need no thread that waits for nothing. PR_SET_PDEATHSIG would be the
// kernel's own way, but it fires when the parent's thread ends, and a runtime written in Go ends threads as it likes.
func WatchCaller(ctx context.Context, stdout *os.File) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if nowhere(stdout) {
		cancel(errCallerGone)
		return ctx, func() { cancel(nil) }
	}
	fd := int32(stdout.Fd()) //nolint:gosec // descriptors are small
	parent := os.Getppid()
	const soon = 20 * time.Millisecond
	later := time.AfterFunc(soon, func() {
		const interval = 200 // milliseconds
		for ctx.Err() == nil {
			fds := []unix.PollFd{{Fd: fd}}
			_, err := unix.Poll(fds, interval)
			broken := fds[0].Revents&(unix.POLLERR|unix.POLLNVAL) != 0
			if broken || os.Getppid() != parent || (err != nil && !errors.Is(err, unix.EINTR)) {
				cancel(errCallerGone)
			}
		}
	})
	return ctx, func() {
		later.Stop()
		cancel(nil)
	}
}

// nowhere tells whether f is /dev/null. Go opens it in place of a standard output that was closed, and a result that is
// written there would look like success.
func nowhere(f *os.File) bool {
	var st, null unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return true
	}
	if err := unix.Stat(os.DevNull, &null); err != nil {
		return false
	}
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == null.Rdev
}
