// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
)

// overrun is how long a handler may go on after its deadline before it is answered for.
const overrun = 200 * time.Millisecond

// limitOf is how long a command may take: a little less than the plugin waits, so that the plugin hears why.
func limitOf(command agentapi.Command) time.Duration {
	whole := agentapi.CheckTimeout
	switch command {
	case agentapi.Add:
		whole = agentapi.AddTimeout
	case agentapi.Del:
		whole = agentapi.DelTimeout
	case agentapi.Status:
		whole = agentapi.StatusTimeout
	case agentapi.GC:
		whole = agentapi.GCTimeout
	case agentapi.Lookup, agentapi.Check, agentapi.Attachments:
	}
	return whole - whole/5
}

// errHungUp is the cause of a request's end when its caller has closed the connection.
var errHungUp = errors.New("the caller hung up")

// converse reads one request and answers it.
func (s *server) converse(ctx context.Context, conn net.Conn) {
	req := &agentapi.Request{}
	_ = conn.SetReadDeadline(s.clock.Now().Add(s.reading))
	if err := agentapi.Read(conn, req); err != nil {
		s.send(conn, agentapi.Response{Error: agentapi.NewError(problem.BadRequest.New(err))})
		return
	}
	_ = conn.SetReadDeadline(time.Time{})

	limit := s.limits(req.Command)
	deadline, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	request, hangUp := context.WithCancelCause(deadline)
	defer hangUp(nil)
	var gone atomic.Bool
	go func() {
		awaitHangUp(conn)
		gone.Store(true)
		// What DEL and GC undo must be undone whether somebody waits for it or not.
		if req.Command != agentapi.Del && req.Command != agentapi.GC {
			hangUp(errHungUp)
		}
	}()

	done := make(chan outcome, 1)
	go func() { done <- s.protect(request, req) }()
	late := s.clock.NewTimer(limit + overrun)
	defer late.Stop()
	select {
	case out := <-done:
		s.settle(out, !gone.Load() && s.send(conn, out.response))
	case <-late.C():
		// The handler hangs where no context reaches it, in a write to a dead disk say.
		err := problem.Internal.New(fmt.Sprintf("%s took longer than %s", req.Command, limit))
		s.send(conn, agentapi.Response{Error: agentapi.NewError(err)})
		s.settle(<-done, false)
	}
}

// maxChatter is how much may follow a request. The plugin has nothing more to say than the end of its line.
const maxChatter = 64

// awaitHangUp returns when the other end has closed the connection, or this one has; or when the other end goes on talking, which is as
// good as gone: nobody reads that.
func awaitHangUp(conn net.Conn) {
	_, _ = io.CopyN(io.Discard, conn, maxChatter)
}

// protect turns a panic into an answer.
func (s *server) protect(ctx context.Context, req *agentapi.Request) (out outcome) {
	defer func() {
		if r := recover(); r != nil {
			s.log.Error(fmt.Errorf("%v", r), "A request panicked", "command", req.Command, "stack", string(debug.Stack()))
			out = outcome{response: agentapi.Response{Error: agentapi.NewError(problem.Internal.New(r))}}
		}
	}()
	return s.handle(ctx, req)
}

// settle tells a request's handler whether its answer was sent. A panic is logged: the agent is the whole node's.
func (s *server) settle(out outcome, sent bool) {
	if out.settle == nil {
		return
	}
	defer func() {
		if r := recover(); r != nil {
			s.log.Error(fmt.Errorf("%v", r), "A request panicked after its answer", "sent", sent, "stack", string(debug.Stack()))
		}
	}()
	out.settle(sent)
}

func (s *server) send(conn net.Conn, response agentapi.Response) bool {
	_ = conn.SetWriteDeadline(s.clock.Now().Add(s.writing))
	return agentapi.Write(conn, response) == nil
}
