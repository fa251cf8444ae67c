// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/macpool/macpool/internal/wire"
)

// As soon as a claim has a holder on the node, the VLAN is asked, once; the ADD finds the verdict. One that is older than a minute is renewed.
func TestVerdictIsThereAhead(t *testing.T) {
	f, s := newFixture(t), newSegment()
	f.link(t)
	n := s.startNode(t)
	pod := f.newPod(t, "web", n.name, "")
	ip := f.prebind(t, n, pod).Status.IPs[0]
	eventually(t, "the question ahead of the ADD", func() error {
		if got := n.agent.verdicts.clean.Load(); got != 1 || s.probes(ip) != 1 {
			return fmt.Errorf("%d verdicts, %d questions", got, s.probes(ip))
		}
		return nil
	})
	if resp := n.ask(t, f.onVLAN("c1", pod)); resp.Error != nil {
		t.Fatal(*resp.Error)
	}
	if got := s.probes(ip); got != 1 {
		t.Errorf("it was asked for %d times, want once", got)
	}

	late := f.newPod(t, "late", n.name, "")
	ip = f.prebind(t, n, late).Status.IPs[0]
	eventually(t, "the question ahead of the ADD", func() error {
		if s.probes(ip) != 1 || n.agent.verdicts.clean.Load() != 2 {
			return errors.New("not yet")
		}
		return nil
	})
	n.clock.ahead.Add(int64(verdictLife))
	eventually(t, "the report after the jump of the clock", func() error {
		if !n.agent.contact.cachesHold() {
			return errNotReady
		}
		return nil
	})
	if resp := n.ask(t, f.onVLAN("c2", late)); resp.Error != nil {
		t.Fatal(*resp.Error)
	}
	if got := s.probes(ip); got != 2 {
		t.Errorf("it was asked for %d times, want twice", got)
	}
}

// R-L1: between the verdict and the ADD somebody else probes for the address, or uses it. The verdict does not count any more.
func TestVerdictIsRefuted(t *testing.T) {
	f, s := newFixture(t), newSegment()
	f.link(t)
	n := s.startNode(t)
	pod := f.newPod(t, "web", n.name, "")
	claim := f.prebind(t, n, pod)
	ip := claim.Status.IPs[0]
	eventually(t, "the verdict", func() error {
		if n.agent.verdicts.clean.Load() != 1 {
			return errors.New("not yet")
		}
		return nil
	})
	for _, h := range []wire.Heard{
		{IP: netip.MustParseAddr(ip), MAC: claim.Status.MAC, Probe: true},       // its own, or as good as
		{IP: netip.MustParseAddr("192.168.50.254"), MAC: rogueMAC, Probe: true}, // for another
	} {
		s.heard <- h
	}
	n.agent.verdicts.mu.Lock()
	for _, v := range n.agent.verdicts.all {
		if v.void {
			t.Error("what was heard does not concern the address")
		}
	}
	n.agent.verdicts.mu.Unlock()
	s.heard <- wire.Heard{IP: netip.MustParseAddr(ip), MAC: rogueMAC, Probe: true}
	s.heard <- wire.Heard{} // the one before was taken
	s.set(func() { s.uses[ip] = rogueMAC })
	resp := n.ask(t, f.onVLAN("c1", pod))
	if resp.Error != nil || resp.Lease.Name == claim.Status.LeaseName {
		t.Errorf("the verdict was believed: %+v", resp)
	}
}
