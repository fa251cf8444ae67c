// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"github.com/macpool/macpool/internal/network"
	"github.com/macpool/macpool/internal/problem"
)

// networks says of networks that name macpool what the manager tells their authors.
func networks(s *state) []Finding {
	var findings []Finding
	pools := s.poolsByName()
	for i := range s.networks.Items {
		nad := &s.networks.Items[i]
		read, _ := network.Of(nad) // what is wrong with it, Lint says too
		for _, p := range network.Lint(nad, pools[read.Pool]) {
			severity := Fault
			if p.Kind == problem.ChainedEntryMissing || p.Kind == problem.IgnoredSettings {
				severity = Hint // pods work
			}
			f := of(severity, p).about("network-attachment-definition.k8s.cni.cncf.io", nad)
			if p.Kind == problem.BadConfig {
				f.What = "network " + nad.Namespace + "/" + nad.Name + ": " + f.What
			}
			findings = append(findings, f)
		}
	}
	return findings
}
