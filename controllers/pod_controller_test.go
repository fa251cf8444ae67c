// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
)

// claims are the names of the claims of a namespace that have a lease.
func (w *world) claims(namespace string) []string {
	w.t.Helper()
	var list v1alpha1.MacClaimList
	if err := w.List(w.t.Context(), &list, client.InNamespace(namespace)); err != nil {
		w.t.Fatal(err)
	}
	names := []string{}
	for _, c := range list.Items {
		if c.Status.LeaseName != "" {
			names = append(names, c.Name)
		}
	}
	slices.Sort(names)
	return names
}

func (w *world) expectClaims(namespace string, want ...string) {
	w.t.Helper()
	w.eventually(func(g gomega.Gomega) { g.Expect(w.claims(namespace)).To(gomega.ConsistOf(want)) })
}

func TestPodsGetClaims(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	shared := w.namespace()
	iot, cam := w.pool("192.168.50.0/24"), w.pool("192.168.60.0/24")
	w.network(shared, "iot", iot.Name)
	w.network(shared, "cam", cam.Name)
	w.networkOf(shared, "other", `{"cniVersion": "1.0.0", "name": "other", "type": "macvlan", "ipam": {"type": "dhcp"}}`)
	w.networkOf(shared, "single", `{"cniVersion": "0.3.1", "type": "macvlan", "ipam": {"type": "macpool", "pool": "`+iot.Name+`"}}`)

	for name, tc := range map[string]struct {
		networks string
		change   func(*corev1.Pod)
		// want are the claims: IOT and CAM stand for the pools' names, NS for the namespace of the networks.
		want []string
	}{
		"one of its own namespace":         {networks: "local", want: []string{"pod.IOT.net1"}},
		"another namespace":                {networks: "NS/iot", want: []string{"pod.IOT.net1"}},
		"interface named":                  {networks: "NS/iot@lan0", want: []string{"pod.IOT.lan0"}},
		"comma list":                       {networks: "NS/iot, NS/cam@cam0 ,local", want: []string{"pod.IOT.net1", "pod.CAM.cam0", "pod.IOT.net3"}},
		"twice the same":                   {networks: "NS/iot,NS/iot", want: []string{"pod.IOT.net1", "pod.IOT.net2"}},
		"others count for the position":    {networks: "NS/other,NS/iot,NS/other,NS/cam", want: []string{"pod.IOT.net2", "pod.CAM.net4"}},
		"list of one plugin":               {networks: "NS/single", want: []string{"pod.IOT.net1"}},
		"JSON":                             {networks: `[{"name": "iot", "namespace": "NS"}]`, want: []string{"pod.IOT.net1"}},
		"JSON, default namespace":          {networks: `[{"name": "local"}]`, want: []string{"pod.IOT.net1"}},
		"JSON, interface":                  {networks: `[{"name": "local"}, {"name": "cam", "namespace": "NS", "interface": "cam0"}]`, want: []string{"pod.IOT.net1", "pod.CAM.cam0"}},
		"an unknown one is left to Multus": {networks: "NS/none,NS/iot", want: []string{"pod.IOT.net2"}},
		"eight interfaces (R-C19)": {
			networks: "local,local,local,local,local,local,local,local",
			want:     []string{"pod.IOT.net1", "pod.IOT.net2", "pod.IOT.net3", "pod.IOT.net4", "pod.IOT.net5", "pod.IOT.net6", "pod.IOT.net7", "pod.IOT.net8"},
		},
		"interface name in capitals": {networks: `[{"name": "local", "interface": "LAN"}]`, want: []string{binding.ClaimName(
			v1alpha1.Workload{Kind: v1alpha1.WorkloadPod, Name: "pod", Interface: "LAN"}, iot.Name)}},
		"host network (R-C18)": {networks: "local", change: func(p *corev1.Pod) { p.Spec.HostNetwork = true }},
		"no networks (R-C18)":  {},
		"not ours (R-C18)":     {networks: "NS/other"},
		"empty list":           {networks: "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{t: t, Client: w.Client}
			ns := w.namespace()
			w.network(ns, "local", iot.Name)
			fill := strings.NewReplacer("IOT", iot.Name, "CAM", cam.Name, "NS", shared)
			if tc.change == nil {
				tc.change = func(*corev1.Pod) {}
			}
			w.pod(ns, "pod", fill.Replace(tc.networks), tc.change)
			want := []string{}
			for _, c := range tc.want {
				want = append(want, fill.Replace(c))
			}
			slices.Sort(want)
			if len(want) == 0 {
				w.never("there are claims", func() bool { return len(w.claims(ns)) != 0 })
				return
			}
			w.expectClaims(ns, want...)
			addresses := map[string]bool{}
			for _, c := range want {
				claim := w.claimNow(ns, c)
				addresses[claim.Status.LeaseName] = true
				if claim.Labels[v1alpha1.LabelManagedBy] != v1alpha1.ManagedBy || len(claim.Finalizers) != 0 {
					t.Errorf("claim %s has labels %v and finalizers %v", c, claim.Labels, claim.Finalizers)
				}
			}
			if len(addresses) != len(want) {
				t.Errorf("%d interfaces have %d addresses", len(want), len(addresses))
			}
		})
	}
}

