// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"net"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/cni"
	"github.com/macpool/macpool/internal/problem"
)

// delegateEnd is how long a delegate may take to remove its interface. Runtimes give a DEL a minute; the rest of it is the lease's.
const delegateEnd = 30 * time.Second

// addWrapper leases, and has the delegate make the interface. What can be wrong without a lease is looked at before. What fails afterwards
// is undone in the reverse order: first the interface goes, then the lease (R-C14).
func (p *Plugin) addWrapper(ctx context.Context, args *skel.CmdArgs, c *conf) error {
	d, err := c.delegate()
	if err != nil {
		return err
	}
	if err := p.refuseDelegation(args, c, d); err != nil {
		return err
	}
	env := parseArgs(args.Args)
	if !env.complete() {
		return problem.NotAPod.New()
	}
	req := request(agentapi.Add, args, c)
	req.Pod, req.Wish, req.Link, req.NeedsParent = env.pod, c.wish(env), cni.Link(d.kind, d.raw), d.needsMaster
	req.MACAlone, req.IPAM = d.block.Type != Type, d.own
	lease, err := p.askLease(ctx, req)
	if err != nil {
		return err
	}
	done := false
	defer func() { // also after a panic
		if !done {
			p.undoWrapped(context.WithoutCancel(ctx), args, c, d)
		}
	}()
	result, err := p.delegateAdd(ctx, args, c, d, lease)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return problem.Internal.New(context.Cause(ctx))
	}
	if err := p.print(result, c.CNIVersion); err != nil {
		return err
	}
	done = true
	return nil
}

// refuseDelegation refuses what cannot work, so that a network that never can leaves no lease behind. An interface of the name
// is not ours, and is not to be removed when the delegate fails for it.
func (p *Plugin) refuseDelegation(args *skel.CmdArgs, c *conf, d *delegate) error {
	if c.Pool == "" {
		return c.noPool()
	}
	why, err := cni.DelegateRefusal(d.kind, d.raw)
	if err != nil {
		return badJSON(err)
	}
	if why != "" {
		return problem.UnsupportedMain.New(d.kind, why)
	}
	if _, err := d.find(args, c.Name); err != nil {
		return err
	}
	if d.own != "" {
		if _, err := findIPAM(d.own, args, c.Name); err != nil {
			return err
		}
	}
	link, err := openLink(args)
	if err == nil {
		link.close()
		return problem.InterfaceExists.New(args.IfName, args.Netns)
	}
	if !isAbsent(err) {
		return err
	}
	return nil
}

// delegateAdd runs the delegate, and compares what it has made with the lease. A caller that is gone does not stop the delegate in the
// middle of its work, of which its DEL might see nothing; the time limit of ADD does.
func (p *Plugin) delegateAdd(ctx context.Context, args *skel.CmdArgs, c *conf, d *delegate, lease *agentapi.Lease) (*types100.Result, error) {
	mac, err := leasedMAC(lease)
	if err != nil {
		return nil, err
	}
	wanted := &types100.Result{}
	switch alone := len(lease.IPs) == 0; {
	case !alone && d.own != "": // by an agent of an older release
		return nil, problem.OwnIPAM(c.Name, d.own, c.Pool)
	case !alone:
		if wanted, err = ipamResult(lease, d.block); err != nil {
			return nil, err
		}
	}
	limited, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	if deadline, ok := ctx.Deadline(); ok {
		limited, cancel = context.WithDeadline(limited, deadline)
		defer cancel()
	}
	if d.needsMaster && lease.Parent == "" { // an agent of an older release
		return nil, problem.BadDelegate.New(c.Name, "it names no master, and the agent of the node has named none either")
	}
	result, err := p.run(limited, "ADD", args, c, d, knownOf(lease))
	if err != nil {
		return nil, err
	}
	if err := d.verify(args, lease, mac); err != nil {
		return nil, err
	}
	if err := d.complete(result, wanted, args, lease, mac); err != nil {
		return nil, err
	}
	return result, nil
}

// verify compares the pod's link with the lease. A delegate may ignore the MAC, or have set another one since it has asked for the addresses.
func (d *delegate) verify(args *skel.CmdArgs, lease *agentapi.Lease, mac net.HardwareAddr) error {
	link, err := enterLink(args)
	if err != nil {
		return err
	}
	defer link.close()
	if has := link.MAC; has.String() != mac.String() {
		return problem.DelegateDiffers.New(d.kind, args.IfName, "MAC "+has.String(), "MAC "+mac.String())
	}
	return link.verify(lease, mac, true)
}

