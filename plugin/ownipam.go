// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"encoding/json"
	"path/filepath"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/skel"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/macpool/macpool/internal/problem"
)

// ownIPAM has the IPAM plugin that a delegate names for itself do its part of a verb without a result. There is none if the lease has
// addresses. It is asked after the interface has its MAC, and told of the end before the interface goes, as by the delegate itself: dhcp
// gives its address back through the interface.
func (p *Plugin) ownIPAM(ctx context.Context, verb string, args *skel.CmdArgs, c *conf) error {
	if c.IPAM.IPAM == nil {
		return nil
	}
	_, err := p.runOwnIPAM(ctx, verb, args, c)
	return err
}

// runOwnIPAM gives the plugin the input that it would have got from the delegate: the delegate's, with the block that its author wrote.
func (p *Plugin) runOwnIPAM(ctx context.Context, verb string, args *skel.CmdArgs, c *conf) (*types100.Result, error) {
	var kind struct {
		Type string `json:"type"`
	}
	var top object
	if err := json.Unmarshal(c.raw, &top); err != nil {
		return nil, badJSON(err)
	}
	if err := json.Unmarshal(c.IPAM.IPAM, &kind); err != nil {
		return nil, badJSON(err)
	}
	path, err := findIPAM(kind.Type, args, c.Name)
	if err != nil {
		return nil, err
	}
	top["ipam"] = c.IPAM.IPAM
	return p.exec(ctx, verb, args, otherPlugin{kind: kind.Type, path: path, network: c.Name, stdin: encode(top), args: args.Args})
}

func findIPAM(kind string, args *skel.CmdArgs, network string) (string, error) {
	path, err := invoke.FindInPath(kind, filepath.SplitList(args.Path))
	if err != nil {
		return "", problem.IPAMMissing.New(kind, network, args.Path).WithCause(err)
	}
	return path, nil
}
