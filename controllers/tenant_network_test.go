// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
)

// victim is a claim of another tenant, and its lease, as they were before an attack.
type victim struct {
	claim *v1alpha1.MacClaim
	lease *v1alpha1.MacLease
}

func (w *world) victim(claim *v1alpha1.MacClaim) victim {
	w.t.Helper()
	v := victim{claim: claim}
	w.eventually(func(g gomega.Gomega) {
		var node string
		if claim.Status.Holder != nil {
			node = claim.Status.Holder.NodeName
		}
		v.lease = w.lease(claim.Status.LeaseName)
		g.Expect(v.lease.Spec.NodeName).To(gomega.Equal(node)) // which is written there a moment later
	})
	return v
}

// unharmed fails if an attack has changed anything that a victim has.
func (w *world) unharmed(v victim) {
	w.t.Helper()
	claim, lease := w.claimNow(v.claim.Namespace, v.claim.Name), w.lease(v.lease.Name)
	if claim == nil || lease == nil {
		w.t.Fatalf("the claim is now %v, the lease %v", claim, lease)
	}
	if claim.UID != v.claim.UID || lease.UID != v.lease.UID {
		w.t.Errorf("claim %s or its lease was made again", claim.Name)
	}
	if diff := cmp.Diff(v.claim.Status, claim.Status) + cmp.Diff(v.claim.Spec, claim.Spec) + cmp.Diff(v.lease.Spec, lease.Spec); diff != "" {
		w.t.Errorf("claim %s has changed: %s", claim.Name, diff)
	}
}

