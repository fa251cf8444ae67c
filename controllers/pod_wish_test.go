// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onsi/gomega"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
)

func TestWishesAreHonoured(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	pool := w.pool("192.168.50.0/24", ranged("192.168.50.100", "192.168.50.110"), cooling(0, 0))
	config := func(extra string) string {
		return `{"cniVersion": "1.0.0", "plugins": [{"type": "macvlan", "ipam": {"type": "macpool", "pool": "` + pool.Name + `"}` + extra + `}, {"type": "macpool"}]}`
	}
	for name, tc := range map[string]struct{ element, extra, want string }{
		"ips":                          {element: `"ips": ["192.168.50.105"]`, want: "192.168.50.105"},
		"ips with prefix length":       {element: `"ips": ["192.168.50.105/24"]`, want: "192.168.50.105"},
		"mac":                          {element: `"mac": "02:32:00:A8:32:69"`, want: "192.168.50.105"},
		"both":                         {element: `"ips": ["192.168.50.105"], "mac": "02:32:00:a8:32:69"`, want: "192.168.50.105"},
		"cni-args ips":                 {element: `"cni-args": {"ips": ["192.168.50.106"]}`, want: "192.168.50.106"},
		"cni-args mac":                 {element: `"cni-args": {"mac": "02:32:00:a8:32:6a"}`, want: "192.168.50.106"},
		"cni-args before CNI_ARGS":     {element: `"ips": ["192.168.50.105"], "cni-args": {"ips": ["192.168.50.106"]}`, want: "192.168.50.106"},
		"capability before cni-args":   {element: `"ips": ["192.168.50.105"], "cni-args": {"ips": ["192.168.50.106"]}`, extra: `, "capabilities": {"ips": true}`, want: "192.168.50.105"},
		"the network's own args":       {element: `"namespace": ""`, extra: `, "args": {"cni": {"ips": ["192.168.50.107"]}}`, want: "192.168.50.107"},
		"a pod's before the network's": {element: `"cni-args": {"ips": ["192.168.50.106"]}`, extra: `, "args": {"cni": {"ips": ["192.168.50.107"]}}`, want: "192.168.50.106"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{t: t, Client: w.Client}
			ns := w.namespace()
			w.networkOf(ns, "iot", config(tc.extra))
			pod := w.pod(ns, "pod", `[{"name": "iot", `+tc.element+`}]`)
			claim := w.bound(ns, "pod."+pool.Name+".net1")
			if diff := cmp.Diff([]string{tc.want}, claim.Status.IPs); diff != "" {
				t.Error(diff)
			}
			w.remove(pod)
			w.gone(claim)
			w.eventually(func(g gomega.Gomega) { g.Expect(w.lease(claim.Status.LeaseName)).To(gomega.BeNil()) })
		})
	}
}

func TestWishesThatClaimsCannotHaveNow(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns := w.namespace()
	pool := w.pool("192.168.50.0/24", func(p *v1alpha1.MacPool) {
		p.Spec.Subnets[0].Gateway = "192.168.50.1"
		p.Spec.Subnets[0].Exclude = []v1alpha1.AddressRange{{Start: "192.168.50.50"}}
		p.Spec.Reservations = []v1alpha1.Reservation{
			{IP: "192.168.50.60", ClaimRef: &v1alpha1.ReservedClaimRef{Namespace: ns, Name: "printer"}}, {IP: "192.168.50.61"},
		}
	})
	w.network(ns, "iot", pool.Name)
	owner := w.claim(ns, "owner", pool, "192.168.50.70")
	w.bound(ns, "owner")
	for name, tc := range map[string]struct{ ip, reason, says string }{
		"taken":               {"192.168.50.70", "AddressTaken", ns + "/owner"},
		"gateway":             {"192.168.50.1", "AddressExcluded", "gateway"},
		"network address":     {"192.168.50.0", "AddressExcluded", "network address"},
		"broadcast address":   {"192.168.50.255", "AddressExcluded", "broadcast address"},
		"excluded":            {"192.168.50.50", "AddressExcluded", "excluded"},
		"reserved":            {"192.168.50.60", "AddressReserved", "claim " + ns + "/printer"},
		"reserved for nobody": {"192.168.50.61", "AddressReserved", "nobody"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{t: t, Client: w.Client}
			pod := w.pod(ns, "pod", `[{"name": "iot", "ips": ["`+tc.ip+`"]}]`)
			message := w.refused(ns, "pod."+pool.Name+".net1", tc.reason)
			note := w.told(pod, tc.reason)
			if !strings.Contains(message, tc.says) || !strings.HasSuffix(note, message) {
				t.Errorf("the claim is told %q, the pod %q, want %q", message, note, tc.says)
			}
			claim := w.claimNow(ns, "pod."+pool.Name+".net1")
			w.remove(pod)
			w.gone(claim)
			if leases := w.leases(pool); len(leases) != 1 {
				t.Errorf("a lease was left behind: %v", leases)
			}
		})
	}

	t.Run("woken when it is free", func(t *testing.T) {
		w := &world{t: t, Client: w.Client}
		change(w, pool, func(p *v1alpha1.MacPool) { cooling(0, 0)(p) })
		w.pod(ns, "pod", `[{"name": "iot", "ips": ["192.168.50.70"]}]`)
		w.refused(ns, "pod."+pool.Name+".net1", "AddressTaken")
		w.afterSecondLook()
		w.remove(owner)
		if claim := w.bound(ns, "pod."+pool.Name+".net1"); claim.Status.IPs[0] != "192.168.50.70" {
			t.Errorf("it got %v", claim.Status.IPs)
		}
	})
}

func TestPodThatAsksForAnotherAddress(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	ns := w.namespace()
	pool := w.pool("192.168.50.0/24")
	w.network(ns, "iot", pool.Name)
	set := w.statefulSet(ns)
	name := "db-0." + pool.Name + ".net1"
	pod := w.pod(ns, "db-0", "iot", ownedBy(set), on("node-1"))
	first := w.held(w.bound(ns, name), pod)

	// The template now asks for an address. The new pod comes before the old one's node has let go.
	w.remove(pod)
	wishes := `[{"name": "iot", "ips": ["192.168.50.8/24"]}]`
	pod = w.pod(ns, "db-0", wishes, ownedBy(set), on("node-2"))
	w.told(pod, problem.ClaimDiffers.Reason)
	if now := w.claimNow(ns, name); now == nil || now.UID != first.UID || !now.DeletionTimestamp.IsZero() {
		t.Fatal("the claim was not left to its holder")
	}
	w.detach(first)
	w.eventually(func(g gomega.Gomega) {
		claim := w.claimNow(ns, name)
		g.Expect(claim).NotTo(gomega.BeNil())
		g.Expect(claim.UID).NotTo(gomega.Equal(first.UID))
		g.Expect(claim.Status.IPs).To(gomega.Equal([]string{"192.168.50.8"}))
		g.Expect(claim.Status.Holder).NotTo(gomega.BeNil())
		g.Expect(claim.Status.Holder.NodeName).To(gomega.Equal("node-2"))
	})

	// Asking for nothing any more is no reason to change.
	before := w.claimNow(ns, name)
	w.remove(pod)
	w.detach(before)
	pod = w.pod(ns, "db-0", "iot", ownedBy(set), on("node-3"))
	if after := w.held(before, pod); after.UID != before.UID || after.Status.LeaseName != before.Status.LeaseName {
		t.Error("the claim was made again")
	}
}
