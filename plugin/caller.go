// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// WatchCaller ends the context when nobody will read the result on stdout any more (R-C9). A runtime that gives up kills the main plugin
// only; its IPAM plugin goes on, and would finish an ADD whose DEL has come and gone.
//
// What is seen is that the pipe's reader is gone, and that the parent has changed. PR_SET_PDEATHSIG would be the kernel's own way, but it fires
// when the parent's thread ends, and a runtime written in Go ends threads as it likes.
func WatchCaller(ctx context.Context, stdout *os.File) (context.Context, context.CancelFunc) {
	if nowhere(stdout) {
		return newCall(ctx, time.Time{}, func() bool { return true })
	}
	fd := int32(stdout.Fd()) //nolint:gosec // descriptors are small
	parent := os.Getppid()
	return newCall(ctx, time.Time{}, func() bool {
		fds := []unix.PollFd{{Fd: fd}}
		_, err := unix.Poll(fds, 0)
		return err == nil && fds[0].Revents&(unix.POLLERR|unix.POLLNVAL) != 0 || os.Getppid() != parent
	})
}

// within ends the context after a time.
func within(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return newCall(ctx, time.Now().Add(limit), func() bool { return false }) //nolint:forbidigo // a real call
}

// call is the context of a call of the plugin. Whether it has ended is found out when somebody asks for Err, which agentapi.Exchange does while
// it waits. Only for who waits for Done it is looked for: for most calls nobody does, and they need no timer, of which the first starts Go's
// poller, and no goroutine (docs/design/0020).
type call struct {
	context.Context //nolint:containedctx // it is one

	until time.Time // zero: as long as its parent
	gone  func() bool

	mu   sync.Mutex
	err  error
	done chan struct{} // nil until somebody waits
}

// lookAgain is the time between two looks for who waits for Done.
const lookAgain = 200 * time.Millisecond

func newCall(parent context.Context, until time.Time, gone func() bool) (context.Context, context.CancelFunc) {
	c := &call{Context: parent, until: until, gone: gone}
	return c, func() { _ = c.end(context.Canceled) }
}

// Deadline is context.Context's.
func (c *call) Deadline() (time.Time, bool) {
	until, ok := c.Context.Deadline()
	if c.until.IsZero() || ok && until.Before(c.until) {
		return until, ok
	}
	return c.until, true
}

// Err is context.Context's. What it returns says why, and is the cause, too (context.Cause).
func (c *call) Err() error {
	c.mu.Lock()
	err := c.err
	c.mu.Unlock()
	switch until, limited := c.Deadline(); {
	case err != nil:
		return err
	case c.Context.Err() != nil:
		return c.end(context.Cause(c.Context))
	case c.gone():
		return c.end(errCallerGone)
	case limited && !time.Now().Before(until): //nolint:forbidigo // a real call
		return c.end(context.DeadlineExceeded)
	default:
		return nil
	}
}

// end ends the context, if it has not ended, and returns why it has.
func (c *call) end(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
		if c.done != nil {
			close(c.done)
		}
	}
	return c.err
}

// Done is context.Context's.
func (c *call) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.err != nil {
			close(c.done)
		} else {
			go c.watch(c.done)
		}
	}
	return c.done
}

func (c *call) watch(done <-chan struct{}) {
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for c.Err() == nil {
		select {
		case <-done:
		case <-c.Context.Done():
		case <-tick.C:
		}
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
