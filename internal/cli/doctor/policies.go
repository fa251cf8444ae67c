// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/macpool/macpool/internal/problem"
)

// multicastPolicy is the policy that a dry run can be sure to meet.
const multicastPolicy = "macpool-mac-annotation"

// policies compares the admission policies and their bindings with those of this program, and asks whether they are in force.
func policies(s *state) []Finding {
	var findings []Finding
	for _, want := range ownPolicies() {
		i := slices.IndexFunc(s.policies.Items, func(p admissionv1.ValidatingAdmissionPolicy) bool { return p.Name == want.Name })
		about := func(f Finding) {
			findings = append(findings, f.about("validatingadmissionpolicy.admissionregistration.k8s.io", &want))
		}
		if i < 0 {
			about(found(Fault, installAgain, "there is no ValidatingAdmissionPolicy %s", want.Name))
			continue
		}
		got := &s.policies.Items[i]
		if a, b := failure(&want), failure(got); a != b {
			about(found(Fault, installAgain, "ValidatingAdmissionPolicy %s has failurePolicy %s and not %s", want.Name, b, a))
		}
		if rulesOf(&want) != rulesOf(got) {
			about(found(Fault, installAgain, "ValidatingAdmissionPolicy %s has other rules than this program's", want.Name))
		}
	}
	for _, want := range ownBindings() {
		bound := slices.ContainsFunc(s.bindings.Items, func(b admissionv1.ValidatingAdmissionPolicyBinding) bool {
			return b.Spec.PolicyName == want.Spec.PolicyName && slices.Contains(b.Spec.ValidationActions, admissionv1.Deny)
		})
		if bound {
			continue
		}
		f := found(Fault, installAgain, "ValidatingAdmissionPolicy %s is not bound with the action Deny, and so refuses nothing", want.Spec.PolicyName)
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

func failure(p *admissionv1.ValidatingAdmissionPolicy) admissionv1.FailurePolicyType {
	if p.Spec.FailurePolicy == nil {
		return admissionv1.Fail // the API server's default
	}
	return *p.Spec.FailurePolicy
}

// rulesOf is what a policy matches and demands, without what the API server adds to it.
func rulesOf(p *admissionv1.ValidatingAdmissionPolicy) string {
	var b strings.Builder
	if p.Spec.MatchConstraints != nil {
		for _, r := range p.Spec.MatchConstraints.ResourceRules {
			fmt.Fprintln(&b, r.APIGroups, r.APIVersions, r.Resources, r.Operations)
		}
	}
	for _, c := range p.Spec.MatchConditions {
		fmt.Fprintln(&b, c.Name, c.Expression)
	}
	for _, v := range p.Spec.Variables {
		fmt.Fprintln(&b, v.Name, v.Expression)
	}
	for _, v := range p.Spec.Validations {
		fmt.Fprintln(&b, v.Expression, v.Message, v.MessageExpression)
	}
	return b.String()
}
