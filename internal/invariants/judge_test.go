// SPDX-License-Identifier: Apache-2.0

package invariants_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/invariants"
)

// R-O3: a world in order violates nothing, whatever is cooling, reserved or migrating in it.
func TestHealthy(t *testing.T) {
	found := invariants.Judge(healthy())
	for _, v := range found.Violations {
		t.Errorf("%s %s", v.Invariant, v.Sentence)
	}
	for _, r := range found.Remarks {
		if !strings.Contains(r, "virtual machine") {
			t.Errorf("remark: %s", r)
		}
	}
}

// index of what the tests break.
func leaseOf(w *invariants.World, ip string) *v1alpha1.MacLease {
	for i := range w.Leases {
		if w.Leases[i].Name == "vlan-50."+ip {
			return &w.Leases[i]
		}
	}
	panic("no lease of " + ip)
}

func claimOf(w *invariants.World, name string) *v1alpha1.MacClaim {
	for i := range w.Claims {
		if w.Claims[i].Name == name {
			return &w.Claims[i]
		}
	}
	panic("no claim " + name)
}

// R-O3: each of I1 to I8 that is violated is found, and named with what it is about and what to do.
func TestViolations(t *testing.T) {
	const db0 = "db-0.iot.net1"
	ip := netip.MustParseAddr
	for name, tc := range map[string]struct {
		breaks func(w *invariants.World)
		want   []string // invariant and a part of the sentence, in order
	}{
		"I1 two leases with one MAC": {func(w *invariants.World) {
			leaseOf(w, "192.168.50.11").Spec.MAC = "02:32:00:a8:32:0a"
		}, []string{
			"I1 leases vlan-50.192.168.50.10 and vlan-50.192.168.50.11 all have 02:32:00:a8:32:0a", "I4 claim app/db-1.iot.net1 says", "I7 no lease locks the other",
		}},
		"I1 two claims with one lease": {func(w *invariants.World) {
			c := *claimOf(w, "router")
			c.Name, c.UID = "copy", "copy"
			w.Claims = append(w.Claims, c)
		}, []string{"I1 claims app/router and app/copy all have 00:1b:21:00:00:01 and 192.168.50.14", "I4 claim app/copy names lease"}},
		"I1 two interfaces with one address": {func(w *invariants.World) {
			w.Agents["n2"][0].Kernel.IPs = []netip.Addr{ip("192.168.50.10"), ip("192.168.50.11")}
		}, []string{
			"I1 interface net1 of pod app/db-0 on node n1 and interface net1 of pod app/db-1 on node n2 both have 192.168.50.10",
			"I1 has address 192.168.50.10 too, which is leased to claim app/db-0.iot.net1",
		}},
		"I1 an address that the next claim may get": {func(w *invariants.World) {
			w.Agents["n2"][0].Kernel.IPs = append(w.Agents["n2"][0].Kernel.IPs, ip("192.168.50.99"), ip("192.168.50.205"), ip("192.168.50.15"), ip("10.0.0.1"))
		}, []string{"I1 has address 192.168.50.99 too, which pool iot leases"}},
		"I1 a stranger that a node hears": {func(w *invariants.World) {
			w.Reports[0].Status.Strangers = []v1alpha1.Stranger{{LeaseName: "vlan-50.192.168.50.10", PoolName: "iot", IP: "192.168.50.10", MAC: "00:11:22:33:44:55"}}
		}, []string{"I1 00:11:22:33:44:55 on the VLAN uses 192.168.50.10, which is attached on node n1"}},
		"I1 a stranger on a lease that a pod has": {func(w *invariants.World) {
			leaseOf(w, "192.168.50.10").Spec.Conflict = &v1alpha1.Conflict{MAC: "00:11:22:33:44:55", NodeName: "n1", SeenAt: present}
		}, []string{"I1 00:11:22:33:44:55 on the VLAN uses the address of lease vlan-50.192.168.50.10, which pod app/db-0 has"}},
		"I2 attached, and its lease released": {func(w *invariants.World) {
			leaseOf(w, "192.168.50.10").Spec.ReleasedAt = &present
		}, []string{"I2 interface net1 of pod app/db-0 on node n1 has vlan-50.192.168.50.10, which is released", "I2 pod app/db-0 holds claim db-0.iot.net1, whose lease"}},
		"I2 attached, and its lease gone": {func(w *invariants.World) {
			leaseOf(w, "192.168.50.10").Name = "vlan-50.192.168.50.40"
			leaseOf(w, "192.168.50.40").Spec.ClaimRef = v1alpha1.ClaimRef{Namespace: "app", Name: "router", UID: "claim-router"}
		}, []string{
			"I2 and there is no such lease", "I2 pod app/db-0 holds claim db-0.iot.net1, whose lease vlan-50.192.168.50.10 does not exist",
			"I5 lease vlan-50.192.168.50.40 is kept for nobody: its claim app/router has vlan-50.192.168.50.14", "I7 those of its slot are",
		}},
		"I2 attached, and another pod is the holder": {func(w *invariants.World) {
			h := claimOf(w, db0).Status.Holder
			h.PodUID, h.PodName, h.NodeName, h.NodeUID = "pod-db-1", "db-1", "n2", "n2"
			h.Interface = "net2"
		}, []string{"I2 and does not hold claim db-0.iot.net1: pod db-1 on node n2 does"}},
		"I2 a generation that did not rise": {func(w *invariants.World) {
			claimOf(w, db0).Status.PreviousHolders[0].Generation = 3
		}, []string{"I2 claim app/db-0.iot.net1: pod db-0 held it as generation 3, and who came after as 3"}},
		"I3 another MAC": {func(w *invariants.World) {
			w.Agents["n1"][0].Kernel.MAC = "02:00:00:00:00:01"
		}, []string{"I3 interface net1 of pod app/db-0 on node n1 has MAC 02:00:00:00:00:01, and was given 02:32:00:a8:32:0a"}},
		"I3 its address is gone": {func(w *invariants.World) {
			w.Agents["n1"][0].Kernel.IPs = nil
		}, []string{"I3 does not have its address 192.168.50.10, but none"}},
		"I3 the pod is on another node": {func(w *invariants.World) { w.Pods[0].Spec.NodeName = "n2" }, []string{"I3 pod app/db-0 holds claim db-0.iot.net1 on node n1, and runs on node n2"}},
		"I3 one interface, two claims": {func(w *invariants.World) {
			h := *claimOf(w, db0).Status.Holder
			claimOf(w, "router").Status.Holder, claimOf(w, "router").Status.Generation = &h, 3
		}, []string{"I3 interface net1 of pod app/db-0 holds claims db-0.iot.net1 and router"}},
		"I3 a report that is wrong": {func(w *invariants.World) {
			*w.Reports[1].Status.Attached = 7
		}, []string{"I3 node n2 reports 7 attached interfaces, and its agent's journal has 2"}},
		"I4 the claim says another address": {func(w *invariants.World) {
			claimOf(w, "router").Status.IPs = []string{"192.168.50.16"}
		}, []string{"I4 claim app/router says 00:1b:21:00:00:01 and 192.168.50.16, and its lease vlan-50.192.168.50.14 has"}},
		"I4 the claim has another lease than the interface": {func(w *invariants.World) {
			addClaim(w, "new", "192.168.50.30", "02:32:00:a8:32:1e")
			w.Claims = w.Claims[:len(w.Claims)-1]
			leaseOf(w, "192.168.50.30").Spec.ClaimRef = leaseOf(w, "192.168.50.10").Spec.ClaimRef
			s := &claimOf(w, db0).Status
			s.LeaseName, s.MAC, s.IPs = "vlan-50.192.168.50.30", "02:32:00:a8:32:1e", []string{"192.168.50.30"}
		}, []string{
			`I4 and its claim db-0.iot.net1 has "vlan-50.192.168.50.30" now`,
			"I5 lease vlan-50.192.168.50.10 is kept for nobody: its claim app/db-0.iot.net1 has vlan-50.192.168.50.30",
		}},
		"I5 a lease without a claim": {func(w *invariants.World) {
			w.Leases = append(w.Leases, lease("192.168.50.50", "02:32:00:a8:32:32", "nobody"))
		}, []string{"I5 lease vlan-50.192.168.50.50 is kept for nobody: its claim app/nobody does not exist"}},
		"I5 a lease of an earlier claim": {func(w *invariants.World) {
			l := lease("192.168.50.50", "02:32:00:a8:32:32", "router")
			l.Spec.ClaimRef.UID = "earlier"
			w.Leases = append(w.Leases, l)
		}, []string{"I5 its claim app/router is another one of that name"}},
		"I5 a lease that its claim never got": {func(w *invariants.World) {
			addClaim(w, "late", "192.168.50.50", "02:32:00:a8:32:32")
			claimOf(w, "late").Status = v1alpha1.MacClaimStatus{}
		}, []string{"I5 its claim app/late never got it"}},
		"I5 a holder that is over, and gone from its node": {func(w *invariants.World) {
			w.Pods, w.Agents["n1"] = w.Pods[1:], w.Agents["n1"][1:]
			count(w)
		}, []string{"I5 claim app/db-0.iot.net1 is held by pod db-0, which is over, and node n1 has nothing of it attached"}},
		"I5 a cooldown without end": {func(w *invariants.World) {
			w.Now = w.Now.Add(15 * time.Minute)
		}, []string{"I5 lease vlan-50.192.168.50.12 cools down since 2026-01-02T11:59:50Z, and its cooldown is 1m0s"}},
		"I5 a lock without its lease": {func(w *invariants.World) {
			leaseOf(w, "00-1b-21-00-00-01").Spec.IPs = []v1alpha1.IPAddress{"192.168.50.77"}
		}, []string{"I5 lease vlan-50.00-1b-21-00-00-01 locks MAC 00:1b:21:00:00:01 for a lease that does not have it"}},
		"I6 given to another too soon": {func(w *invariants.World) {
			leaseOf(w, "192.168.50.10").Spec.History = []v1alpha1.LeaseHistory{{
				Namespace: "app", Claim: "old", From: poolMade, To: metav1.NewTime(claimMade.Add(-5 * time.Second)), Reason: v1alpha1.EndAgentReport,
			}}
		}, []string{"I6 lease vlan-50.192.168.50.10 was given to claim app/db-0.iot.net1 5s after claim app/old gave it back (AgentReport), and must cool down for 1m0s"}},
		"I6 without a node's word it takes longer": {func(w *invariants.World) {
			leaseOf(w, "192.168.50.10").Spec.History = []v1alpha1.LeaseHistory{{
				Namespace: "app", Claim: "old", From: poolMade, To: metav1.NewTime(claimMade.Add(-5 * time.Minute)), Reason: v1alpha1.EndForced,
			}}
		}, []string{"I6 5m0s after claim app/old gave it back (Forced), and must cool down for 10m0s"}},
		"I7 the gateway": {func(w *invariants.World) {
			addClaim(w, "x", "192.168.50.1", "02:32:00:a8:32:01")
		}, []string{"I7 lease vlan-50.192.168.50.1 of claim app/x is the gateway"}},
		"I7 the broadcast address": {func(w *invariants.World) { addClaim(w, "x", "192.168.50.255", "02:32:00:a8:32:ff") }, []string{"I7 is the broadcast address"}},
		"I7 excluded":              {func(w *invariants.World) { addClaim(w, "x", "192.168.50.205", "02:32:00:a8:32:cd") }, []string{"I7 is excluded by the pool"}},
		"I7 reserved":              {func(w *invariants.World) { addClaim(w, "x", "192.168.50.15", "02:32:00:a8:32:0f") }, []string{"I7 is reserved for another claim"}},
		"I7 in no subnet":          {func(w *invariants.World) { addClaim(w, "x", "192.168.51.7", "02:32:00:a8:33:07") }, []string{"I7 lies in no subnet of its pool iot"}},
		"I7 a multicast MAC": {func(w *invariants.World) {
			addClaim(w, "x", "192.168.50.60", "f1:fd:59:0b:bd:2b")
		}, []string{"I7 lease vlan-50.192.168.50.60 has MAC f1:fd:59:0b:bd:2b, which no interface can carry"}},
		"I8 a namespace that is not selected": {func(w *invariants.World) { w.Namespaces[0].Labels = nil }, []string{
			"I8 namespace app has lease vlan-50.192.168.50.10, and pool iot does not select it", "I8 192.168.50.11", "I8 192.168.50.14", "I8 192.168.50.20",
		}},
		"I8 more than a namespace may have": {func(w *invariants.World) {
			*w.Pools[0].Spec.MaxPerNamespace = 4
		}, []string{"I8 namespace app has 5 addresses of pool iot, which gives it 4"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := healthy()
			tc.breaks(w)
			found := invariants.Judge(w).Violations
			var texts []string
			for _, v := range found {
				texts = append(texts, v.Invariant+" "+v.Sentence)
				if v.Fix == "" || len(v.Objects) == 0 || v.Settle == 0 {
					t.Errorf("%s has fix %q, objects %v, and settles in %s", v.Sentence, v.Fix, v.Objects, v.Settle)
				}
			}
			ok := len(texts) == len(tc.want)
			for i, want := range tc.want {
				id, part, _ := strings.Cut(want, " ")
				ok = ok && i < len(texts) && strings.HasPrefix(texts[i], id) && strings.Contains(texts[i], part)
			}
			if !ok {
				t.Errorf("found\n%s\nwant\n%s", strings.Join(texts, "\n"), strings.Join(tc.want, "\n"))
			}
		})
	}
}