func TestWhatIsWrongIsSaidOnThePod(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns := w.namespace()
	pool := w.pool("192.168.50.0/24", ranged("192.168.50.100", "192.168.50.110"))
	w.poolReady(pool)
	w.network(ns, "iot", pool.Name)
	w.network(ns, "typo", "no-such-pool")
	w.networkOf(ns, "nameless", `{"cniVersion": "1.0.0", "plugins": [{"type": "macvlan", "ipam": {"type": "macpool"}}, {"type": "macpool"}]}`)
	w.networkOf(ns, "broken", `{"type": "macvlan", "ipam": {"type": "macpool", "pool": "x"}`)

	var pods []*corev1.Pod
	for name, tc := range map[string]struct {
		networks string
		change   func(*corev1.Pod)
		reason   string
		says     []string
	}{
		"unknown pool":         {networks: "typo", reason: "PoolUnknown", says: []string{"MP302", `"no-such-pool"`}},
		"no pool":              {networks: "nameless", reason: "NoPoolNamed", says: []string{"MP305", ns + "/nameless"}},
		"network unreadable":   {networks: "broken", reason: "BadConfig", says: []string{"MP401", "unexpected end"}},
		"annotation no JSON":   {networks: `[{"name": "iot"]`, reason: "BadAnnotation", says: []string{"MP402"}},
		"annotation no list":   {networks: `{"name": "iot"}`, reason: "BadAnnotation", says: []string{"MP402"}},
		"null":                 {networks: `[null]`, reason: "BadAnnotation", says: []string{"element 1 is null"}},
		"capitals":             {networks: `Iot`, reason: "BadAnnotation", says: []string{"MP402", "Iot"}},
		"interface too long":   {networks: "iot@abcdefghijklmnop", reason: "BadAnnotation", says: []string{"abcdefghijklmnop", "15"}},
		"interface twice":      {networks: "iot@net2,iot", reason: "BadAnnotation", says: []string{"interface net2"}},
		"cni-args of no sense": {networks: `[{"name": "iot", "cni-args": {"ips": 7}}]`, reason: "BadAnnotation", says: []string{"cni-args", "ips"}},
		"host network":         {networks: "iot", change: func(p *corev1.Pod) { p.Spec.HostNetwork = true }, reason: "HostNetwork", says: []string{"MP512"}},
		"founding case":        {networks: `[{"name": "iot", "mac": "f1:fd:59:0b:bd:2b"}]`, reason: "MulticastMAC", says: []string{"MP101", "f1:fd:59:0b:bd:2b", "f2:fd:59:0b:bd:2b"}},
		"MAC in dashes":        {networks: `[{"name": "iot", "mac": "F1-FD-59-0B-BD-2B"}]`, reason: "MulticastMAC", says: []string{"MP101"}},
		"MAC in cni-args":      {networks: `[{"name": "iot", "cni-args": {"mac": "f1:fd:59:0b:bd:2b"}}]`, reason: "MulticastMAC", says: []string{"MP101"}},
		"zero MAC":             {networks: `[{"name": "iot", "mac": "00:00:00:00:00:00"}]`, reason: "ImpossibleMAC", says: []string{"MP102"}},
		"foreign MAC":          {networks: `[{"name": "iot", "mac": "52:54:00:12:34:56"}]`, reason: "ForeignMAC", says: []string{"MP103", "02:32:00"}},
		"another network":      {networks: `[{"name": "iot", "ips": ["10.0.0.1"]}]`, reason: "AddressOutside", says: []string{"MP201", "10.0.0.1"}},
		"outside the ranges":   {networks: `[{"name": "iot", "ips": ["192.168.50.8/24"]}]`, reason: "AddressOutside", says: []string{"MP201", "192.168.50.100-192.168.50.110"}},
		"other prefix length":  {networks: `[{"name": "iot", "ips": ["192.168.50.105/16"]}]`, reason: "WrongPrefixLength", says: []string{"MP208", "/24"}},
		"no address":           {networks: `[{"name": "iot", "ips": ["here"]}]`, reason: "BadAddress", says: []string{"MP209", "here"}},
		"IP and MAC at odds":   {networks: `[{"name": "iot", "ips": ["192.168.50.105"], "mac": "02:32:00:a8:32:6a"}]`, reason: "AddressMismatch", says: []string{"MP204", "02:32:00:a8:32:69"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{t: t, Client: w.Client}
			if tc.change == nil {
				tc.change = func(*corev1.Pod) {}
			}
			pod := w.pod(ns, fmt.Sprintf("pod-%d", len(pods)), tc.networks, tc.change)
			pods = append(pods, pod)
			note := w.told(pod, tc.reason)
			for _, s := range tc.says {
				if !strings.Contains(note, s) {
					t.Errorf("note %q does not say %q", note, s)
				}
			}
			if leases := w.leases(pool); len(leases) != 0 {
				t.Errorf("a lease was left behind: %v", leases)
			}
		})
	}

	// Said once: nothing new comes of another look.
	for _, pod := range pods {
		change(w, pod, func(p *corev1.Pod) { p.Annotations["looked"] = "again" })
	}
	w.never("it is said again", func() bool {
		return slices.ContainsFunc(pods, func(pod *corev1.Pod) bool {
			events := w.events(pod)
			return len(events) != 1 || events[0].Series != nil
		})
	})
}