// complete makes the result right: the interface has the MAC that its link has, and the addresses are those of the lease. A
// delegate may have read the MAC before its ipam has set it, or report less than there is.
func (d *delegate) complete(result, wanted *types100.Result, args *skel.CmdArgs, lease *agentapi.Lease, mac net.HardwareAddr) error {
	index := -1
	for i, iface := range result.Interfaces {
		if iface != nil && iface.Name == args.IfName && iface.Sandbox != "" {
			iface.Mac, index = mac.String(), i
		}
	}
	if index < 0 {
		index = len(result.Interfaces)
		result.Interfaces = append(result.Interfaces, &types100.Interface{Name: args.IfName, Mac: mac.String(), Sandbox: args.Netns})
	}
	for _, ip := range result.IPs {
		if has := prefixOf(&ip.Address); len(lease.IPs) > 0 && !isLeased(lease, has) {
			return problem.DelegateDiffers.New(d.kind, args.IfName, has.String(), describe(leasedIPs(lease)))
		}
		if ip.Interface == nil {
			ip.Interface = &index
		}
	}
	if len(result.IPs) < len(wanted.IPs) {
		result.IPs = wanted.IPs
		for _, ip := range result.IPs {
			ip.Interface = &index
		}
	}
	if result.DNS.IsEmpty() {
		result.DNS = wanted.DNS
	}
	return nil
}

// undoWrapped undoes an ADD. Its own errors have nowhere to go; the runtime's DEL comes in any case.
func (p *Plugin) undoWrapped(ctx context.Context, args *skel.CmdArgs, c *conf, d *delegate) {
	_ = p.end(ctx, args, c, d)
}

// delWrapper has the delegate remove the interface, and gives the lease back. A delegate that cannot be read has made nothing.
func (p *Plugin) delWrapper(ctx context.Context, args *skel.CmdArgs, c *conf) error {
	d, err := c.delegate()
	if err != nil {
		d = nil
	}
	return p.end(ctx, args, c, d)
}

// end runs the delegate's DEL, and then gives the lease back, also if the delegate failed: the interface is set down then. Only one that
// is still up after that keeps its lease, until the runtime tries again or the agent sees it go (I3).
func (p *Plugin) end(ctx context.Context, args *skel.CmdArgs, c *conf, d *delegate) error {
	kind := "that cannot be read"
	var failed error
	if d != nil {
		kind = d.kind
		limited, cancel := within(ctx, delegateEnd)
		defer cancel()
		_, failed = p.run(limited, "DEL", args, c, d, known{})
	}
	if setDown(args) != nil && isUpIn(args) {
		if failed == nil {
			failed = problem.DelegateFailed.New("DEL", kind, c.Name, "interface "+args.IfName+" is still up")
		}
		return failed
	}
	if err := p.release(ctx, request(agentapi.Del, args, c)); err != nil {
		return err
	}
	return failed
}

// checkWrapper compares lease, link and result, and has the delegate do the same by what it knows.
func (p *Plugin) checkWrapper(ctx context.Context, args *skel.CmdArgs, c *conf) error {
	lease, err := p.check(ctx, args, c, wrapper)
	if err != nil {
		return err
	}
	return p.forward(ctx, "CHECK", args, c, knownOf(lease))
}

// addInner gives the delegate the addresses of the lease that the wrapper has. If its interface is there and has another MAC, it gets
// the leased one before it is up; if it is up with another one, the delegate gets nothing.
func (p *Plugin) addInner(ctx context.Context, args *skel.CmdArgs, c *conf) error {
	lease, err := p.askLease(ctx, request(agentapi.Lookup, args, c))
	if err != nil {
		return err
	}
	mac, err := leasedMAC(lease)
	if err != nil {
		return err
	}
	var result *types100.Result
	if c.IPAM.IPAM == nil {
		if result, err = ipamResult(lease, c.IPAM); err != nil {
			return err
		}
	}
	link, err := enterLink(args)
	switch {
	case err == nil:
		defer link.close()
		if err := link.prepare(c.Type, mac); err != nil {
			return err
		}
	case !isAbsent(err): // some make it later; the wrapper looks at it in any case
		return err
	}
	if result == nil {
		if result, err = p.runOwnIPAM(ctx, "ADD", args, c); err != nil {
			return err
		}
	}
	return p.print(result, c.CNIVersion)
}

// prepare sets the leased MAC on a link that is still down. One that is up has it already: the delegate took it when it made the link.
func (l *podLink) prepare(kind string, mac net.HardwareAddr) error {
	if err := refuseKind(l.Link); err != nil {
		return err
	}
	if !l.Up {
		if err := l.setMAC(mac); err != nil {
			return err
		}
		l.announce(kind)
		return nil
	}
	if l.MAC.String() != mac.String() {
		return problem.DelegateDiffers.New(kind, l.name, "MAC "+l.MAC.String(), "MAC "+mac.String())
	}
	return nil
}
