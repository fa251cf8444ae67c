// SPDX-License-Identifier: Apache-2.0

//go:build property

package protocoltest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// socket is a UNIX socket in memory, as far as the agent and its plugin use one: a write is buffered by the kernel and succeeds although
// nobody may ever read it, until the other end is closed.
type socket struct {
	// off is by how much the clock of who listens is wrong. Its deadlines are of that clock.
	off time.Duration

	mu      sync.Mutex
	backlog []net.Conn
	closed  bool
	changed chan struct{}
}

func newSocket(off time.Duration) *socket { return &socket{off: off, changed: make(chan struct{})} }

var _ net.Listener = &socket{}

func (s *socket) listen(context.Context) (net.Listener, error) { return s, nil }

func (s *socket) tellLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// dial connects to the socket, if somebody listens.
func (s *socket) dial() (*conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errRefused
	}
	near, far := newPair()
	far.off = s.off
	s.backlog = append(s.backlog, far)
	s.tellLocked()
	return near, nil
}

// Accept is net.Listener's.
func (s *socket) Accept() (net.Conn, error) {
	for {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return nil, net.ErrClosed
		}
		if len(s.backlog) > 0 {
			c := s.backlog[0]
			s.backlog = s.backlog[1:]
			s.mu.Unlock()
			return c, nil
		}
		changed := s.changed
		s.mu.Unlock()
		<-changed
	}
}

// Close is net.Listener's.
func (s *socket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, c := range s.backlog {
		_ = c.Close()
	}
	s.backlog = nil
	s.tellLocked()
	return nil
}

// Addr is net.Listener's.
func (s *socket) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

// pair is both directions of a connection.
type pair struct {
	mu      sync.Mutex
	buffers [2]bytes.Buffer // what the end of this index may read
	closed  [2]bool
	changed chan struct{}
}

// conn is one end of a pair.
type conn struct {
	*pair

	end      int
	off      time.Duration
	deadline time.Time
}

var _ net.Conn = &conn{}

func newPair() (near, far *conn) {
	p := &pair{changed: make(chan struct{})}
	return &conn{pair: p, end: 0}, &conn{pair: p, end: 1}
}

// Read is net.Conn's.
func (c *conn) Read(into []byte) (int, error) {
	for {
		c.mu.Lock()
		switch {
		case c.closed[c.end]:
			c.mu.Unlock()
			return 0, net.ErrClosed
		case c.buffers[c.end].Len() > 0:
			n, err := c.buffers[c.end].Read(into)
			c.mu.Unlock()
			return n, err
		case c.closed[1-c.end]:
			c.mu.Unlock()
			return 0, io.EOF
		}
		changed, deadline := c.changed, c.deadline
		c.mu.Unlock()
		if err := wait(changed, deadline); err != nil {
			return 0, err
		}
	}
}

func wait(changed <-chan struct{}, deadline time.Time) error {
	if deadline.IsZero() {
		<-changed
		return nil
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-changed:
		return nil
	case <-timer.C:
		return os.ErrDeadlineExceeded
	}
}

// Write is net.Conn's.
func (c *conn) Write(text []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed[c.end] || c.closed[1-c.end] {
		return 0, errors.New("write: broken pipe")
	}
	n, err := c.buffers[1-c.end].Write(text)
	c.tellLocked()
	return n, err
}

func (p *pair) tellLocked() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// Close is net.Conn's.
func (c *conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed[c.end] {
		c.closed[c.end] = true
		c.tellLocked()
	}
	return nil
}

// SetReadDeadline is net.Conn's.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deadline = t; !t.IsZero() {
		c.deadline = t.Add(-c.off)
	}
	c.tellLocked()
	return nil
}

// SetDeadline is net.Conn's.
func (c *conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetWriteDeadline is net.Conn's. A write never waits.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// LocalAddr is net.Conn's.
func (c *conn) LocalAddr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

// RemoteAddr is net.Conn's.
func (c *conn) RemoteAddr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }
