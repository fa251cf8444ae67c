// SPDX-License-Identifier: Apache-2.0

package binding_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
)

// TestAssign is which claim of a Deployment each of its pods gets. A claim is written as number, holder and last holder: "0:a", "1:-a".
func TestAssign(t *testing.T) {
	family := v1alpha1.Workload{Kind: "Deployment", Name: "web", Interface: "net1"}
	for name, tc := range map[string]struct{ claims, waiting, want string }{
		"the first":                                      {"", "a", "a=0"},
		"in their order":                                 {"", "a b c", "a=0 b=1 c=2"},
		"the lowest that is free":                        {"0:a 1: 2:b 3:", "c d e", "c=1 d=3 e=4"},
		"a surge takes a further one":                    {"0:a", "b", "b=1"},
		"one that is not there yet comes in between":     {"0:a 2:b", "c", "c=1"},
		"its own again, whatever is free":                {"0: 1:-a", "b a", "a=1 b=0"},
		"another's, which lives, is not free":            {"0:-a", "b a", "a=0 b=1"},
		"one's whose last holder is gone":                {"0:-x", "b", "b=0"},
		"the lower of two of its own, the other is free": {"0:-a 1:-a", "b a", "a=0 b=1"},
		"one under deletion is not free":                 {"0:! 1:", "a", "a=1"},
	} {
		t.Run(name, func(t *testing.T) {
			claims := []v1alpha1.MacClaim{ // which are none of its
				claimOf(family, 0, func(c *v1alpha1.MacClaim) { c.Spec.PoolRef.Name = "other" }),
				claimOf(v1alpha1.Workload{Kind: "Deployment", Name: "web", Interface: "net2"}, 0),
				claimOf(v1alpha1.Workload{Kind: "CloneSet", Name: "web", Interface: "net1"}, 0),
			}
			for text := range strings.FieldsSeq(tc.claims) {
				number, who, _ := strings.Cut(text, ":")
				claims = append(claims, claimOf(family, int32(number[0]-'0'), func(c *v1alpha1.MacClaim) {
					past, was := strings.CutPrefix(who, "-")
					switch {
					case who == "!":
						c.DeletionTimestamp = &metav1.Time{}
						*c.DeletionTimestamp = metav1.Now()
					case was:
						c.Status.PreviousHolders = []v1alpha1.PreviousHolder{{PodUID: types.UID(past)}, {PodUID: "older"}}
					case who != "":
						c.Status.Holder = &v1alpha1.Holder{PodUID: types.UID(who)}
					}
				}))
			}
			var waiting []types.UID
			for uid := range strings.FieldsSeq(tc.waiting) {
				waiting = append(waiting, types.UID(uid))
			}
			got := map[string]string{}
			for uid, slot := range binding.Assign(claims, family, "iot", waiting) {
				got[string(uid)] = fmt.Sprint(*slot.Workload.Ordinal)
				if there := strings.Contains(" "+tc.claims, fmt.Sprintf(" %d:", *slot.Workload.Ordinal)); there != (slot.Claim != nil) {
					t.Errorf("of number %d it says that it is there: %v", *slot.Workload.Ordinal, slot.Claim != nil)
				}
			}
			want := map[string]string{}
			for pair := range strings.FieldsSeq(tc.want) {
				uid, number, _ := strings.Cut(pair, "=")
				want[uid] = number
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func claimOf(w v1alpha1.Workload, n int32, change ...func(*v1alpha1.MacClaim)) v1alpha1.MacClaim {
	w.Ordinal = &n
	c := v1alpha1.MacClaim{
		ObjectMeta: metav1.ObjectMeta{Name: binding.ClaimName(w, "iot"), Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}},
		Spec:       v1alpha1.MacClaimSpec{PoolRef: v1alpha1.PoolRef{Name: "iot"}, Workload: &w},
	}
	for _, f := range change {
		f(&c)
	}
	return c
}

// TestNamesOfManyKinds : no two workloads spell one claim's name, and a workload knows its own.
func TestNamesOfManyKinds(t *testing.T) {
	two := int32(2)
	seen := map[string]string{}
	for want, w := range map[string]v1alpha1.Workload{
		"web-2.iot.net1":              {Kind: "StatefulSet", Name: "web", Ordinal: &two, Interface: "net1"},
		"web.deployment-2.iot.net1":   {Kind: "Deployment", Name: "web", Ordinal: &two, Interface: "net1"},
		"web.cloneset-2.iot.net1":     {Kind: "CloneSet", Name: "web", Ordinal: &two, Interface: "net1"},
		"web.daemonset-n1.iot.net1":   {Kind: "DaemonSet", Name: "web", Node: "n1", Interface: "net1"},
		"?web-x-deployment-2.iot.x":   {Kind: "Deployment", Name: "web.x", Ordinal: &two, Interface: "net1"},
		"?web-daemonset-n1-lan.iot.x": {Kind: "DaemonSet", Name: "web", Node: "n1.lan", Interface: "net1"},
	} {
		name := binding.ClaimName(w, "iot")
		prefix, hashed := strings.CutPrefix(want, "?")
		if name != want && (!hashed || !strings.HasPrefix(name, prefix)) {
			t.Errorf("%v is called %s, want %s", w, name, want)
		}
		if other, ok := seen[name]; ok {
			t.Errorf("%s is %s's, and %s's", name, other, want)
		}
		seen[name] = want
		if w.Ordinal = nil; w.Kind != "StatefulSet" && (!binding.MayBeOf(name, w, "iot") || binding.MayBeOf(name, w, "other") || binding.MayBeOf("db-0.iot.net1", w, "iot")) {
			t.Errorf("%v does not know its claims", w)
		}
	}
}
