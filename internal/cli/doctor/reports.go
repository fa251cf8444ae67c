// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"strings"
	"time"

	"github.com/macpool/macpool/api/v1alpha1"
)

// lately is how long a removed interface is worth a word.
const lately = time.Hour

// reports looks at what agents report of their own work: what they cannot end, and whom they hear.
func reports(s *state) []Finding {
	var findings []Finding
	reporting := s.reporting()
	for _, name := range sorted(reporting) {
		n := reporting[name]
		for _, f := range s.reportOf(n) {
			findings = append(findings, f.on(name).about("macnode.macpool.dev", n))
		}
	}
	return findings
}

func (s *state) reportOf(n *v1alpha1.MacNode) []Finding {
	var findings []Finding
	add := func(f Finding) { findings = append(findings, f) }
	if k := count(n.Status.Lingering); k > 0 {
		add(found(Fault, "See why the container runtime of the node does not end the sandboxes: crictl pods there shows them.",
			"%d interfaces are on node %s for more than ten minutes whose pods are gone, and keep their addresses", k, n.Name))
	}
	if k := count(n.Status.Spooled); k > 0 {
		add(found(Hint, "The agent takes them over by itself within seconds; if they stay, see its log.", "%d DELs wait in the spool of node %s", k, n.Name))
	}
	if k := count(n.Status.PendingClears); k > 0 {
		add(found(Hint, "The agent tells the API as soon as it can; if they stay, see its log.", "%d interfaces are gone from node %s, and their claims still name their pods", k, n.Name))
	}
	var fenced []string
	for _, f := range n.Status.Fenced {
		if s.now.Sub(f.FencedAt.Time) < lately {
			fenced = append(fenced, fmt.Sprintf("%s/%s (%s, %s)", f.Namespace, f.PodName, f.LeaseName, f.Reason))
		}
	}
	if len(fenced) > 0 {
		add(found(Hint, "Delete those pods if they are still there and wanted, so that they are attached again.",
			"node %s has removed interfaces within the last hour whose addresses belong to others now: %s", n.Name, some(fenced)))
	}
	for _, x := range n.Status.Strangers {
		add(found(Fault, "Find that device and give it another address; or delete the claim and its pod, and exclude the address from the pool: docs/conflicts.md.",
			"%s uses address %s of pool %s on the VLAN, which a pod on node %s has (lease %s)", strings.ToLower(x.MAC), x.IP, x.PoolName, n.Name, x.LeaseName))
	}
	return findings
}

func count(n *int32) int32 {
	if n == nil {
		return 0
	}
	return *n
}
