// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"net/netip"

	"github.com/macpool/macpool/e2e/lab"
)

// checkFirstFrame looks at the first frame that has ever come from a node: the pod's first one, since nodes themselves are
// silent.
func (d *demo) checkFirstFrame(ctx context.Context, wire *lab.Capture, pod string) error {
	link, err := d.pods[pod].Link("net1")
	if err != nil {
		return err
	}
	var first lab.Frame
	err = d.until(ctx, "a frame of "+pod+" reaches the switch", func(context.Context) (bool, error) {
		frames := wire.Frames()
		if len(frames) > 0 {
			first = frames[0]
		}
		return len(frames) > 0, nil
	})
	if err != nil {
		return err
	}
	return d.check(first.Source == link.MAC, "the first frame that the switch saw of it came from %s: the leased MAC, and no other before", first.Source)
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
	strangers := map[string]int{}
	tagged := map[int]int{}
	for _, f := range all {
		if !d.leased[f.Source] {
			strangers[f.Source]++
		}
		tagged[f.VLAN]++
	}
	errs := []error{d.check(len(all) > 0 && len(strangers) == 0,
		"%d frames came from the nodes, none of them from a MAC that was not leased", len(all))}
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
