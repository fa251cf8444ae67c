// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"
	"k8s.io/utils/clock"

	"github.com/macpool/macpool/internal/agentapi"
)

const (
	// maxConnections are served at once; more wait in the socket's backlog. A node has some hundred pods.
	maxConnections = 512
	// drainTimeout is how long requests that are being served may go on when the agent ends: less than a pod's usual
	// termination grace period of 30 s.
	drainTimeout = 25 * time.Second
	// readTimeout bounds the time until a request has been sent, writeTimeout until its answer was taken.
	readTimeout  = 5 * time.Second
	writeTimeout = 5 * time.Second
)

// outcome is what a request came to.
type outcome struct {
	response agentapi.Response
	// settle, if set, is told whether the response was sent. It is called exactly once.
	settle func(sent bool)
}

// server answers the plugin on a UNIX socket, one request for each connection.
type server struct {
	path string
	// uid is the one user who may ask. SO_PEERCRED is checked although the socket's mode and directory say so too: a
	// container that has the directory mounted might be another user's (R-S7).
	uid uint32
	// trusted: the connections are the process's own, and have no credentials.
	trusted bool

	clock  clock.Clock
	log    logr.Logger
	handle func(ctx context.Context, req *agentapi.Request) outcome
	// limits are how long each command may take; a test shortens them.
	limits func(agentapi.Command) time.Duration
}

// listen makes the socket, for root alone. A socket file that is there is a dead agent's: the caller has the lock of the
// state directory.
func (s *server) listen(ctx context.Context) (net.Listener, error) {
	dir := filepath.Dir(s.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of the socket: %w", err)
	}
	// Also one that was there before: until the socket has its own mode, the directory keeps others away from it.
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // a directory needs the x bit
		return nil, fmt.Errorf("closing the directory of the socket: %w", err)
	}
	if err := os.Remove(s.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("removing the old socket: %w", err)
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "unix", s.path)
	if err != nil {
		return nil, fmt.Errorf("making the socket: %w", err)
	}
	if err := os.Chmod(s.path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("closing the socket to others: %w", err), listener.Close())
	}
	return listener, nil
}

// serve answers until ctx ends, then takes no more requests and lets those that are being served end.
func (s *server) serve(ctx context.Context, listener net.Listener) error {
	// Requests outlive ctx by the drain timeout: half an ADD helps nobody.
	requests, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()

	var serving sync.WaitGroup
	slots := make(chan struct{}, maxConnections)
	var failure error
	for {
		slots <- struct{}{}
		conn, err := listener.Accept()
		if err != nil {
			if ctx.Err() == nil {
				failure = fmt.Errorf("accepting on the socket: %w", errors.Join(err, listener.Close()))
			}
			break
		}
		serving.Go(func() {
			defer func() { <-slots }()
			defer func() { _ = conn.Close() }()
			if err := s.checkPeer(conn); err != nil {
				s.log.Error(err, "A connection was refused")
				return
			}
			s.converse(requests, conn)
		})
	}

	ended := make(chan struct{})
	go func() { serving.Wait(); close(ended) }()
	drained := s.clock.NewTimer(drainTimeout)
	defer drained.Stop()
	select {
	case <-ended:
	case <-drained.C():
		s.log.Info("Requests were cut off at the end of the drain time")
		abort()
		<-ended
	}
	return failure
}

// checkPeer tells whether the other end is the user who may ask. In a user namespace the kernel translates the uid, so that
// its root is 0 here.
func (s *server) checkPeer(conn net.Conn) error {
	if s.trusted {
		return nil
	}
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return fmt.Errorf("checking the peer: %T has no credentials", conn)
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return fmt.Errorf("checking the peer: %w", err)
	}
	var peer *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		peer, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(err, credErr); err != nil {
		return fmt.Errorf("checking the peer: %w", err)
	}
	if peer.Uid != s.uid {
		return fmt.Errorf("checking the peer: uid %d may not ask, only %d", peer.Uid, s.uid)
	}
	return nil
}
