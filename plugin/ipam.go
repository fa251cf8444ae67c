// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"

	"github.com/containernetworking/cni/pkg/skel"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/cni"
	"github.com/macpool/macpool/internal/problem"
)

// addIPAM leases, sets the MAC and prints the addresses. Everything that can be wrong without a lease is looked at before
// the agent is asked; what fails afterwards gives the lease back, since macvlan does not call DEL when its IPAM's ADD failed.
func (p *Plugin) addIPAM(ctx context.Context, args *skel.CmdArgs, c *conf) error {
	if c.IPAM.Pool == "" {
		return c.noPool()
	}
	if err := c.refuseMain(); err != nil {
		return err
	}
	env := parseArgs(args.Args)
	if !env.complete() {
		return problem.NotAPod.New()
	}
	link, err := enterLink(args)
	if err != nil {
		return err
	}
	defer link.close()
	if err := link.ready(); err != nil {
		return err
	}

	req := request(agentapi.Add, args, c)
	req.Pod, req.Wish, req.Link = env.pod, c.wish(env), cni.Link(c.Type, c.raw)
	// When no answer comes back, whether there is a lease is the agent's to know: it sees the connection end.
	lease, err := p.askLease(ctx, req)
	if err != nil {
		return err
	}
	done := false
	defer func() { // also after a panic
		if !done {
			p.undo(ctx, args, c)
		}
	}()
	if err := p.finish(ctx, link, lease, c); err != nil {
		return err
	}
	done = true
	return nil
}

// finish is the part of ADD that has a lease.
func (p *Plugin) finish(ctx context.Context, link *podLink, lease *agentapi.Lease, c *conf) error {
	mac, err := leasedMAC(lease)
	if err != nil {
		return err
	}
	result, err := ipamResult(lease, c.IPAM)
	if err != nil {
		return err
	}
	if err := link.setMAC(mac); err != nil {
		return err
	}
	if !lease.Quiet {
		link.announce(c.Type)
	}
	if ctx.Err() != nil {
		return problem.Internal.New(context.Cause(ctx))
	}
	return p.print(result, c.CNIVersion)
}

// undo gives back the lease of an ADD that failed. Its own error has nowhere to go; the runtime's DEL comes in any case.
func (p *Plugin) undo(ctx context.Context, args *skel.CmdArgs, c *conf) {
	_ = p.release(context.WithoutCancel(ctx), request(agentapi.Del, args, c))
}

// delIPAM silences the link and gives the lease back. It fails only if the agent cannot be told, neither now nor later:
// main plugins keep the link when their IPAM's DEL fails.
func (p *Plugin) delIPAM(ctx context.Context, args *skel.CmdArgs, c *conf) error {
	// The link, its namespace or both may be gone, and the runtime may not know the namespace any more.
	_ = silence(args, c.Type)
	return p.release(ctx, request(agentapi.Del, args, c))
}

// release tells the agent that the attempt is over, or leaves the word in the spool.
func (p *Plugin) release(ctx context.Context, req *agentapi.Request) error {
	limited, cancel := within(ctx, agentapi.DelTimeout)
	defer cancel()
	_, err := p.ask(limited, req)
	if err == nil {
		return nil
	}
	if kept := spool(p.spoolDir(), req); kept != nil {
		return problem.DelNotKept.New(req.ContainerID, message(err), kept).WithCause(kept)
	}
	return nil
}

// request is what every question about one attachment says.
func request(command agentapi.Command, args *skel.CmdArgs, c *conf) *agentapi.Request {
	return &agentapi.Request{
		Command:     command,
		ContainerID: args.ContainerID,
		NetNS:       args.Netns,
		Interface:   args.IfName,
		Network:     c.Name,
		Pool:        c.pool(),
		Pod:         parseArgs(args.Args).pod,
	}
}
