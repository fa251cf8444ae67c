// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"

	"github.com/containernetworking/plugins/pkg/ns"
)

// BecomeNode makes of the process, which AddMachine has started on a machine, the runtime of its node: it makes the parent
// links and calls the laboratory. Where the machine is a kernel, umlinit has furnished it.
func BecomeNode(ctx context.Context) (*Node, net.Conn, error) {
	text, err := os.ReadFile(os.Getenv(machineConfigEnv)) //nolint:gosec // the laboratory sets it
	if err != nil {
		return nil, nil, fmt.Errorf("reading what %s names: %w", machineConfigEnv, err)
	}
	var c machineConfig
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, nil, fmt.Errorf("reading what %s names: %w", machineConfigEnv, err)
	}
	if err := c.connect(); err != nil {
		return nil, nil, err
	}
	l := &Lab{Dir: c.Dir, Backend: BackendVLAN, ctx: ctx, opts: c.Options}
	n, err := l.newNode(c.Name)
	if err != nil {
		return nil, nil, err
	}
	if n.ns, err = ns.GetCurrentNS(); err != nil {
		return nil, nil, fmt.Errorf("opening the own network namespace: %w", err)
	}
	l.Nodes = []*Node{n}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp4", c.Callback)
	if err != nil {
		return nil, nil, fmt.Errorf("calling the laboratory: %w", err)
	}
	return n, conn, nil
}

// connect brings the links up. Those of the node say nothing by themselves: what the switch sees was sent by pods.
func (c *machineConfig) connect() error {
	for _, links := range []string{"all", "default"} {
		if err := silenceIPv6(links); err != nil {
			return err
		}
	}
	for _, link := range []string{"lo", machineTrunk} {
		if err := setUp(link); err != nil {
			return err
		}
	}
	if err := setAddress(machineNetwork, c.Address); err != nil {
		return err
	}
	for _, vid := range c.VLANs {
		name := parentName(vid)
		if err := addTagged(BackendVLAN, machineTrunk, vid, name); err != nil {
			return err
		}
		if err := setUp(name); err != nil {
			return err
		}
	}
	return nil
}