// TestT1HostileAnnotations : a tenant writes into the networks annotation of a pod whatever may get it another tenant's address, MAC or claim,
// what is reserved for another or just cooling, and what is nobody's (R-S3, R-A8). Each is refused with its reason, nothing else is
// given instead, and the other tenant keeps what it has.
func TestT1HostileAnnotations(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	trusted, tenant := w.namespace(), w.namespace()
	pool := w.pool("192.168.50.0/24", ranged("192.168.50.100", "192.168.50.200"), kept("192.168.50.8", "192.168.50.20"), func(p *v1alpha1.MacPool) {
		p.Spec.Subnets[0].Gateway = "192.168.50.1"
		p.Spec.Reservations = []v1alpha1.Reservation{
			{IP: "192.168.50.9", ClaimRef: &v1alpha1.ReservedClaimRef{Namespace: trusted, Name: "licence"}, MAC: "00:1b:21:a8:32:09"},
		}
	})
	w.network(trusted, "iot", pool.Name)
	w.network(tenant, "iot", pool.Name)
	w.claim(trusted, "fixed", pool, "192.168.50.8")
	pod := w.pod(trusted, "camera", `[{"name": "iot", "cni-args": {"claim": "fixed"}}]`, on("node-1"))
	held := w.victim(w.held(w.bound(trusted, "fixed"), pod))
	w.claim(trusted, "spare", pool, "192.168.50.10")
	spare := w.victim(w.bound(trusted, "spare")) // nobody's interface has it
	w.claim(trusted, "ended", pool, "192.168.50.11")
	w.remove(w.bound(trusted, "ended"))

	for name, tc := range map[string]struct{ element, reason string }{
		"an address that another has":                {`"ips": ["192.168.50.8"]`, problem.AddressTaken.Reason},
		"with a prefix length":                       {`"ips": ["192.168.50.8/24"]`, problem.AddressTaken.Reason},
		"as IPv6":                                    {`"ips": ["::ffff:192.168.50.8"]`, problem.AddressTaken.Reason},
		"with leading zeros":                         {`"ips": ["192.168.050.008"]`, problem.BadAddress.Reason},
		"in cni-args":                                {`"cni-args": {"ips": ["192.168.50.8"]}`, problem.AddressTaken.Reason},
		"under a key in capitals":                    {`"IPS": ["192.168.50.8"]`, problem.AddressTaken.Reason},
		"an address that no pod holds":               {`"ips": ["192.168.50.10"]`, problem.AddressTaken.Reason},
		"an address that cools":                      {`"ips": ["192.168.50.11"]`, problem.AddressCooling.Reason},
		"a MAC that another has":                     {`"mac": "02:32:00:a8:32:08"`, problem.AddressTaken.Reason},
		"in another notation":                        {`"mac": "0232.00A8.3208"`, problem.AddressTaken.Reason},
		"a MAC in cni-args":                          {`"cni-args": {"mac": "02-32-00-a8-32-08"}`, problem.AddressTaken.Reason},
		"another's MAC with an address of one's own": {`"mac": "02:32:00:a8:32:08", "ips": ["192.168.50.12"]`, problem.AddressMismatch.Reason},
		"an address of one's own with another's":     {`"ips": ["192.168.50.12", "192.168.50.8"]`, problem.AddressMismatch.Reason},
		"an address that is reserved":                {`"ips": ["192.168.50.9"]`, problem.AddressReserved.Reason},
		"a MAC that is reserved":                     {`"mac": "00:1b:21:a8:32:09"`, problem.AddressReserved.Reason},
		"the gateway's":                              {`"ips": ["192.168.50.1"]`, problem.AddressExcluded.Reason},
		"everybody's":                                {`"ips": ["192.168.50.255"]`, problem.AddressExcluded.Reason},
		"an address of the node":                     {`"ips": ["127.0.0.1"]`, problem.AddressOutside.Reason},
		"everybody's MAC":                            {`"mac": "ff:ff:ff:ff:ff:ff"`, problem.MulticastMAC.Reason},
		"a claim of another namespace":               {`"cni-args": {"claim": "spare"}`, problem.ClaimUnknown.Reason},
		"as a reference":                             {`"ipam-claim-reference": "spare"`, problem.ClaimUnknown.Reason},
		"with its namespace":                         {`"cni-args": {"claim": "` + trusted + `/spare"}`, problem.BadAnnotation.Reason},
		"by a path":                                  {`"cni-args": {"claim": "../` + trusted + `/spare"}`, problem.BadAnnotation.Reason},
		"and a namespace beside it":                  {`"cni-args": {"claim": "spare", "namespace": "` + trusted + `", "K8S_POD_NAMESPACE": "` + trusted + `"}`, problem.ClaimUnknown.Reason},
		"two claims for one interface":               {`"cni-args": {"claim": "mine"}, "ipam-claim-reference": "spare"`, problem.BadAnnotation.Reason},
		"a name that is longer than an interface's":  {`"interface": "net1-of-a-kernel-that-has-none"`, problem.BadAnnotation.Reason},
		"the interface of another element":           {`"interface": "net2"}, {"name": "iot"`, problem.BadAnnotation.Reason},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{t: t, Client: w.Client}
			attacker := w.pod(tenant, fmt.Sprintf("attacker-%d", unique.Add(1)), `[{"name": "iot", `+tc.element+`}]`, on("node-1"))
			w.told(attacker, tc.reason)
			for _, lease := range w.leases(pool) {
				if lease.Spec.ClaimRef.Namespace != trusted {
					t.Errorf("the tenant got %v", lease.Spec)
				}
			}
			w.remove(attacker)
		})
	}
	w.unharmed(held)
	w.unharmed(spare)
}

