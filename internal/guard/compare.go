// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"fmt"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/config"
)

// The policies and bindings that this program was built with.
var (
	Policies = config.Objects[admissionv1.ValidatingAdmissionPolicy](config.Policies, "policy/*_policy.yaml")
	Bindings = config.Objects[admissionv1.ValidatingAdmissionPolicyBinding](config.Policies, "policy/*_binding.yaml")
)

// ComparePolicy says in what a policy as it is served differs from the one of the release, nil for none that is served; nothing if in
// nothing. The words follow the policy's name.
func ComparePolicy(want, got *admissionv1.ValidatingAdmissionPolicy) string {
	if got == nil {
		return "there is no ValidatingAdmissionPolicy of that name"
	}
	ours, theirs := served(want), served(got)
	if *ours.FailurePolicy != *theirs.FailurePolicy {
		return fmt.Sprintf("it has failurePolicy %s and not %s", *theirs.FailurePolicy, *ours.FailurePolicy)
	}
	for _, part := range []struct {
		name         string
		ours, theirs any
	}{
		{"matchConstraints", ours.MatchConstraints, theirs.MatchConstraints},
		{"matchConditions", ours.MatchConditions, theirs.MatchConditions},
		{"paramKind", ours.ParamKind, theirs.ParamKind},
		{"variables", ours.Variables, theirs.Variables},
		{"validations", ours.Validations, theirs.Validations},
	} {
		if !equality.Semantic.DeepEqual(part.ours, part.theirs) {
			return "it has other rules than this program's, in its " + part.name
		}
	}
	return ""
}

// served is the policy's spec with the defaults of the API server.
func served(policy *admissionv1.ValidatingAdmissionPolicy) *admissionv1.ValidatingAdmissionPolicySpec {
	spec := policy.Spec.DeepCopy()
	if spec.FailurePolicy == nil {
		spec.FailurePolicy = new(admissionv1.Fail)
	}
	match := spec.MatchConstraints
	if match == nil {
		return spec
	}
	if match.MatchPolicy == nil {
		match.MatchPolicy = new(admissionv1.Equivalent)
	}
	if match.NamespaceSelector == nil {
		match.NamespaceSelector = &metav1.LabelSelector{}
	}
	if match.ObjectSelector == nil {
		match.ObjectSelector = &metav1.LabelSelector{}
	}
	for i := range match.ResourceRules {
		if rule := &match.ResourceRules[i]; rule.Scope == nil {
			rule.Scope = new(admissionv1.AllScopes)
		}
	}
	return spec
}

// CompareBinding is ComparePolicy of the binding. In which namespace its parameter is, if it has one, is the installer's choice: a probe sees
// whether it is there.
func CompareBinding(want, got *admissionv1.ValidatingAdmissionPolicyBinding) string {
	switch {
	case got == nil:
		return "there is no ValidatingAdmissionPolicyBinding of that name"
	case got.Spec.PolicyName != want.Spec.PolicyName:
		return "its binding is of policy " + got.Spec.PolicyName
	case !slices.Contains(got.Spec.ValidationActions, admissionv1.Deny):
		return "it is not bound with the action Deny, and so refuses nothing"
	case !matchesAll(got.Spec.MatchResources):
		return "its binding leaves something out, by matchResources"
	case !equality.Semantic.DeepEqual(anywhere(want.Spec.ParamRef), anywhere(got.Spec.ParamRef)):
		return "its binding has another paramRef than this program's"
	default:
		return ""
	}
}

// matchesAll tells whether a binding applies to all that its policy matches.
func matchesAll(match *admissionv1.MatchResources) bool {
	return match == nil || len(match.ResourceRules) == 0 && len(match.ExcludeResourceRules) == 0 && selectsAll(match.NamespaceSelector) && selectsAll(match.ObjectSelector)
}

func selectsAll(selector *metav1.LabelSelector) bool {
	return selector == nil || len(selector.MatchLabels) == 0 && len(selector.MatchExpressions) == 0
}

// anywhere is the reference without the namespace.
func anywhere(ref *admissionv1.ParamRef) *admissionv1.ParamRef {
	if ref == nil {
		return nil
	}
	elsewhere := ref.DeepCopy()
	elsewhere.Namespace = ""
	return elsewhere
}
