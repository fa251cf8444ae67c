// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/view"
)

// gated puts our scheduling gate into a pod, between those of others.
func gated(others ...string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: v1alpha1.GateLease}}
		for _, name := range others {
			p.Spec.SchedulingGates = append(p.Spec.SchedulingGates, corev1.PodSchedulingGate{Name: name})
		}
	}
}

// ungated waits until our gate is off the pod.
func (w *world) ungated(pod *corev1.Pod) *corev1.Pod {
	w.t.Helper()
	now := &corev1.Pod{}
	w.eventually(func(g gomega.Gomega) {
		g.Expect(w.Get(w.t.Context(), client.ObjectKeyFromObject(pod), now)).To(gomega.Succeed())
		g.Expect(view.IsGated(now)).To(gomega.BeFalse())
	})
	return now
}

// staysGated fails if our gate goes within a time that is long for a manager that has nothing else to do.
func (w *world) staysGated(pod *corev1.Pod) {
	w.t.Helper()
	w.never("the gate is off pod "+pod.Name, func() bool {
		now := &corev1.Pod{}
		return w.Get(w.t.Context(), client.ObjectKeyFromObject(pod), now) == nil && !view.IsGated(now)
	})
}

// says waits until there is an event about a pod for a reason, which says all of these words.
func (w *world) says(pod *corev1.Pod, reason string, words ...string) {
	w.t.Helper()
	note := w.told(pod, reason)
	for _, word := range words {
		if !strings.Contains(note, word) {
			w.t.Errorf("note %q does not say %q", note, word)
		}
	}
}

// A gated pod whose claims are bound is let go, and nothing but the gate is changed of it: other gates stay.
func TestGateGoesWhenClaimsAreBound(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns := w.namespace()
	iot, cam := w.pool("192.168.50.0/24"), w.pool("192.168.60.0/24")
	w.network(ns, "iot", iot.Name)
	w.network(ns, "cam", cam.Name)
	w.networkOf(ns, "other", `{"cniVersion": "1.0.0", "name": "other", "type": "macvlan", "ipam": {"type": "dhcp"}}`)
	for name, networks := range map[string]string{"one": "iot", "several": "iot,other,cam", "twice": "iot,iot"} {
		pod := w.pod(ns, name, networks, gated("example.com/quota"), func(p *corev1.Pod) {
			p.Finalizers = []string{"example.com/mine"}
			p.Spec.NodeSelector = map[string]string{"vlan": "50"}
		})
		now := w.ungated(pod)
		for i, network := range strings.Split(networks, ",") {
			if pool := map[string]string{"iot": iot.Name, "cam": cam.Name}[network]; pool != "" {
				claim := w.claimNow(ns, fmt.Sprintf("%s.%s.net%d", name, pool, i+1))
				if claim == nil || claim.Status.LeaseName == "" {
					t.Errorf("%s: let go before network %s had an address: %v", name, network, claim)
				}
			}
		}
		if diff := cmp.Diff([]corev1.PodSchedulingGate{{Name: "example.com/quota"}}, now.Spec.SchedulingGates); diff != "" {
			t.Errorf("%s: other gates: %s", name, diff)
		}
		now.Spec.SchedulingGates, pod.Spec.SchedulingGates = nil, nil
		if diff := cmp.Diff(pod.Spec, now.Spec); diff != "" {
			t.Errorf("%s: more was changed than the gate: %s", name, diff)
		}
		if diff := cmp.Diff(pod.Finalizers, now.Finalizers); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// On an exhausted pool a gated pod waits unscheduled, is told why as its claim is, and is let go as soon as an address is free.
func TestGatedPodWaitsForAnAddress(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns := w.namespace()
	pool := w.pool("192.168.50.0/24", ranged("192.168.50.10", "192.168.50.10"), cooling(0, 0))
	w.network(ns, "iot", pool.Name)
	first := w.pod(ns, "first", "iot", gated(), func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"a": "b"} })
	w.ungated(first)
	w.schedule(first, "node-1")
	held := w.held(w.bound(ns, "first."+pool.Name+".net1"), first)

	second := w.pod(ns, "second", "iot", gated())
	message := w.refused(ns, "second."+pool.Name+".net1", "PoolExhausted")
	w.says(second, "PoolExhausted", "MP301", pool.Name, "1 are leased")
	if !strings.Contains(message, "1 are leased") {
		t.Errorf("the claim says: %s", message)
	}
	w.staysGated(second)

	// The first pod ends, its node has seen its interface go, and it was a bare pod's address.
	w.remove(first)
	w.detach(held)
	now := w.ungated(second)
	claim := w.bound(ns, "second."+pool.Name+".net1")
	if diff := cmp.Diff([]string{"192.168.50.10"}, claim.Status.IPs); diff != "" || now.Spec.NodeName != "" {
		t.Errorf("the waiting pod is on node %q with %s", now.Spec.NodeName, diff)
	}
}

