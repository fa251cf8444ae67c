// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"syscall"
	"time"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
)

// statusLimit leaves the rest of the two seconds (R-C12) to the start of the process and to its end.
const statusLimit = agentapi.StatusTimeout - 200*time.Millisecond

// askLease is ask for the questions whose answer is a lease.
func (p *Plugin) askLease(ctx context.Context, req *agentapi.Request) (*agentapi.Lease, error) {
	lease, err := p.ask(ctx, req)
	if err == nil && lease == nil {
		return nil, problem.Internal.New("the agent answered without a lease")
	}
	return lease, err
}

// ask puts one question to the agent and waits for the answer, as long as ctx lets it. The connection stays open in both
// directions meanwhile and ends with the process: by that the agent knows that nobody waits any more.
func (p *Plugin) ask(ctx context.Context, req *agentapi.Request) (*agentapi.Lease, error) {
	// The part of an agentapi.Response that concerns a plugin.
	var resp struct {
		Error seldom[*agentapi.Error] `json:"error"`
		Lease *agentapi.Lease         `json:"lease"`
	}
	// The runtime's trace is handed on, and the agent records the spans: what this process linked for it, every call would pay.
	req.Trace = agentapi.Trace{Parent: p.Getenv("TRACEPARENT"), State: p.Getenv("TRACESTATE")}
	if err := agentapi.Exchange(ctx, p.socket(), req, &resp); err != nil {
		if problem.UntrustedSocket.Is(err) {
			return nil, err
		}
		return nil, problem.AgentUnreachable.New(p.socket(), inWords(ctx, err)).WithCause(err)
	}
	if said := resp.Error.is; said != nil {
		return nil, (*answer)(said)
	}
	return resp.Lease, nil
}

// inWords says why there is no answer, without the words that runtimes take for success in a DEL.
func inWords(ctx context.Context, err error) string {
	var timeout net.Error
	switch {
	case errors.Is(context.Cause(ctx), errCallerGone):
		return errCallerGone.Error()
	case errors.Is(err, fs.ErrNotExist):
		return "the socket does not exist"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nobody listens there"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout(), ctx.Err() != nil:
		return "it took too long"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET):
		return "it hung up"
	default:
		return harmless(fmt.Sprint(err))
	}
}

// answer is what the agent says is wrong. It knows its catalogue; the plugin may be older and only passes it on.
type answer agentapi.Error

// Error is the code and the sentence.
func (a *answer) Error() string { return a.Code + ": " + a.Message }
