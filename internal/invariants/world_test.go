// SPDX-License-Identifier: Apache-2.0

package invariants_test

import (
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/invariants"
)

// The times of the world: its pool was made, then its claims.
var (
	poolMade  = metav1.NewTime(time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC))
	claimMade = metav1.NewTime(poolMade.Add(time.Hour))
	present   = metav1.NewTime(poolMade.Add(24 * time.Hour))
)

// healthy is a world in order: pods db-0 and db-1 of namespace app have 192.168.50.10 and .11 on nodes n1 and n2, .12 cools down, .13 is a
// record, router has a reservation's MAC with its lock, and pods of a VM that migrates have .20.
func healthy() *invariants.World {
	w := &invariants.World{
		Now: present.Time,
		Pools: []v1alpha1.MacPool{{
			ObjectMeta: metav1.ObjectMeta{Name: "iot", UID: "pool", CreationTimestamp: poolMade},
			Spec: v1alpha1.MacPoolSpec{
				VLAN: ptr.To[int32](50),
				Subnets: []v1alpha1.Subnet{{
					CIDR: "192.168.50.0/24", Gateway: "192.168.50.1", Exclude: []v1alpha1.AddressRange{{Start: "192.168.50.200", End: "192.168.50.210"}},
				}},
				Reservations: []v1alpha1.Reservation{
					{IP: "192.168.50.14", MAC: "00:1b:21:00:00:01", ClaimRef: &v1alpha1.ReservedClaimRef{Namespace: "app", Name: "router"}}, {IP: "192.168.50.15"},
				},
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"vlan": "iot"}},
				MaxPerNamespace:   ptr.To[int32](16),
				Cooldown:          &metav1.Duration{Duration: time.Minute},
			},
		}},
		Namespaces: []corev1.Namespace{
			{ObjectMeta: metav1.ObjectMeta{Name: "app", CreationTimestamp: poolMade, Labels: map[string]string{"vlan": "iot"}}},
			{ObjectMeta: metav1.ObjectMeta{Name: "other", CreationTimestamp: poolMade}},
		},
		Agents: map[string][]agentapi.Attached{},
	}
	for _, name := range []string{"n1", "n2"} {
		w.Nodes = append(w.Nodes, corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)},
			Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
		})
		w.Reports = append(w.Reports, v1alpha1.MacNode{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("report-" + name)}})
	}
	addPod(w, "db-0", "n1", "192.168.50.10", "02:32:00:a8:32:0a")
	addPod(w, "db-1", "n2", "192.168.50.11", "02:32:00:a8:32:0b")
	addPod(w, "vm-a", "n1", "192.168.50.20", "02:32:00:a8:32:14")
	migrate(w)
	addClaim(w, "router", "192.168.50.14", "00:1b:21:00:00:01")
	lock := w.Leases[len(w.Leases)-1]
	lock.Name, lock.UID = "vlan-50.00-1b-21-00-00-01", "lock"
	w.Leases = append(w.Leases, lock)
	released := metav1.NewTime(present.Add(-10 * time.Second))
	past := []v1alpha1.LeaseHistory{{Namespace: "app", Claim: "web-0.iot.net1", From: claimMade, To: released, Reason: v1alpha1.EndAgentReport}}
	w.Leases = append(w.Leases, lease("192.168.50.12", "02:32:00:a8:32:0c", "web-0.iot.net1"), lease("192.168.50.13", "02:32:00:a8:32:0d", "web-1.iot.net1"))
	cooling, record := &w.Leases[len(w.Leases)-2], &w.Leases[len(w.Leases)-1]
	cooling.Spec.ReleasedAt, cooling.Spec.History = &released, past
	record.Spec.ReleasedAt, record.Spec.ReusableAt, record.Spec.History = &released, &present, past
	count(w)
	return w
}