// R-O3: what is kept on purpose, is under way, or cannot be told, is no violation.
func TestNoViolations(t *testing.T) {
	edited := metav1.ManagedFieldsEntry{Time: &present}
	for name, breaks := range map[string]func(w *invariants.World){
		"the pool was edited since (I7, I8)": func(w *invariants.World) {
			w.Pools[0].ManagedFields = []metav1.ManagedFieldsEntry{edited}
			*w.Pools[0].Spec.MaxPerNamespace = 1
			w.Pools[0].Spec.Subnets[0].Exclude = []v1alpha1.AddressRange{{Start: "192.168.50.2", End: "192.168.50.30"}}
			w.Pools[0].Spec.NamespaceSelector.MatchLabels["vlan"] = "none"
			w.Pools[0].Spec.Cooldown = &metav1.Duration{Duration: time.Hour}
		},
		"the namespace was edited since (I8)": func(w *invariants.World) {
			w.Namespaces[0].Labels, w.Namespaces[0].ManagedFields = nil, []metav1.ManagedFieldsEntry{edited}
		},
		"the same identity came back (I6)": func(w *invariants.World) {
			leaseOf(w, "192.168.50.10").Spec.History = []v1alpha1.LeaseHistory{{Namespace: "app", Claim: "db-0.iot.net1", From: poolMade, To: claimMade}}
		},
		"the claim was deleted by force, and the pod runs (I5)": func(w *invariants.World) {
			w.Claims = w.Claims[1:]
			w.Agents = nil
		},
		"no agent could be asked (I5)": func(w *invariants.World) { w.Pods, w.Agents = w.Pods[1:], nil },
		"the holder's node is silent (I5)": func(w *invariants.World) {
			w.Pods, w.Agents["n1"] = w.Pods[1:], nil
			w.Nodes[0].Status.Conditions[0].Status = corev1.ConditionUnknown
			count(w)
		},
		"the pod lingers on its node (I5)": func(w *invariants.World) { w.Pods = w.Pods[1:] },
		"releases are paused (I5)": func(w *invariants.World) {
			w.Leases = append(w.Leases, lease("192.168.50.50", "02:32:00:a8:32:32", "nobody"))
			w.Pools[0].Status.Conditions = []metav1.Condition{{Type: v1alpha1.PoolReleasesPaused, Status: metav1.ConditionTrue}}
		},
		"a lease was restored from a backup (R-B2)": func(w *invariants.World) {
			l := lease("192.168.50.50", "02:32:00:a8:32:32", "nobody")
			l.CreationTimestamp = present
			w.Leases = append(w.Leases, l)
		},
		"the runtime replaces a container (I3)": func(w *invariants.World) {
			next := w.Agents["n1"][0]
			next.ContainerID, next.Kernel = "next", nil
			w.Agents["n1"] = append(w.Agents["n1"], next)
			count(w)
		},
		"an interface is gone (I3)": func(w *invariants.World) { w.Agents["n1"][0].Kernel = nil },
		"a stranger's address is set aside (I1)": func(w *invariants.World) {
			leaseOf(w, "192.168.50.14").Spec.Conflict = &v1alpha1.Conflict{MAC: "00:11:22:33:44:55", NodeName: "n1", SeenAt: present}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := healthy()
			breaks(w)
			for _, v := range invariants.Judge(w).Violations {
				t.Errorf("%s %s", v.Invariant, v.Sentence)
			}
		})
	}
}

