// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/internal/problem"
)

// T26: a policy that is inert. Whatever is done to one, the manager is not ready within a minute, says which it is, and is ready again when that
// is put right. The dry run finds by itself that the API server does not ask the policy: the same edit is seen by the write alone.
func TestT26InertPolicy(t *testing.T) {
	g, _, recorder := newGuard(t)
	if g.Ready(nil) == nil {
		t.Fatal("ready before anybody has asked")
	}
	start(t, g)
	becomes(t, g, gomega.BeNil())

	for _, binding := range guardingBindings() {
		t.Run(binding.Name+" unbound", func(t *testing.T) {
			taken(t, binding.Spec.PolicyName, false)
			drop(t, &binding)
			becomes(t, g, notInForce(binding.Spec.PolicyName, "no ValidatingAdmissionPolicyBinding"))
			taken(t, binding.Spec.PolicyName, true)
			for policy, value := range gathered(t, g) {
				if (value == 0) != (policy == binding.Spec.PolicyName) {
					t.Errorf("the metric of policy %s is %v", policy, value)
				}
			}
			restore(t, &binding)
			becomes(t, g, gomega.BeNil())
			if note := <-recorder.Events; !strings.Contains(note, "Warning "+problem.PolicyNotInForce.Reason) || !strings.Contains(note, binding.Spec.PolicyName) {
				t.Errorf("event %q", note)
			}
			for len(recorder.Events) > 0 {
				<-recorder.Events // while it is put right the reason may change
			}
		})
	}
	for _, policy := range guarding() {
		t.Run(policy.Name+" deleted", func(t *testing.T) {
			drop(t, &policy)
			becomes(t, g, notInForce(policy.Name, "no ValidatingAdmissionPolicy of that name"))
			restore(t, &policy)
			becomes(t, g, gomega.BeNil())
		})
	}
	for _, name := range slices.Sorted(maps.Keys(brokenPolicies)) {
		t.Run("a policy that "+name, func(t *testing.T) {
			policy := &policyOf{ObjectMeta: metav1.ObjectMeta{Name: "macpool-claim-in-use"}}
			edit(t, policy, brokenPolicies[name])
			becomes(t, g, notInForce(policy.Name, ""))
			edit(t, policy, func(p *policyOf) { p.Spec = named(guarding(), policy.Name).Spec })
			becomes(t, g, gomega.BeNil())
		})
	}
	for _, name := range slices.Sorted(maps.Keys(brokenBindings)) {
		t.Run("a binding that "+name, func(t *testing.T) {
			binding := &bindingOf{ObjectMeta: metav1.ObjectMeta{Name: "macpool-claim-in-use"}}
			edit(t, binding, brokenBindings[name])
			becomes(t, g, notInForce("macpool-claim-in-use", ""))
			edit(t, binding, func(b *bindingOf) { b.Spec = named(Bindings(), binding.Name).Spec })
			becomes(t, g, gomega.BeNil())
		})
	}
	// What no comparison shows: all objects are as they were installed, and the policies are bound to what is not there.
	t.Run("without their parameter", func(t *testing.T) {
		set := daemonSet()
		if err := api.Get(t.Context(), client.ObjectKeyFromObject(set), set); err != nil {
			t.Fatal(err)
		}
		drop(t, set)
		becomes(t, g, gomega.And(notInForce("macpool-pool-in-use", "was taken"), notInForce("macpool-claim-in-use", "was taken")))
		restore(t, set)
		becomes(t, g, gomega.BeNil())
	})
}

// An API server that is away says nothing of the policies: who was ready stays so, and who was not does not become so (T26).
func TestAPIServerAway(t *testing.T) {
	g, line, _ := newGuard(t)
	line.cut.Store(true)
	g.look(t.Context())
	if err := g.Ready(nil); err == nil || !strings.Contains(err.Error(), "has not answered yet") {
		t.Errorf("at the start: %v", err)
	}
	line.cut.Store(false)
	gomega.NewWithT(t).Eventually(func() error {
		g.look(t.Context())
		return g.Ready(nil)
	}, minute, often).Should(gomega.Succeed())
	line.cut.Store(true)
	g.look(t.Context())
	if err := g.Ready(nil); err != nil {
		t.Errorf("while the API server is away: %v", err)
	}
}

// gathered is what the guard tells Prometheus: policy -> value.
func gathered(t *testing.T, g *Guard) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(g)
	families, err := registry.Gather()
	if err != nil || len(families) != 1 {
		t.Fatalf("%d metrics, %v", len(families), err)
	}
	values := map[string]float64{}
	for _, m := range families[0].Metric {
		values[m.Label[0].GetValue()] = m.GetGauge().GetValue()
	}
	return values
}

// notInForce matches the error that says so of a policy.
func notInForce(policy, why string) types.GomegaMatcher {
	sentence := problem.PolicyNotInForce.New(policy, "").WithFix("").Error()
	return gomega.MatchError(gomega.And(gomega.ContainSubstring(sentence), gomega.ContainSubstring(why)))
}

// taken waits until the dry run alone says whether the API server asks the policy.
func taken(t *testing.T, policy string, want bool) {
	t.Helper()
	g, _, _ := newGuard(t)
	gomega.NewWithT(t).Eventually(func() (bool, error) {
		why, err := probes[policy].answer(policy, probes[policy].write(t.Context(), g.Live, g.Cache))
		return strings.Contains(why, "was taken"), err
	}, minute, often).Should(gomega.Equal(want))
}

// drop deletes an object, and restore makes it anew.
func drop(t *testing.T, object client.Object) {
	t.Helper()
	if err := api.Delete(t.Context(), object.DeepCopyObject().(client.Object)); err != nil { //nolint:errcheck // a copy has the type of its original
		t.Fatal(err)
	}
}

func restore(t *testing.T, object client.Object) {
	t.Helper()
	again := object.DeepCopyObject().(client.Object) //nolint:errcheck // a copy has the type of its original
	again.SetResourceVersion("")
	if err := api.Create(t.Context(), again); err != nil {
		t.Fatal(err)
	}
}

// edit changes the spec of an object.
func edit[T client.Object](t *testing.T, object T, change func(T)) {
	t.Helper()
	if err := api.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
		t.Fatal(err)
	}
	change(object)
	if err := api.Update(t.Context(), object); err != nil {
		t.Fatal(err)
	}
}

// named is a copy of the object of a name.
func named[T any, P interface {
	*T
	client.Object
}](objects []T, name string) P {
	i := slices.IndexFunc(objects, func(o T) bool { return P(&o).GetName() == name })
	return P(&objects[i]).DeepCopyObject().(P) //nolint:errcheck // a copy has the type of its original
}
