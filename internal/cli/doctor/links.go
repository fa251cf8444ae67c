// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/network"
	"github.com/macpool/macpool/internal/problem"
)

// links looks at the links by which nodes reach the VLANs of pools.
func links(s *state) []Finding {
	var findings []Finding
	reporting, pools := s.reporting(), s.poolsByName()
	for _, name := range sorted(pools) {
		p := pools[name]
		for _, parent := range p.Spec.Parents {
			if stated, want := network.VLANOfLink(parent.Link), vlanOf(p); stated != 0 && want != 0 && stated != want {
				findings = append(findings, found(Fault, fmt.Sprintf("Name a link on VLAN %d in spec.parents of the pool.", want),
					"pool %s is of VLAN %d, and its parent %s seems to be on VLAN %d", name, want, parent.Link, stated).about("macpool.macpool.dev", p))
			}
		}
	}
	for _, node := range sorted(reporting) {
		n := reporting[node]
		if !s.inContact(n) {
			continue // what it said last may not be so any more
		}
		for _, parent := range n.Status.Parents {
			pool := pools[parent.PoolName]
			if pool == nil || parent.State == v1alpha1.ParentReady {
				continue
			}
			findings = append(findings, linkTrouble(node, parent).on(node).about("macnode.macpool.dev", n))
		}
	}
	return findings
}

func vlanOf(pool *v1alpha1.MacPool) int {
	if pool.Spec.VLAN == nil {
		return 0
	}
	return int(*pool.Spec.VLAN)
}

// linkTrouble is what is wrong with a link that is not Ready.
func linkTrouble(node string, parent v1alpha1.NodeParent) Finding {
	const ask = "ip -d link show %s on the node shows more; docs/wrapper.md says what makes a node ready."
	switch parent.State {
	case v1alpha1.ParentMissing:
		return of(Fault, problem.ParentMissing.New(parent.Link, node, parent.PoolName).
			WithFix("Make the link on the node, or correct the master of the networks or the parents of the pool. "+ask, parent.Link))
	case v1alpha1.ParentDown:
		return found(Fault, "Set it up, and see that its cable or bond has carrier. "+fmt.Sprintf(ask, parent.Link),
			"link %s of node %s, by which it reaches pool %s, is down or has no carrier", parent.Link, node, parent.PoolName)
	case v1alpha1.ParentSilent, v1alpha1.ParentReady:
	}
	return found(Fault, "See that the switch port of the node lets the VLAN through, and that the gateway is up. If the VLAN has none, take it out of the pool's subnet.",
		"the gateway of pool %s does not answer on link %s of node %s: the VLAN seems not to reach it", parent.PoolName, parent.Link, node)
}