func lease(ip, mac, claim string) v1alpha1.MacLease {
	return v1alpha1.MacLease{
		ObjectMeta: metav1.ObjectMeta{Name: "vlan-50." + ip, UID: types.UID("lease-" + ip), ResourceVersion: "1", CreationTimestamp: claimMade},
		Spec: v1alpha1.MacLeaseSpec{
			PoolName: "iot", MAC: v1alpha1.MACAddress(mac), IPs: []v1alpha1.IPAddress{v1alpha1.IPAddress(ip)},
			ClaimRef: v1alpha1.ClaimRef{Namespace: "app", Name: claim, UID: types.UID("claim-" + claim)}, LeasedAt: claimMade,
		},
	}
}

// addClaim adds a claim with its lease.
func addClaim(w *invariants.World, name, ip, mac string) {
	w.Leases = append(w.Leases, lease(ip, mac, name))
	w.Claims = append(w.Claims, v1alpha1.MacClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "app", Name: name, UID: types.UID("claim-" + name), ResourceVersion: "1", CreationTimestamp: claimMade},
		Spec:       v1alpha1.MacClaimSpec{PoolRef: v1alpha1.PoolRef{Name: "iot"}},
		Status:     v1alpha1.MacClaimStatus{LeaseName: "vlan-50." + ip, MAC: mac, IPs: []string{ip}},
	})
}

// addPod adds a pod with its claim, attached.
func addPod(w *invariants.World, pod, node, ip, mac string) {
	claim := pod + ".iot.net1"
	addClaim(w, claim, ip, mac)
	status := &w.Claims[len(w.Claims)-1].Status
	status.Generation = 3
	status.Holder = &v1alpha1.Holder{PodName: pod, PodUID: types.UID("pod-" + pod), NodeName: node, NodeUID: types.UID(node), Interface: "net1", Generation: 3}
	status.PreviousHolders = []v1alpha1.PreviousHolder{{PodName: pod, PodUID: "earlier", Generation: 2}, {PodName: pod, PodUID: "first", Generation: 1}}
	l := &w.Leases[len(w.Leases)-1]
	l.Spec.NodeName, l.Spec.PodName = node, pod
	w.Pods = append(w.Pods, newPod(pod, node))
	w.Agents[node] = append(w.Agents[node], agentapi.Attached{
		Attachment: agentapi.Attachment{ContainerID: "of-" + pod, Interface: "net1"}, Pod: agentapi.Pod{Namespace: "app", Name: pod, UID: "pod-" + pod},
		Claim: agentapi.ClaimRef{Namespace: "app", Name: claim}, Lease: "vlan-50." + ip, MAC: mac, IPs: []netip.Addr{netip.MustParseAddr(ip)}, Generation: 3,
		Kernel: &agentapi.Kernel{MAC: mac, Up: true, IPs: []netip.Addr{netip.MustParseAddr(ip)}},
	})
}

func newPod(name, node string) corev1.Pod {
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "app", Name: name, UID: types.UID("pod-" + name)},
		Spec:       corev1.PodSpec{NodeName: node}, Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
}

// migrate makes vm-a a VM's pod, which migrates to vm-b on n2.
func migrate(w *invariants.World) {
	claim := &w.Claims[len(w.Claims)-1]
	claim.Status.Holder.InstanceUID, claim.Status.Generation = "vmi", 4
	claim.Status.Alternate = &v1alpha1.Holder{PodName: "vm-b", PodUID: "pod-vm-b", NodeName: "n2", NodeUID: "n2", Interface: "net1", Generation: 4, InstanceUID: "vmi"}
	w.Pods = append(w.Pods, newPod("vm-b", "n2"))
	source := &w.Agents["n1"][len(w.Agents["n1"])-1]
	source.Instance, source.Kernel = "vmi", &agentapi.Kernel{MAC: "02:00:00:00:00:99", Up: true} // KubeVirt has given MAC and address to the guest
	target := *source
	target.Pod, target.ContainerID, target.Generation = agentapi.Pod{Namespace: "app", Name: "vm-b", UID: "pod-vm-b"}, "of-vm-b", 4
	w.Agents["n2"] = append(w.Agents["n2"], target)
}

// count has the nodes report what is attached.
func count(w *invariants.World) {
	for i := range w.Reports {
		w.Reports[i].Status.Attached = new(int32(len(w.Agents[w.Reports[i].Name]))) //nolint:gosec // few
	}
}