// What keeps a gated pod is said, and its cure lets it go.
func TestWhatAGatedPodWaitsFor(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns := w.namespace()
	pool := w.pool("192.168.50.0/24", ranged("192.168.50.100", "192.168.50.110"))
	w.poolReady(pool)
	w.network(ns, "iot", pool.Name)
	w.network(ns, "early", "pool-of-later")
	annotate := func(networks string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Annotations["k8s.v1.cni.cncf.io/networks"] = networks }
	}
	for name, tc := range map[string]struct {
		networks, reason string
		says             []string
		cure             func(*corev1.Pod)
	}{
		"network-missing": {"iot,late", "NetworkMissing", []string{"MP232", ns + "/late"}, func(*corev1.Pod) { w.network(ns, "late", pool.Name) }},
		"pool-missing": {"iot,early", "PoolUnknown", []string{"MP302", `"pool-of-later"`}, func(*corev1.Pod) {
			w.create(&v1alpha1.MacPool{ObjectMeta: metav1.ObjectMeta{Name: "pool-of-later"}, Spec: v1alpha1.MacPoolSpec{
				VLAN: new(int32(61)), Subnets: []v1alpha1.Subnet{{CIDR: "192.168.61.0/24"}},
			}})
		}},
		"annotation": {`[{"name": "iot"]`, "BadAnnotation", []string{"MP402"}, func(p *corev1.Pod) { change(w, p, annotate("iot")) }},
		"wish":       {`[{"name": "iot", "ips": ["10.0.0.1"]}]`, "AddressOutside", []string{"MP201"}, func(p *corev1.Pod) { change(w, p, annotate("iot")) }},
		"claim":      {`[{"name": "iot", "cni-args": {"claim": "mine"}}]`, "ClaimUnknown", []string{"MP220"}, func(*corev1.Pod) { w.claim(ns, "mine", pool) }},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{t: t, Client: w.Client}
			pod := w.pod(ns, name, tc.networks, gated())
			w.says(pod, tc.reason, tc.says...)
			w.staysGated(pod)
			tc.cure(pod)
			w.ungated(pod)
		})
	}
}

// A gate without anything to wait for would keep its pod for ever: it goes, and the pod is told.
func TestNeedlessGate(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns := w.namespace()
	pool := w.pool("192.168.50.0/24")
	w.poolReady(pool)
	w.network(ns, "iot", pool.Name)
	w.networkOf(ns, "other", `{"cniVersion": "1.0.0", "name": "other", "type": "macvlan", "ipam": {"type": "dhcp"}}`)
	for name, tc := range map[string]struct {
		networks string
		change   func(*corev1.Pod)
	}{
		"no-networks": {"", func(*corev1.Pod) {}},
		"not-ours":    {"other", func(*corev1.Pod) {}},
		"empty-list":  {"[]", func(*corev1.Pod) {}},
		"host":        {"iot", func(p *corev1.Pod) { p.Spec.HostNetwork = true }},
	} {
		pod := w.pod(ns, name, tc.networks, gated("example.com/quota"), tc.change)
		now := w.ungated(pod)
		if len(now.Spec.SchedulingGates) != 1 {
			t.Errorf("%s: the other gate is gone too", name)
		}
		w.says(pod, "GateUnneeded", "MP230", ns+"/"+name)
	}
}

