// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

type (
	policyOf  = admissionv1.ValidatingAdmissionPolicy
	bindingOf = admissionv1.ValidatingAdmissionPolicyBinding
)

// never is a condition that never holds.
var never = admissionv1.MatchCondition{Name: "never", Expression: "false"}

// What somebody who may edit policies can do to one so that it refuses less.
var (
	brokenPolicies = map[string]func(*policyOf){
		"fails open":         func(p *policyOf) { p.Spec.FailurePolicy = new(admissionv1.Ignore) },
		"never matches":      func(p *policyOf) { p.Spec.MatchConditions = append(p.Spec.MatchConditions, never) },
		"of another version": func(p *policyOf) { p.Spec.MatchConstraints.ResourceRules[0].APIVersions = []string{"v0"} },
		"of fewer operations": func(p *policyOf) {
			p.Spec.MatchConstraints.ResourceRules[0].Operations = []admissionv1.OperationType{"CONNECT"}
		},
		"of another scope":       func(p *policyOf) { p.Spec.MatchConstraints.ResourceRules[0].Scope = new(admissionv1.NamespacedScope) },
		"of one version exactly": func(p *policyOf) { p.Spec.MatchConstraints.MatchPolicy = new(admissionv1.Exact) },
		"of some namespaces":     func(p *policyOf) { p.Spec.MatchConstraints.NamespaceSelector = some },
		"of some objects":        func(p *policyOf) { p.Spec.MatchConstraints.ObjectSelector = some },
		"leaves something out": func(p *policyOf) {
			p.Spec.MatchConstraints.ExcludeResourceRules = p.Spec.MatchConstraints.ResourceRules
		},
		"demands nothing":    func(p *policyOf) { p.Spec.Validations[len(p.Spec.Validations)-1].Expression = "true" },
		"asks somebody else": func(p *policyOf) { p.Spec.ParamKind = &admissionv1.ParamKind{APIVersion: "v1", Kind: "Secret"} },
		"knows one variable more": func(p *policyOf) {
			p.Spec.Variables = append(p.Spec.Variables, admissionv1.Variable{Name: "x", Expression: "1"})
		},
	}
	brokenBindings = map[string]func(*bindingOf){
		"audits":             func(b *bindingOf) { b.Spec.ValidationActions = []admissionv1.ValidationAction{admissionv1.Audit} },
		"of some namespaces": func(b *bindingOf) { b.Spec.MatchResources = &admissionv1.MatchResources{NamespaceSelector: some} },
		"of some objects":    func(b *bindingOf) { b.Spec.MatchResources = &admissionv1.MatchResources{ObjectSelector: some} },
		"asks for another parameter": func(b *bindingOf) {
			b.Spec.ParamRef = &admissionv1.ParamRef{Name: "nobody", Namespace: "default", ParameterNotFoundAction: new(admissionv1.AllowAction)}
		},
		"of another policy": func(b *bindingOf) { b.Spec.PolicyName = "macpool-mac-annotation" },
	}
	some = &metav1.LabelSelector{MatchLabels: map[string]string{"some": "where"}}
)

// Each edit of each policy is found by the comparison, and what the API server adds by itself is none.
func TestCompare(t *testing.T) {
	for _, want := range guarding() {
		got := &policyOf{}
		if err := api.Get(t.Context(), client.ObjectKey{Name: want.Name}, got); err != nil {
			t.Fatal(err)
		}
		if why := ComparePolicy(&want, got); why != "" {
			t.Errorf("policy %s as it was made: %s", want.Name, why)
		}
		for name, edit := range brokenPolicies {
			edited := got.DeepCopy()
			edit(edited)
			if ComparePolicy(&want, edited) == "" {
				t.Errorf("policy %s that %s is taken for what was installed", want.Name, name)
			}
		}
	}
	for _, want := range guardingBindings() {
		got := &bindingOf{}
		if err := api.Get(t.Context(), client.ObjectKey{Name: want.Name}, got); err != nil {
			t.Fatal(err)
		}
		elsewhere := got.DeepCopy()
		if elsewhere.Spec.ParamRef != nil { // another namespace is another installation
			elsewhere.Spec.ParamRef.Namespace = "elsewhere"
		}
		for _, same := range []*bindingOf{got, elsewhere} {
			if why := CompareBinding(&want, same); why != "" {
				t.Errorf("binding %s as it was made: %s", want.Name, why)
			}
		}
		for name, edit := range brokenBindings {
			edited := got.DeepCopy()
			edit(edited)
			if CompareBinding(&want, edited) == "" {
				t.Errorf("binding %s that %s is taken for what was installed", want.Name, name)
			}
		}
	}
}
