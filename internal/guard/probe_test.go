// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"errors"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/macpool/macpool/api/v1alpha1"
)

// A policy that fails closed and that nobody asks for, or that has no binding, or two, is one that this package was not told of.
func TestProbes(t *testing.T) {
	for _, policy := range guarding() {
		if _, ok := probes[policy.Name]; !ok {
			t.Errorf("policy %s has no probe", policy.Name)
		}
		n := 0
		for _, binding := range Bindings() {
			if binding.Spec.PolicyName == policy.Name {
				n++
			}
		}
		if n != 1 {
			t.Errorf("policy %s has %d bindings", policy.Name, n)
		}
	}
	if len(guarding()) == len(Policies()) {
		t.Error("there is no policy that only teaches any more: guarding() leaves nothing out")
	}
}

// What counts as the policy's refusal is its own, in its own words.
func TestAnswer(t *testing.T) {
	const policy = "macpool-claim-in-use"
	p := probes[policy]
	refusal := func(name, message string) error {
		return forbidden("ValidatingAdmissionPolicy '" + name + "' with binding '" + name + "' denied request: " + message)
	}
	for name, tc := range map[string]struct {
		answer  error
		why     string
		unknown bool
	}{
		"refused":              {answer: refusal(policy, "MP216: the claim is in use by a pod")},
		"nothing to guard":     {answer: errNothing},
		"taken":                {why: "was taken"},
		"with an error":        {answer: refusal(policy, "expression 'x' resulted in error: no such key: y"), why: "another reason than its own"},
		"with another code":    {answer: refusal(policy, "MP217: x"), why: "another reason than its own"},
		"by another policy":    {answer: refusal("somebody-else", "MP216: x"), why: "could not be asked"},
		"by RBAC":              {answer: forbidden("User cannot delete"), why: "could not be asked"},
		"the server is away":   {answer: errors.New("connection refused"), unknown: true},
		"it changed meanwhile": {answer: conflict(), unknown: true},
	} {
		t.Run(name, func(t *testing.T) {
			why, err := p.answer(policy, tc.answer)
			if (err != nil) != tc.unknown || (why == "") != (tc.why == "") || !strings.Contains(why, tc.why) {
				t.Errorf("got %q, %v; want %q, unknown: %t", why, err, tc.why, tc.unknown)
			}
		})
	}
}

var claimsResource = v1alpha1.GroupVersion.WithResource("macclaims").GroupResource()

func forbidden(why string) error {
	return apierrors.NewForbidden(claimsResource, "db-0", errors.New(why))
}

func conflict() error { return apierrors.NewConflict(claimsResource, "db-0", errors.New("it changed")) }
