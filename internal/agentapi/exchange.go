// SPDX-License-Identifier: Apache-2.0

package agentapi

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Exchange puts one question to the agent that listens on the socket and waits for the answer, as long as ctx lets it. The connection stays
// open in both directions meanwhile: by its end the agent knows that nobody waits any more. Whoever else may listen there is asked nothing.
// resp is a *Response, or has the part of its fields that is wanted.
//
// It looks at ctx now and then, and does not wait for it: an executed plugin needs no goroutine and no thread for its question (docs/design/0020).
func Exchange(ctx context.Context, socket string, req *Request, resp any) error {
	if err := checkPath(socket); err != nil {
		return err
	}
	c, err := connect(ctx, socket)
	if err != nil {
		return err
	}
	defer func() { _ = c.file.Close() }()
	if err := checkListener(c.fd, socket); err != nil {
		return err
	}
	if err := Write(c, req); err != nil {
		return err
	}
	return Read(c, resp)
}

const (
	// firstLook and lastLook are the least and the most time before ctx is looked at again; each wait is twice the one before. Most answers come
	// before the first. When a thousand wait for a cluster that is slow, looking must not be what makes it so.
	firstLook, lastLook = 20 * time.Millisecond, time.Second
	// queueFull is how long one waits when more want to be heard than the agent's queue holds.
	queueFull = 5 * time.Millisecond
)

// conn is the connection of one question. What it returns for a context that has ended is the cause of that.
type conn struct {
	ctx  context.Context //nolint:containedctx // of the one call that it serves: io.Reader and io.Writer take none
	fd   int
	file *os.File
	wait time.Duration
}

func connect(ctx context.Context, socket string) (*conn, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	c := &conn{ctx: ctx, fd: fd, wait: firstLook}
	for {
		switch err = unix.Connect(fd, &unix.SockaddrUnix{Name: socket}); {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN): // and there is no event for when it would succeed
			if err = c.ended(); err == nil {
				time.Sleep(queueFull) //nolint:forbidigo // for the kernel
				continue
			}
		case err != nil:
			err = &fs.PathError{Op: "connect", Path: socket, Err: err}
		}
		if err != nil {
			_ = unix.Close(fd)
			return nil, err
		}
		// Go's poller waits for it: a process that sleeps in the kernel instead has its scheduler look after it every 20 us.
		c.file = os.NewFile(uintptr(fd), socket)
		return c, nil
	}
}

// ended is why the context has ended; nil if it has not.
func (c *conn) ended() error {
	if deadline, ok := c.ctx.Deadline(); ok && !time.Now().Before(deadline) { //nolint:forbidigo // the kernel waits by real time
		return context.DeadlineExceeded
	}
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	return nil
}

// Read is io.Reader's.
func (c *conn) Read(p []byte) (int, error) { return c.retry(p, c.file.Read, c.file.SetReadDeadline) }

// Write is io.Writer's.
func (c *conn) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var some int
		some, err = c.retry(p[n:], c.file.Write, c.file.SetWriteDeadline)
		n += some
	}
	return n, err
}

// retry waits for one end of the connection, and looks at the context meanwhile.
func (c *conn) retry(p []byte, do func([]byte) (int, error), limit func(time.Time) error) (int, error) {
	for {
		if err := c.ended(); err != nil {
			return 0, err
		}
		until := time.Now().Add(c.wait) //nolint:forbidigo // the kernel waits by real time
		if deadline, ok := c.ctx.Deadline(); ok && deadline.Before(until) {
			until = deadline
		}
		if err := limit(until); err != nil {
			return 0, err
		}
		n, err := do(p)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		c.wait = min(2*c.wait, lastLook)
	}
}
