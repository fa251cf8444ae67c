// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	"k8s.io/utils/clock"

	"github.com/macpool/macpool/internal/agentapi"
)

const (
	// maxConnections are served at once; more wait in the socket's backlog. A node has some hundred pods.
	maxConnections = 512
	// A node that starts 110 pods with 16 interfaces each, whose runtime checks each interface, makes 5280 connections, if all at once.
	// burst is more than that. What comes faster than perSecond after it waits: a caller gone mad costs the node that much, and no more.
	burst     = 8192
	perSecond = 256
	// drainTimeout is how long requests that are being served may go on when the agent ends: less than a pod's usual
	// termination grace period of 30 s.
	drainTimeout = 25 * time.Second
	// readTimeout bounds the time until a request has been sent, however slowly its sender writes, writeTimeout until its answer was taken.
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
	// uid is the one user who may ask.
	uid uint32
	// trusted: the connections are the process's own, and have no credentials.
	trusted bool

	clock  clock.Clock
	log    logr.Logger
	handle func(ctx context.Context, req *agentapi.Request) outcome
	// limits are how long each command may take; reading and writing how long a caller may take. Tests shorten them.
	limits           func(agentapi.Command) time.Duration
	reading, writing time.Duration
	// pace is how fast connections are taken.
	pace *rate.Limiter
}

// newServer is a server with the limits that a node has.
func newServer(path string, uid uint32, clk clock.Clock, log logr.Logger, handle func(context.Context, *agentapi.Request) outcome) *server {
	return &server{
		path: path, uid: uid, clock: clk, log: log, handle: handle,
		limits: limitOf, reading: readTimeout, writing: writeTimeout, pace: rate.NewLimiter(perSecond, burst),
	}
}

// serve answers until ctx ends, then takes no more requests and lets those that are being served end.
func (s *server) serve(ctx context.Context, listener net.Listener) error {
	// Requests outlive ctx by the drain timeout: half an ADD helps nobody.
	requests, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()

	home := newDoor(s, listener)
	var serving sync.WaitGroup
	slots := make(chan struct{}, maxConnections)
	var failure error
	for {
		slots <- struct{}{}
		conn, err := home.accept(ctx)
		if err != nil {
			if ctx.Err() == nil {
				failure = fmt.Errorf("accepting on the socket: %w", errors.Join(err, listener.Close()))
			}
			break
		}
		serving.Go(func() {
			defer func() { <-slots }()
			defer func() { _ = conn.Close() }()
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
