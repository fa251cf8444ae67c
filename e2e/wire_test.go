// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/macpool/macpool/e2e/lab"
)

// capture listens at the switch for what pods of the nodes send on the VLAN.
func capture(t *testing.T, vlan int, nodes ...*lab.Node) []*lab.Capture {
	t.Helper()
	var wires []*lab.Capture
	for _, n := range nodes {
		w, err := n.Capture(vlan)
		if err != nil {
			t.Fatal(err)
		}
		wires = append(wires, w)
	}
	return wires
}

// isAgents tells whether a frame is an agent's, who asks for an address from its node's own link.
func isAgents(f lab.Frame) bool {
	return f.Asks() && slices.ContainsFunc(cluster.Nodes, func(n *lab.Node) bool { return n.IsParentMAC(f.Source) })
}

func assertFirstFrame(t *testing.T, w *lab.Capture, s *lab.Sandbox) {
	t.Helper()
	var first lab.Frame
	eventually(t, "a frame of the pod is seen", func(context.Context) error {
		frames := slices.DeleteFunc(slices.Clone(w.Frames()), isAgents)
		if len(frames) == 0 {
			return errors.New("none")
		}
		first = frames[0]
		return nil
	})
	if want := linkOf(t, s).MAC; first.Source != want {
		t.Errorf("the first frame came from %s, want the leased %s", first.Source, want)
	}
}

// assertOnly fails unless all frames came from the leased MACs, tagged where the laboratory tags.
func assertOnly(t *testing.T, wires []*lab.Capture, vlan int, leased []string) {
	t.Helper()
	if cluster.Backend == lab.BackendPlain {
		vlan = 0
	}
	for _, w := range wires {
		frames, err := w.Stop()
		if err != nil {
			t.Fatal(err)
		}
		if len(frames) == 0 {
			t.Error("nothing was captured")
		}
		for _, f := range frames {
			if f.VLAN == vlan && isAgents(f) {
				continue
			}
			if f.VLAN != vlan || !slices.Contains(leased, f.Source) {
				t.Errorf("a frame of type %#04x came from %s in VLAN %d, want only %v in %d", f.EtherType, f.Source, f.VLAN, leased, vlan)
			}
		}
	}
}

// assertReach pings from one pod to every address of the other.
func assertReach(t *testing.T, from, to *lab.Sandbox) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, p := range linkOf(t, to).IPs {
		if _, err := from.Ping(ctx, p.Addr()); err != nil {
			t.Error(err)
		}
	}
}