// Two pods want one claim: the second waits behind its gate until the first has let go, and is told who holds it. If its holder was lost
// with its node, only an ADD elsewhere can take it over, so that the gate goes.
func TestGatedPodWaitsForTheHolder(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns := w.namespace()
	pool := w.pool("192.168.50.0/24")
	w.network(ns, "iot", pool.Name)
	node := w.node("node-1")
	w.claim(ns, "mine", pool)
	w.bound(ns, "mine")
	const networks = `[{"name": "iot", "cni-args": {"claim": "mine"}}]`
	first := w.pod(ns, "first", networks, on("node-1"))
	held := w.held(w.bound(ns, "mine"), first)

	set := w.statefulSet(ns)
	second := w.pod(ns, "second", networks, gated(), ownedBy(set))
	w.says(second, "ClaimOfAnother", "MP221", "first", "node-1")
	w.staysGated(second)
	w.remove(first)
	w.staysGated(second) // its node's agent has not said that the interface is gone
	w.detach(held)
	w.schedule(w.ungated(second), "node-1")
	w.held(held, second)

	third, stranger := w.pod(ns, "third", networks, gated(), ownedBy(set)), w.pod(ns, "stranger", networks, gated())
	w.says(third, "ClaimHeld", "MP210", "second", "node-1")
	w.ready(node, corev1.ConditionUnknown)
	w.staysGated(third) // its pod is there still
	w.remove(second)
	w.ungated(third)
	w.staysGated(stranger) // which would not take it over
}

// A lease in conflict keeps the gate.
func TestGatedPodWaitsForAConflict(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns := w.namespace()
	pool := w.pool("192.168.50.0/24")
	w.network(ns, "iot", pool.Name)
	w.claim(ns, "mine", pool)
	lease := w.lease(w.bound(ns, "mine").Status.LeaseName)
	w.marked(lease, time.Now(), false)
	w.refused(ns, "mine", "AddressConflict")
	pod := w.pod(ns, "pod", `[{"name": "iot", "cni-args": {"claim": "mine"}}]`, gated())
	w.says(pod, "AddressConflict", "MP207", strangerMAC)
	w.staysGated(pod)
	change(w, lease, func(l *v1alpha1.MacLease) { l.Spec.Conflict = nil })
	change(w, w.claimNow(ns, "mine"), func(c *v1alpha1.MacClaim) { c.Labels = map[string]string{"looked": "again"} })
	w.ungated(pod)
}

// What is decided about a pod as it was seen is not done to another one of its name, nor to one that was changed since.
func TestGateIsTakenOffAsSeen(t *testing.T) {
	w := newWorld(t)
	ns := w.namespace()
	pod := w.pod(ns, "pod", "", gated())
	manager, err := client.New(w.api.manager, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	for name, metadata := range map[string]string{
		"another UID":  fmt.Sprintf(`{"uid": "1-2", "resourceVersion": %q}`, pod.ResourceVersion),
		"changed":      fmt.Sprintf(`{"uid": %q, "resourceVersion": "1"}`, pod.UID),
		"just as seen": fmt.Sprintf(`{"uid": %q, "resourceVersion": %q}`, pod.UID, pod.ResourceVersion),
	} {
		patch := `{"metadata": ` + metadata + `, "spec": {"schedulingGates": [{"$patch": "delete", "name": "macpool.dev/lease"}]}}`
		err := manager.Patch(t.Context(), pod.DeepCopy(), client.RawPatch(types.StrategicMergePatchType, []byte(patch)), client.DryRunAll)
		if (err == nil) != (name == "just as seen") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
