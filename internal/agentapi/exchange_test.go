// SPDX-License-Identifier: Apache-2.0

package agentapi_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/macpool/macpool/internal/agentapi"
)

// shortQueue listens on a socket whose queue is full, with the connection that fills it.
func shortQueue(t *testing.T) (socket string, listener net.Listener) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "agent.sock")
	if err := os.Chmod(filepath.Dir(socket), 0o700); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), socket)
	defer file.Close() //nolint:errcheck // the listener has its own
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: socket}), os.Chmod(socket, 0o600), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	if listener, err = net.FileListener(file); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	first, err := (&net.Dialer{}).DialContext(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = first.Close() })
	return socket, listener
}

// In a storm more want to be heard than the agent's queue holds. They wait for their turn, and no longer than they may.
func TestExchangeWaitsForItsTurn(t *testing.T) {
	socket, listener := shortQueue(t)
	limited, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := agentapi.Exchange(limited, socket, &agentapi.Request{Command: agentapi.Status}, &agentapi.Response{})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while the queue is full: %v", err)
	}

	answered := make(chan error, 1)
	go func() {
		answered <- agentapi.Exchange(t.Context(), socket, &agentapi.Request{Command: agentapi.Status}, &agentapi.Response{})
	}()
	for range 2 { // what has filled the queue, and the question
		conn, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			defer conn.Close() //nolint:errcheck // it is over
			if agentapi.Read(conn, &agentapi.Request{}) == nil {
				_ = agentapi.Write(conn, &agentapi.Response{})
			}
		}()
	}
	if err := <-answered; err != nil {
		t.Errorf("when its turn has come: %v", err)
	}
}

// A context that ends while the agent is silent ends the question, with its cause, and the connection.
func TestExchangeEndsWithItsContext(t *testing.T) {
	socket, listener := shortQueue(t)
	if _, err := listener.Accept(); err != nil {
		t.Fatal(err)
	}
	why := errors.New("nobody waits any more")
	ctx, cancel := context.WithCancelCause(t.Context())
	hungUp := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			hungUp <- err
			return
		}
		_ = agentapi.Read(conn, &agentapi.Request{})
		cancel(why)
		hungUp <- agentapi.Read(conn, &agentapi.Request{})
	}()
	if err := agentapi.Exchange(ctx, socket, &agentapi.Request{Command: agentapi.Status}, &agentapi.Response{}); !errors.Is(err, why) {
		t.Errorf("got %v, want %v", err, why)
	}
	if err := <-hungUp; err == nil {
		t.Error("the agent was asked again")
	}
}