// Two readings show the same only if nobody has written the objects in between.
func TestSame(t *testing.T) {
	judge := func(change func(w *invariants.World)) *invariants.Violation {
		w := healthy()
		w.Leases = append(w.Leases, lease("192.168.50.50", "02:32:00:a8:32:32", "nobody"))
		change(w)
		found := invariants.Judge(w).Violations
		if len(found) != 1 {
			t.Fatalf("found %+v", found)
		}
		return &found[0]
	}
	first := judge(func(*invariants.World) {})
	if again := judge(func(w *invariants.World) {
		w.Agents["n1"], w.Now = append([]agentapi.Attached(nil), w.Agents["n1"]...), w.Now.Add(time.Second)
	}); !first.Same(again) {
		t.Error("the same violation is another one")
	}
	if again := judge(func(w *invariants.World) { leaseOf(w, "192.168.50.50").ResourceVersion = "2" }); first.Same(again) {
		t.Error("a lease that was written is the same")
	}
}

// A check of a large cluster takes moments.
func BenchmarkJudge(b *testing.B) {
	w := healthy()
	w.Pools[0].Spec.Subnets[0].CIDR, w.Pools[0].Spec.MaxPerNamespace = "192.168.0.0/16", nil
	for i := range 60000 {
		addPod(w, fmt.Sprintf("big-%d", i), "n1", fmt.Sprintf("192.168.%d.%d", i/256, i%256), fmt.Sprintf("02:32:00:a8:%02x:%02x", i/256, i%256))
	}
	for b.Loop() {
		invariants.Judge(w)
	}
}
