// SPDX-License-Identifier: Apache-2.0

package binding_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

const networks = "k8s.v1.cni.cncf.io/networks"

// TestNamedClaim is of how a pod names its claim. Manager and agent ask the same function; args is what each of them has of the
// network's own.
func TestNamedClaim(t *testing.T) {
	for name, tc := range map[string]struct {
		annotation, iface, args string
		want                    string
		says                    string
	}{
		"nothing":                      {annotation: `iot`, iface: "net1"},
		"cni-args":                     {annotation: `[{"name": "iot", "cni-args": {"claim": "home-assistant"}}]`, iface: "net1", want: "home-assistant"},
		"ipam-claim-reference":         {annotation: `[{"name": "iot", "ipam-claim-reference": "vm.iot"}]`, iface: "net1", want: "vm.iot"},
		"both, equal":                  {annotation: `[{"name": "iot", "ipam-claim-reference": "a", "cni-args": {"claim": "a"}}]`, iface: "net1", want: "a"},
		"the second element":           {annotation: `[{"name": "x"}, {"name": "iot", "cni-args": {"claim": "a"}}]`, iface: "net2", want: "a"},
		"another interface's":          {annotation: `[{"name": "iot", "cni-args": {"claim": "a"}}, {"name": "x"}]`, iface: "net2"},
		"an interface that is named":   {annotation: `[{"name": "iot", "interface": "lan0", "cni-args": {"claim": "a"}}]`, iface: "lan0", want: "a"},
		"the network's":                {annotation: `iot`, iface: "net1", args: "a", want: "a"},
		"the pod's before the network": {annotation: `[{"name": "iot", "ipam-claim-reference": "b"}]`, iface: "net1", args: "a", want: "b"},
		"empty":                        {annotation: `[{"name": "iot", "cni-args": {"claim": ""}}]`, iface: "net1"},
		"no JSON":                      {annotation: `claim,`, iface: "net1"},
		"an element of another form":   {annotation: `["claim", {"name": "iot", "cni-args": {"claim": "a"}}]`, iface: "net2", want: "a"},

		"both, different":    {annotation: `[{"name": "iot", "ipam-claim-reference": "b", "cni-args": {"claim": "a"}}]`, iface: "net1", says: "claim a in its cni-args and claim b"},
		"not a name":         {annotation: `[{"name": "iot", "cni-args": {"claim": {"name": "a"}}}]`, iface: "net1", says: "claim must be the name of a MacClaim"},
		"a path":             {annotation: `[{"name": "iot", "cni-args": {"claim": "../../secrets/a"}}]`, iface: "net1", says: "not the name of an object"},
		"another namespace":  {annotation: `[{"name": "iot", "cni-args": {"claim": "other/a"}}]`, iface: "net1", says: "not the name of an object"},
		"the network's path": {annotation: `iot`, iface: "net1", args: "A", says: "not the name of an object"},
		"one claim twice":    {annotation: `[{"name": "iot", "cni-args": {"claim": "a"}}, {"name": "iot", "cni-args": {"claim": "a"}}]`, iface: "net1", says: "interfaces net1 and net2 both name claim a"},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "pod", Annotations: map[string]string{networks: tc.annotation}}}
			got, err := binding.NamedClaim(pod, tc.iface, tc.args)
			if tc.says != "" {
				if !problem.BadAnnotation.Is(err) || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("the error is %v, want BadAnnotation with %q", err, tc.says)
				}
				return
			}
			if err != nil || got != tc.want {
				t.Errorf("NamedClaim = %q, %v, want %q", got, err, tc.want)
			}
		})
	}
}

// Whatever a tenant writes, it is a problem of the catalogue or the name of an object, and never a panic.
func FuzzNamedClaims(f *testing.F) {
	for _, seed := range []string{`[null, {"cni-args": null, "ipam-claim-reference": "a"}]`, `[{"cni-args": {"claim": null}}]`, `{"claim": 1}`, "claim"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, annotation string) {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{networks: annotation}}}
		if _, err := binding.NamedClaim(pod, "net1", ""); err != nil && !problem.BadAnnotation.Is(err) {
			t.Errorf("%q: %v", annotation, err)
		}
	})
}

