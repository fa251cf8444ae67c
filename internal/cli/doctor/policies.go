// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/internal/guard"
	"github.com/macpool/macpool/internal/problem"
)

// multicastPolicy is the policy that a dry run can be sure to meet.
const multicastPolicy = "macpool-mac-annotation"

// policies compares the admission policies and their bindings with those of this program, as the manager does, and asks whether they are in
// force.
func policies(s *state) []Finding {
	var findings []Finding
	for _, want := range guard.Policies() {
		got := named(s.policies.Items, want.Name)
		if why := guard.ComparePolicy(&want, got); why != "" {
			f := of(Fault, problem.PolicyNotInForce.New(want.Name, why))
			findings = append(findings, f.about("validatingadmissionpolicy.admissionregistration.k8s.io", &want))
		}
	}
	for _, want := range guard.Bindings() {
		why := guard.CompareBinding(&want, named(s.bindings.Items, want.Name))
		if why == "" {
			continue
		}
		f := of(Fault, problem.PolicyNotInForce.New(want.Spec.PolicyName, why))
		if want.Spec.PolicyName == multicastPolicy { // its own comment says how to switch it off
			f.Severity = Hint
		}
		findings = append(findings, f.about("validatingadmissionpolicybinding.admissionregistration.k8s.io", &want))
	}
	if len(findings) > 0 {
		return findings // what is in force of them says nothing
	}
	return inForce(s.refusal)
}

// named is the object of a name, nil if there is none.
func named[T any, P interface {
	*T
	metav1.Object
}](objects []T, name string) P {
	i := slices.IndexFunc(objects, func(o T) bool { return P(&o).GetName() == name })
	if i < 0 {
		return nil
	}
	return &objects[i]
}

// inForce judges the answer to a pod with a multicast MAC.
func inForce(refusal error) []Finding {
	switch {
	case refusal == nil:
		return []Finding{found(Fault,
			"See that the API server has ValidatingAdmissionPolicy (Kubernetes 1.30 or later), and that the namespace does not have the label macpool.dev/mac-policy=off.",
			"the policies are there and not in force: a dry run of a pod with a multicast MAC was taken")}
	case strings.Contains(refusal.Error(), problem.MulticastMAC.Code):
		return nil
	default:
		return []Finding{found(Unchecked, "", "whether the policies are in force: the dry run of a pod with a multicast MAC was answered otherwise: %v", refusal)}
	}
}