// TestT5HostileNetwork : a tenant who may make networks writes one that names a pool which is not the tenant's, pretends in it to be
// another network or of another namespace, and uses another namespace's network. The pool's namespaceSelector is asked about the pod's own
// namespace, and nothing that a network says changes that, nor the pool's ceiling (R-S3, I8).
func TestT5HostileNetwork(t *testing.T) {
	w := newWorld(t)
	w.startManager(managerOptions{})
	trusted, tenant := w.namespace(), w.namespace()
	change(w, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: trusted}}, func(ns *corev1.Namespace) { ns.Labels["vlan"] = "cameras" })
	pool := w.pool("192.168.50.0/24", selecting("vlan", "cameras"))
	open := w.pool("192.168.60.0/24", func(p *v1alpha1.MacPool) { p.Spec.MaxPerNamespace = new(int32(1)) })
	w.poolReady(open)
	w.network(trusted, "cameras", pool.Name)
	camera := w.pod(trusted, "camera", "cameras", on("node-1"))
	own := w.victim(w.held(w.bound(trusted, "camera."+pool.Name+".net1"), camera))

	ipam := func(name, more string) string {
		return fmt.Sprintf(`{"cniVersion": "1.0.0", "name": %q, %s
			"plugins": [{"type": "macvlan", "ipam": {"type": "macpool", "pool": %q}}, {"type": "macpool"}]}`, name, more, pool.Name)
	}
	for name, tc := range map[string]struct{ config, network string }{
		"another pool":                  {config: ipam("mine", "")},
		"the name of the other network": {config: ipam("cameras", "")},
		"a namespace":                   {config: ipam(trusted+"/cameras", `"namespace": "`+trusted+`",`)},
		"a namespace in the arguments": {config: fmt.Sprintf(`{"cniVersion": "1.0.0", "name": "mine", "type": "macvlan", "args": {"cni": {"namespace": %q, "K8S_POD_NAMESPACE": %[1]q}},
			"ipam": {"type": "macpool", "pool": %q, "namespace": %[1]q}}`, trusted, pool.Name)},
		"a selector of its own": {config: fmt.Sprintf(`{"cniVersion": "1.0.0", "name": "mine", "type": "macvlan",
			"ipam": {"type": "macpool", "pool": %q, "namespaceSelector": {}, "maxPerNamespace": 100}}`, pool.Name)},
		"the wrapper form":              {config: fmt.Sprintf(`{"cniVersion": "1.0.0", "name": "mine", "type": "macpool", "pool": %q, "delegate": {"type": "macvlan"}}`, pool.Name)},
		"a pool under two keys":         {config: fmt.Sprintf(`{"cniVersion": "1.0.0", "name": "mine", "type": "macvlan", "ipam": {"type": "macpool", "pool": %q, "pool": %q}}`, open.Name, pool.Name)},
		"the network of the other":      {network: trusted + "/cameras"},
		"a claim in the network's args": {config: strings.Replace(ipam("mine", ""), `"ipam"`, `"args": {"cni": {"claim": "mine"}}, "ipam"`, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{t: t, Client: w.Client}
			name := fmt.Sprintf("hostile-%d", unique.Add(1))
			network := tc.network
			if network == "" {
				network = name
				w.networkOf(tenant, network, tc.config)
			}
			pod := w.pod(tenant, name, network, on("node-1"))
			if strings.Contains(tc.config, `"claim"`) { // the tenant's own, in the pool
				w.claim(tenant, "mine", pool)
			}
			if note := w.told(pod, problem.PoolForbidden.Reason); !strings.Contains(note, tenant) {
				t.Errorf("the pod is told %q, want the pod's namespace %s", note, tenant)
			}
			if leases := w.leases(pool); len(leases) != 1 {
				t.Errorf("the pool has the leases %v", leases)
			}
		})
	}
	t.Run("a ceiling of its own", func(t *testing.T) {
		w := &world{t: t, Client: w.Client}
		w.networkOf(tenant, "roomy", fmt.Sprintf(`{"cniVersion": "1.0.0", "name": "roomy", "type": "macvlan", "maxPerNamespace": 100,
			"ipam": {"type": "macpool", "pool": %q, "maxPerNamespace": 100}}`, open.Name))
		w.pod(tenant, "first", "roomy", on("node-1"))
		w.bound(tenant, "first."+open.Name+".net1")
		w.told(w.pod(tenant, "second", "roomy", on("node-1")), problem.NamespaceFull.Reason)
	})
	w.unharmed(own)
}