func TestOwnerOf(t *testing.T) {
	owned := func(apiVersion, kind, name string, labels map[string]string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "pod", Labels: labels, OwnerReferences: []metav1.OwnerReference{
			{APIVersion: "v1", Kind: "ConfigMap", Name: "no-controller"}, {APIVersion: apiVersion, Kind: kind, Name: name, Controller: new(true)},
		}}}
	}
	hash := map[string]string{binding.LabelTemplateHash: "7c9f"}
	static := owned("v1", "Node", "node-1", nil)
	static.Annotations = map[string]string{"kubernetes.io/config.mirror": "x"}
	for name, tc := range map[string]struct {
		pod  *corev1.Pod
		want v1alpha1.Owner
	}{
		"a bare pod":                       {&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "pod"}}, v1alpha1.Owner{Kind: "Pod", Name: "pod"}},
		"a Deployment's":                   {owned("apps/v1", "ReplicaSet", "home-assistant-7c9f", hash), v1alpha1.Owner{Kind: "Deployment", Name: "home-assistant"}},
		"a ReplicaSet of its own":          {owned("apps/v1", "ReplicaSet", "home-assistant", nil), v1alpha1.Owner{Kind: "ReplicaSet", Name: "home-assistant"}},
		"a ReplicaSet of another hash":     {owned("apps/v1", "ReplicaSet", "home-assistant-0", hash), v1alpha1.Owner{Kind: "ReplicaSet", Name: "home-assistant-0"}},
		"somebody's ReplicaSet":            {owned("example.com/v1", "ReplicaSet", "a-7c9f", hash), v1alpha1.Owner{Kind: "ReplicaSet", Name: "a-7c9f"}},
		"a ReplicaSet that is only a hash": {owned("apps/v1", "ReplicaSet", "-7c9f", hash), v1alpha1.Owner{Kind: "ReplicaSet", Name: "-7c9f"}},
		"a Job's":                          {owned("batch/v1", "Job", "backup-1", nil), v1alpha1.Owner{Kind: "Job", Name: "backup-1"}},
		"a static pod":                     {static, v1alpha1.Owner{Kind: "Pod", Name: "pod"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(&tc.want, binding.OwnerOf(tc.pod)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestChosen is of which claim of a person's a workload gets: whoever asks, and in whichever order the claims come, the same.
func TestChosen(t *testing.T) {
	workload := v1alpha1.Workload{Kind: v1alpha1.WorkloadStatefulSet, Name: "db", Ordinal: new(int32(0)), Interface: "net1"}
	claim := func(name string, age time.Duration, change ...func(*v1alpha1.MacClaim)) v1alpha1.MacClaim {
		w := workload
		c := v1alpha1.MacClaim{
			ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(time.Unix(1000, 0).Add(-age))},
			Spec:       v1alpha1.MacClaimSpec{PoolRef: v1alpha1.PoolRef{Name: "iot"}, Workload: &w},
		}
		for _, f := range change {
			f(&c)
		}
		return c
	}
	managed := func(c *v1alpha1.MacClaim) { c.Labels = map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy} }
	all := []v1alpha1.MacClaim{
		claim("managed", 9*time.Hour, managed),
		claim("of another pool", 8*time.Hour, func(c *v1alpha1.MacClaim) { c.Spec.PoolRef.Name = "dmz" }),
		claim("of another ordinal", 8*time.Hour, func(c *v1alpha1.MacClaim) { c.Spec.Workload.Ordinal = new(int32(1)) }),
		claim("of another interface", 8*time.Hour, func(c *v1alpha1.MacClaim) { c.Spec.Workload.Interface = "net2" }),
		claim("of nobody", 8*time.Hour, func(c *v1alpha1.MacClaim) { c.Spec.Workload = nil }),
		claim("young", time.Minute), claim("b", time.Hour), claim("a", time.Hour),
	}
	for range 20 {
		got := binding.Chosen(all, workload, "iot")
		if got == nil || got.Name != "a" {
			t.Fatalf("it chose %v", got)
		}
		all = append(all[1:], all[0])
	}
	if got := binding.Chosen(all[:0], workload, "iot"); got != nil {
		t.Errorf("it chose %v of none", got)
	}
}

// TestT6HolderOfNamedClaim : a pod names a claim that serves whoever names it, and that another holds. The pods of one workload follow each other, a pod of another
// workload is told whose the claim is, and a second interface of the pod does not get the first one's address (R-C19).
func TestT6HolderOfNamedClaim(t *testing.T) {
	c := newClient(t, nil)
	pool := newPool(t, c, v1alpha1.Subnet{CIDR: "192.168.50.0/24"})
	b := newBinder(t, c, pool)
	claim := newClaim(t, c, pool, newNamespace(t, c), "home-assistant", "192.168.50.8")
	holder := func(pod, owner, iface string) *v1alpha1.Holder {
		return &v1alpha1.Holder{
			PodName: pod, PodUID: types.UID("uid-" + pod), NodeName: "node-1", Interface: iface, Owner: &v1alpha1.Owner{Kind: "Deployment", Name: owner},
		}
	}
	claim, err := b.Bind(t.Context(), claim, pool, holder("ha-1", "home-assistant", "net1"))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		holder *v1alpha1.Holder
		want   *problem.Kind
		says   string
	}{
		"the same":               {holder: holder("ha-1", "home-assistant", "net1")},
		"the next of the set":    {holder: holder("ha-2", "home-assistant", "net1"), want: problem.ClaimHeld, says: "ha-1"},
		"another workload's":     {holder: holder("squatter", "other", "net1"), want: problem.ClaimOfAnother, says: "of Deployment home-assistant on node node-1, and this pod is of Deployment other"},
		"another interface":      {holder: holder("ha-1", "home-assistant", "net2"), want: problem.ClaimTwice, says: "net1"},
		"of an unknown workload": {holder: &v1alpha1.Holder{PodName: "x", PodUID: "x", NodeName: "node-1", Interface: "net1"}, want: problem.ClaimHeld},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := b.SetHolder(t.Context(), claim, *tc.holder)
			if tc.want == nil {
				if err != nil || got.Status.Generation != claim.Status.Generation {
					t.Errorf("SetHolder = %+v, %v", got, err)
				}
				return
			}
			if !tc.want.Is(err) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("the error is %v, want %s with %q", err, tc.want.Reason, tc.says)
			}
		})
	}
	now := &v1alpha1.MacClaim{}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(claim), now); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(claim.Status, now.Status); diff != "" {
		t.Errorf("the claim has changed:\n%s", diff)
	}
}
