// SPDX-License-Identifier: Apache-2.0

// Package plugin is the CNI plugin macpool. It parses what the runtime says, asks the agent of the node, touches the pod's
// link, and prints the result. It decides nothing about addresses and holds no credential.
//
// Its roles are told apart by the input. As the IPAM plugin of macvlan or bridge it leases and sets the MAC on the link
// while that is still down, so that no frame ever leaves with another. As the last entry of the plugins it verifies the link
// and writes the true MAC into the result, which an IPAM plugin cannot do. As the plugin of the network it leases, and then runs
// another plugin, its delegate, with the MAC; it is that one's IPAM plugin too, and gives it the addresses of the lease, or those of
// another IPAM plugin if the lease is a MAC alone.
package plugin

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/cni"
)

// Versions are the CNI versions that are served.
var Versions = version.PluginSupports(cni.Versions()...)

// Plugin serves the verbs of CNI. Its fields are what it knows of the process around it. It may serve several calls, one
// after the other.
type Plugin struct {
	Getenv func(string) string
	// Stdout gets the result of ADD, in one write.
	Stdout io.Writer
	// Stderr gets the stack of a panic.
	Stderr io.Writer
}

// New is the plugin of this process.
func New() *Plugin {
	return &Plugin{Getenv: os.Getenv, Stdout: os.Stdout, Stderr: os.Stderr}
}

// Add leases an address for the link (IPAM), corrects the result of the plugins before (chained), or leases and has the link made
// (wrapper).
func (p *Plugin) Add(ctx context.Context, args *skel.CmdArgs) error {
	ctx, cancel := within(ctx, agentapi.AddTimeout)
	defer cancel()
	c, err := parseConf(args.StdinData)
	if err != nil {
		return err
	}
	as, err := c.role()
	if err != nil {
		return err
	}
	switch as {
	case chained:
		return p.addChained(ctx, args, c)
	case wrapper:
		return p.addWrapper(ctx, args, c)
	case inner:
		return p.addInner(ctx, args, c)
	default:
		return p.addIPAM(ctx, args, c)
	}
}

// Check compares the link, the lease and the result that the runtime has kept.
func (p *Plugin) Check(ctx context.Context, args *skel.CmdArgs) error {
	ctx, cancel := within(ctx, agentapi.CheckTimeout)
	defer cancel()
	c, err := parseConf(args.StdinData)
	if err != nil {
		return err
	}
	as, err := c.role()
	if err != nil {
		return err
	}
	switch as {
	case inner:
		return p.ownIPAM(ctx, "CHECK", args, c) // the wrapper checks the lease
	case wrapper:
		return p.checkWrapper(ctx, args, c)
	default:
		_, err := p.check(ctx, args, c, as)
		return err
	}
}

// Del gives the lease of the container's interface back. All that it needs is the container id: the rest of the input may
// be wrong or gone by now.
func (p *Plugin) Del(ctx context.Context, args *skel.CmdArgs) error {
	c := skimConf(args.StdinData)
	switch {
	case c.Type == Type && len(c.Delegate) != 0:
		return p.delWrapper(ctx, args, c)
	case c.Type == Type:
		return nil // the lease ends with the IPAM call of the same container
	case c.IPAM.Wrapped:
		return p.ownIPAM(ctx, "DEL", args, c) // the lease ends when the wrapper has seen the delegate's DEL
	default:
		return p.delIPAM(ctx, args, c)
	}
}

// GC tells the agent which attachments the runtime calls valid.
func (p *Plugin) GC(ctx context.Context, args *skel.CmdArgs) error {
	ctx, cancel := within(ctx, agentapi.GCTimeout)
	defer cancel()
	c, err := parseConf(args.StdinData)
	if err != nil {
		return err
	}
	as, err := c.role()
	if err != nil || as == inner {
		return err
	}
	req := agentapi.Request{Command: agentapi.GC, Network: c.Name, Pool: c.pool()}
	for _, a := range c.ValidAttachments.is {
		req.Valid = append(req.Valid, agentapi.Attachment{ContainerID: a.ContainerID, Interface: a.IfName})
	}
	_, err = p.ask(ctx, &req)
	if as == wrapper {
		return errors.Join(err, p.forward(ctx, "GC", args, c, known{}))
	}
	return err
}

// Status tells whether an ADD would be served. It is informed by the agent alone and always quick.
func (p *Plugin) Status(ctx context.Context, args *skel.CmdArgs) error {
	ctx, cancel := within(ctx, statusLimit)
	defer cancel()
	c, err := parseConf(args.StdinData)
	if err != nil {
		return err
	}
	as, err := c.role()
	if err != nil || as == inner {
		return err
	}
	if as != chained && c.pool() == "" {
		return c.noPool()
	}
	_, err = p.ask(ctx, &agentapi.Request{Command: agentapi.Status, Network: c.Name, Pool: c.pool()})
	if err == nil && as == wrapper {
		err = p.forward(ctx, "STATUS", args, c, known{})
	}
	return unavailable(err)
}

func (p *Plugin) socket() string {
	if s := p.Getenv(agentapi.SocketEnv); s != "" {
		return s
	}
	return agentapi.DefaultSocket
}

func (p *Plugin) spoolDir() string {
	dir := p.Getenv(agentapi.StateDirEnv)
	if dir == "" {
		dir = agentapi.DefaultStateDir
	}
	return filepath.Join(dir, agentapi.SpoolDir)
}

// errCallerGone ends an ADD whose result nobody would read.
var errCallerGone = errors.New("the caller is gone")
