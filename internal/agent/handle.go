// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"strings"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
	"github.com/macpool/macpool/internal/tracing"
)

// serve answers a request. It is the one place where errors become answers, are logged and are counted.
func (a *Agent) serve(ctx context.Context, req *agentapi.Request) outcome {
	start := a.clock.Now()
	var span tracing.Span
	if req.Command == agentapi.Add || req.Trace.Parent != "" { // runtimes ask for STATUS all the time
		ctx, span = a.options.Tracer.Begin(ctx, req)
	}
	var lease *agentapi.Lease
	var listed agentapi.Response
	var settle func(bool)
	var err error
	switch req.Command {
	case agentapi.Add:
		var g *given
		if g, err = a.add(ctx, req); err == nil {
			lease, settle = g.lease, g.settle
		}
	case agentapi.Lookup:
		lease, err = a.lookup(req)
	case agentapi.Del:
		err = a.del(req)
	case agentapi.Check:
		lease, err = a.check(ctx, req)
	case agentapi.Status:
		err = a.status(ctx, req)
	case agentapi.GC:
		err = a.gc(req)
	case agentapi.Attachments:
		listed = a.attachments(req.After)
	default:
		err = problem.BadRequest.New("there is no command " + string(req.Command))
	}

	out := outcome{response: listed, settle: settle}
	out.response.Lease = lease
	code := "ok"
	if err != nil {
		e := agentapi.NewError(err)
		switch req.Command {
		case agentapi.Status:
			e = unavailable(err)
		case agentapi.Del:
			e.Message, e.Fix = plainWords.Replace(e.Message), plainWords.Replace(e.Fix)
		case agentapi.Add, agentapi.Lookup, agentapi.Check, agentapi.GC, agentapi.Attachments:
		}
		code, out.response.Error = e.Code, e
	}
	a.metrics.observe(ctx, req, code, a.clock.Since(start))
	span.Set("macpool.code", code)
	if lease != nil {
		span.Set("macpool.lease", lease.Name)
	}
	span.End(err)
	a.report(req, lease, err)
	return out
}

// plainWords takes from a DEL's error the words that go-cni takes for success (R-C7).
var plainWords = strings.NewReplacer("not found", "missing", "no such file or directory", "the file is missing")

func (a *Agent) report(req *agentapi.Request, lease *agentapi.Lease, err error) {
	if err == nil && !a.log.V(1).Enabled() {
		return // to write down whom it is about costs more than to serve it
	}
	log := a.log.WithValues("command", req.Command, "container", req.ContainerID, "interface", req.Interface,
		"network", req.Network, "pool", req.Pool, "pod", req.Pod)
	switch {
	case errors.Is(err, errHungUp):
		log.Info("The caller of a request was gone", "error", err.Error())
	case err != nil && problem.Internal.Is(err), err != nil && problem.As(err) == nil:
		log.Error(err, "A request was not served")
	case err != nil:
		log.Info("A request was refused", "error", err.Error())
	case lease != nil:
		log.V(1).Info("Served", "lease", lease.Name, "mac", lease.MAC)
	default:
		log.V(1).Info("Served")
	}
}