// claimsOf are the claims whose workload is the pod.
func (w *world) claimsOf(pod *corev1.Pod) []v1alpha1.MacClaim {
	w.t.Helper()
	var list v1alpha1.MacClaimList
	if err := w.List(w.t.Context(), &list, client.InNamespace(pod.Namespace)); err != nil {
		w.t.Fatal(err)
	}
	return slices.DeleteFunc(list.Items, func(c v1alpha1.MacClaim) bool {
		return c.Spec.Workload == nil || binding.PodName(*c.Spec.Workload) != pod.Name
	})
}

func TestHolderIsSetWhenTheNodeIsKnown(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns := w.namespace()
	pool := w.pool("192.168.50.0/24", ranged("192.168.50.100", "192.168.50.250"), kept("192.168.50.33", "192.168.50.33"))
	w.network(ns, "iot", pool.Name)

	t.Run("after the claim was bound", func(t *testing.T) {
		w := &world{t: t, Client: w.Client}
		pod := w.pod(ns, "late", "iot")
		claim := w.bound(ns, "late."+pool.Name+".net1")
		if claim.Status.Holder != nil {
			t.Fatalf("it has a holder, and no node: %v", claim.Status.Holder)
		}
		w.schedule(pod, "node-7")
		want := &v1alpha1.Holder{PodName: "late", PodUID: pod.UID, NodeName: "node-7", Interface: "net1", Generation: 1}
		got := w.held(claim, pod).Status.Holder
		want.Since = got.Since
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		w.eventually(func(g gomega.Gomega) {
			g.Expect(w.lease(claim.Status.LeaseName).Spec.NodeName).To(gomega.Equal("node-7"))
		})
	})
	t.Run("with the lease", func(t *testing.T) {
		w := &world{t: t, Client: w.Client}
		pod := w.pod(ns, "early", "iot", on("node-8"))
		w.held(w.bound(ns, "early."+pool.Name+".net1"), pod)
	})
	t.Run("by the UID that the runtime is given (R-G10)", func(t *testing.T) {
		w := &world{t: t, Client: w.Client}
		pod := w.pod(ns, "mirror", "iot", on("node-9"), func(p *corev1.Pod) {
			p.Annotations[corev1.MirrorPodAnnotationKey] = "0123abcd"
			p.Annotations["kubernetes.io/config.hash"] = "0123abcd"
		})
		claim := w.held(w.bound(ns, "mirror."+pool.Name+".net1"), pod)
		if claim.Status.Holder.PodUID != types.UID("0123abcd") {
			t.Errorf("holder %s", claim.Status.Holder.PodUID)
		}
	})
	t.Run("of a claim that a person made ahead", func(t *testing.T) {
		w := &world{t: t, Client: w.Client}
		name := "ahead." + pool.Name + ".net1"
		w.claim(ns, name, pool, "192.168.50.33")
		claim := w.bound(ns, name)
		pod := w.pod(ns, "ahead", "iot", on("node-9"))
		if now := w.held(claim, pod); now.UID != claim.UID {
			t.Error("it was made again")
		}
	})
	t.Run("once: a detached pod is its node's affair", func(t *testing.T) {
		w := &world{t: t, Client: w.Client}
		pod := w.pod(ns, "detached", "iot", on("node-9"))
		claim := w.held(w.bound(ns, "detached."+pool.Name+".net1"), pod)
		w.detach(claim)
		w.never("the manager made it the holder again", func() bool { return w.claimNow(ns, claim.Name).Status.Holder != nil })
	})
	t.Run("not of a pod that has ended", func(t *testing.T) {
		w := &world{t: t, Client: w.Client}
		claim := w.bound(ns, "early."+pool.Name+".net1")
		pod := &corev1.Pod{}
		if err := w.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: "early"}, pod); err != nil {
			t.Fatal(err)
		}
		changeStatus(w, pod, func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded })
		w.detach(claim)
		w.gone(claim) // the claim of a bare pod ends with it
		w.never("a claim was made again", func() bool { return w.claimNow(ns, claim.Name) != nil })
	})
}

