// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
)

// settling is how long a claim may take before somebody is told that it waits.
const settling = time.Minute

// claims looks for claims that wait for an address, and for those whose holder is in doubt.
func claims(s *state) []Finding {
	var findings []Finding
	for i := range s.claims.Items {
		c := &s.claims.Items[i]
		name := c.Namespace + "/" + c.Name
		if bad := condition(c.Status.Conditions, v1alpha1.ClaimSuspect, metav1.ConditionTrue); bad != nil {
			f := said(bad.Message, "").about("macclaim.macpool.dev", c)
			f.What = fmt.Sprintf("claim %s is suspect: %s", name, f.What)
			if c.Status.Holder != nil {
				f.Node = c.Status.Holder.NodeName
			}
			findings = append(findings, f)
		}
		bad := condition(c.Status.Conditions, v1alpha1.ClaimReady, metav1.ConditionFalse)
		switch {
		case bad != nil && s.now.Sub(bad.LastTransitionTime.Time) > settling:
			f := said(bad.Message, "kubectl describe macclaim -n "+c.Namespace+" "+c.Name+" shows more.")
			f.What = fmt.Sprintf("claim %s has no address: %s", name, f.What)
			findings = append(findings, f.about("macclaim.macpool.dev", c))
		case len(c.Status.Conditions) == 0 && s.now.Sub(c.CreationTimestamp.Time) > settling:
			findings = append(findings, found(Fault, "See that a manager runs.", "claim %s has no address: no manager has looked at it yet", name).about("macclaim.macpool.dev", c))
		}
	}
	return findings
}
