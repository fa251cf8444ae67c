// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"net/netip"

	"github.com/macpool/macpool/e2e/lab"
)

// checkFirstFrame looks at the first frame that has ever come from a node but its agent's questions whether anybody uses the address: the
// pod's first one, since nodes themselves are silent.
func (d *demo) checkFirstFrame(ctx context.Context, wire *lab.Capture, pod string) error {
	link, err := d.pods[pod].Link("net1")
	if err != nil {
		return err
	}
	var first lab.Frame
	err = d.until(ctx, "a frame of "+pod+" reaches the switch", func(context.Context) (bool, error) {
		for _, f := range wire.Frames() {
			if !d.isAgents(f) {
				first = f
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	return d.check(first.Source == link.MAC, "the first frame that the switch saw of it came from %s: the leased MAC, and no other before", first.Source)
}

// isAgents tells whether a frame is an agent's, who asks from its node's own link whether anybody uses an address.
func (d *demo) isAgents(f lab.Frame) bool {
	return f.Asks() && (d.nodeA.IsParentMAC(f.Source) || d.nodeB.IsParentMAC(f.Source))
}

// judgeWire looks at every frame that was sent in the demo.
func (d *demo) judgeWire(context.Context) error {
	var all []lab.Frame
	for _, w := range []*lab.Capture{d.wireA, d.wireB} {
		frames, err := w.Stop()
		if err != nil {
			return err
		}
		all = append(all, frames...)
	}
	strangers, asked := map[string]int{}, 0
	tagged := map[int]int{}
	for _, f := range all {
		switch {
		case d.isAgents(f):
			asked++
		case !d.leased[f.Source]:
			strangers[f.Source]++
		}
		tagged[f.VLAN]++
	}
	errs := []error{d.check(len(all) > asked && len(strangers) == 0,
		"%d frames came from the pods, none of them from a MAC that was not leased, and %d questions of the agents", len(all)-asked, asked)}
	if len(strangers) > 0 {
		d.say("   strangers: %v", strangers)
	}
	if d.lab.Backend != lab.BackendPlain {
		errs = append(errs, d.check(tagged[0] == 0 && tagged[50]+tagged[60] == len(all),
			"all of them were tagged: %d with VLAN 50, %d with VLAN 60", tagged[50], tagged[60]))
	}
	return errors.Join(errs...)
}

// mustIP is the first address of a pod's net1.
func mustIP(s *lab.Sandbox) netip.Addr {
	ip, _ := netip.AddrFromSlice(s.Attachments[0].Result.IPs[0].Address.IP)
	return ip.Unmap()
}