func TestClaimHeldByAnother(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns := w.namespace()
	pool := w.pool("192.168.50.0/24")
	w.network(ns, "iot", pool.Name)
	set := w.statefulSet(ns)
	old := w.pod(ns, "db-0", "iot", ownedBy(set), on("node-1"))
	claim := w.held(w.bound(ns, "db-0."+pool.Name+".net1"), old)
	w.remove(old)
	pod := w.pod(ns, "db-0", "iot", ownedBy(set), on("node-2"))
	note := w.told(pod, "ClaimHeld")
	if !strings.Contains(note, "node node-1") {
		t.Errorf("note %q does not name the node that holds it", note)
	}
	if now := w.claimNow(ns, claim.Name); now.Status.Holder == nil || now.Status.Holder.PodUID != old.UID {
		t.Errorf("the claim was taken from its holder: %v", now.Status.Holder)
	}
	w.detach(claim)
	now := w.held(claim, pod)
	if now.Status.LeaseName != claim.Status.LeaseName || now.Status.Holder.Generation != 2 {
		t.Errorf("lease %s, generation %d", now.Status.LeaseName, now.Status.Holder.Generation)
	}
}

func TestWhatComesAfterThePodWakesIt(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	t.Run("network made", func(t *testing.T) {
		w := &world{t: t, Client: w.Client}
		ns, pool := w.namespace(), w.pool("192.168.50.0/24")
		w.pod(ns, "pod", "iot")
		w.never("there are claims", func() bool { return len(w.claims(ns)) != 0 })
		w.network(ns, "iot", pool.Name)
		w.expectClaims(ns, "pod."+pool.Name+".net1")
	})
	t.Run("network corrected", func(t *testing.T) {
		w := &world{t: t, Client: w.Client}
		ns, pool := w.namespace(), w.pool("192.168.50.0/24")
		nad := w.network(ns, "iot", "typo")
		w.told(w.pod(ns, "pod", "iot"), "PoolUnknown")
		change(w, nad, func(n *nadv1.NetworkAttachmentDefinition) {
			n.Spec.Config = strings.ReplaceAll(n.Spec.Config, "typo", pool.Name)
		})
		w.expectClaims(ns, "pod."+pool.Name+".net1")
	})
	t.Run("pool made", func(t *testing.T) {
		w := &world{t: t, Client: w.Client}
		ns := w.namespace()
		w.network(ns, "iot", "later")
		w.told(w.pod(ns, "pod", "iot"), "PoolUnknown")
		w.pool("192.168.50.0/24", func(p *v1alpha1.MacPool) { p.Name = "later" })
		w.expectClaims(ns, "pod.later.net1")
	})
	t.Run("namespace labelled", func(t *testing.T) {
		w := &world{t: t, Client: w.Client}
		ns := w.namespace()
		pool := w.pool("192.168.50.0/24", selecting("vlan", "iot"))
		w.network(ns, "iot", pool.Name)
		pod := w.pod(ns, "pod", "iot")
		w.refused(ns, "pod."+pool.Name+".net1", "PoolForbidden")
		if note := w.told(pod, "PoolForbidden"); !strings.Contains(note, "MP304") {
			t.Errorf("note %q", note)
		}
		w.afterSecondLook()
		namespace := &corev1.Namespace{}
		namespace.Name = ns
		change(w, namespace, func(n *corev1.Namespace) { n.Labels["vlan"] = "iot" })
		w.expectClaims(ns, "pod."+pool.Name+".net1")
	})
	t.Run("pool opened", func(t *testing.T) {
		w := &world{t: t, Client: w.Client}
		ns := w.namespace()
		pool := w.pool("192.168.50.0/24", selecting("vlan", "iot"))
		w.network(ns, "iot", pool.Name)
		w.pod(ns, "pod", "iot")
		w.refused(ns, "pod."+pool.Name+".net1", "PoolForbidden")
		w.afterSecondLook()
		change(w, pool, func(p *v1alpha1.MacPool) { p.Spec.NamespaceSelector = nil })
		w.expectClaims(ns, "pod."+pool.Name+".net1")
	})
}
