// SPDX-License-Identifier: Apache-2.0

package root

import (
	"testing"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
)

// now is when the commands are run: before the objects are created, so that no pool is ever as old as a day.
var now = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)

func before(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }

// cluster makes what the commands are asked about, as manager and agents would have left it.
func cluster(t *testing.T) {
	t.Helper()
	create := func(o client.Object) {
		t.Helper()
		whole, ok := o.DeepCopyObject().(client.Object)
		if !ok {
			t.Fatalf("a copy of %T is no object", o)
		}
		if err := admin.Create(t.Context(), o); err != nil { // without its status, if that is a subresource
			t.Fatal(err)
		}
		switch whole.(type) {
		case *v1alpha1.MacClaim, *v1alpha1.MacNode:
			whole.SetResourceVersion(o.GetResourceVersion())
			if err := admin.Status().Update(t.Context(), whole); err != nil {
				t.Fatal(err)
			}
		}
	}
	create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "home"}})
	for _, p := range pools() {
		create(&p)
	}
	pod := func(name, node string) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: name, Annotations: map[string]string{"k8s.v1.cni.cncf.io/networks": "iot"}},
			Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "main", Image: "none"}}},
		}
	}
	create(&nadv1.NetworkAttachmentDefinition{ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: "iot"}})
	db, late := pod("db-0", "node-1"), pod("late", "node-2")
	create(db)
	create(late)
	create(pod("unplaced", ""))
	lost := pod("lost", "node-1")
	lost.Annotations["k8s.v1.cni.cncf.io/networks"] = "iot,nowhere"
	create(lost)
	create(&v1alpha1.MacNode{ObjectMeta: metav1.ObjectMeta{Name: "node-1"}, Status: v1alpha1.MacNodeStatus{RenewTime: metav1.NewMicroTime(now)}})
	create(&v1alpha1.MacNode{ObjectMeta: metav1.ObjectMeta{Name: "node-2"}, Status: v1alpha1.MacNodeStatus{
		RenewTime: metav1.NewMicroTime(now.Add(-time.Hour)),
		Parents:   []v1alpha1.NodeParent{{PoolName: "iot", Link: "eth0.50", State: v1alpha1.ParentMissing}},
	}})
	claim := &v1alpha1.MacClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: "db-0.iot.net1"}}
	claim.Spec.PoolRef.Name = "iot"
	claim.Spec.Workload = &v1alpha1.Workload{Kind: v1alpha1.WorkloadStatefulSet, Name: "db", Ordinal: ptr.To[int32](0), Interface: "net1"}
	claim.Status = v1alpha1.MacClaimStatus{
		LeaseName: "vlan-50.192.168.50.16", MAC: "02:32:00:a8:32:10", IPs: []string{"192.168.50.16", "fd00:50::10"}, Generation: 2,
		Holder: &v1alpha1.Holder{PodName: "db-0", PodUID: db.UID, NodeName: "node-1", Interface: "net1", Generation: 2, Since: before(time.Hour)},
		PreviousHolders: []v1alpha1.PreviousHolder{{
			PodName: "db-0", PodUID: "0-0-1", NodeName: "node-2", Generation: 1, Since: before(26 * time.Hour), Until: before(2 * time.Hour),
			Reason: v1alpha1.EndAgentReport, Evidence: "the agent of node node-2 attests that no interface of it is left",
		}},
	}
	create(claim)
	waits := &v1alpha1.MacClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: "late.iot.net1"}}
	waits.Spec.PoolRef.Name = "iot"
	waits.Spec.Workload = &v1alpha1.Workload{Kind: v1alpha1.WorkloadPod, Name: "late", Interface: "net1"}
	full := problem.PoolExhausted.New("iot", 8, 8, 0, 0, 0)
	waits.Status.Conditions = []metav1.Condition{{
		Type: v1alpha1.ClaimReady, Status: metav1.ConditionFalse, Reason: full.Kind.Reason, Message: full.Sentence(), LastTransitionTime: before(time.Minute),
	}}
	create(waits)
	said := problem.BadAnnotation.New("element 1 is null")
	create(&corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: "home", Name: "late.1"},
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "home", Name: "late", UID: late.UID},
		Type:           corev1.EventTypeWarning, Reason: "FailedCreatePodSandBox", Message: "error adding pod to CNI network: " + said.Error(), LastTimestamp: before(time.Minute),
	})
	for _, l := range leases(claim) {
		create(&l)
	}
}

func pools() []v1alpha1.MacPool {
	named := func(name string, vlan int32, subnets ...v1alpha1.Subnet) v1alpha1.MacPool {
		return v1alpha1.MacPool{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.MacPoolSpec{VLAN: new(vlan), Subnets: subnets}}
	}
	iot := named("iot", 50, v1alpha1.Subnet{
		CIDR: "192.168.50.0/26", Gateway: "192.168.50.1",
		Ranges: []v1alpha1.PoolRange{
			{AddressRange: v1alpha1.AddressRange{Start: "192.168.50.2", End: "192.168.50.9"}, ExplicitOnly: true},
			{AddressRange: v1alpha1.AddressRange{Start: "192.168.50.10", End: "192.168.50.40"}},
		},
		Exclude: []v1alpha1.AddressRange{{Start: "192.168.50.30", End: "192.168.50.33"}},
	}, v1alpha1.Subnet{CIDR: "fd00:50::/64"})
	iot.Spec.Reservations = []v1alpha1.Reservation{
		{IP: "192.168.50.12", ClaimRef: &v1alpha1.ReservedClaimRef{Namespace: "home", Name: "nas"}}, {IP: "192.168.50.13"},
	}
	cellar := named("cellar", 51, v1alpha1.Subnet{CIDR: "192.168.50.0/26"})
	cellar.Spec.Segment = "cellar"
	return []v1alpha1.MacPool{iot, cellar, named("big", 60, v1alpha1.Subnet{CIDR: "10.0.0.0/16"}), named("lan", 70)}
}

func leases(claim *v1alpha1.MacClaim) []v1alpha1.MacLease {
	named := func(name, mac string, ips ...v1alpha1.IPAddress) v1alpha1.MacLease {
		return v1alpha1.MacLease{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.MacLeaseSpec{
			PoolName: "iot", MAC: v1alpha1.MACAddress(mac), IPs: ips, ClaimRef: v1alpha1.ClaimRef{Namespace: "home", Name: "gone", UID: "0-0"}, LeasedAt: before(30 * time.Hour),
		}}
	}
	held := named("vlan-50.192.168.50.16", "02:32:00:a8:32:10", "192.168.50.16", "fd00:50::10")
	held.Spec.ClaimRef = v1alpha1.ClaimRef{Namespace: "home", Name: claim.Name, UID: claim.UID}
	held.Spec.NodeName, held.Spec.PodName = "node-1", "db-0"
	held.Spec.History = []v1alpha1.LeaseHistory{{
		Namespace: "home", Claim: "camera.iot.net1", PodName: "camera", NodeName: "node-2", From: before(50 * time.Hour), To: before(40 * time.Hour),
		Reason: v1alpha1.EndOutOfService, Evidence: "node node-2 is out of service by its taint",
	}}
	cools := named("vlan-50.192.168.50.17", "02:32:00:a8:32:11", "192.168.50.17", "fd00:50::11")
	cools.Spec.ReleasedAt = new(before(20 * time.Second))
	cools.Spec.History = []v1alpha1.LeaseHistory{{
		Namespace: "home", Claim: "gone", PodName: "gone", NodeName: "node-1", From: before(30 * time.Hour), To: before(20 * time.Second), Reason: v1alpha1.EndAgentReport,
	}}
	stranger := named("vlan-50.192.168.50.18", "02:32:00:a8:32:12", "192.168.50.18", "fd00:50::12")
	stranger.Spec.Conflict = &v1alpha1.Conflict{MAC: "00:11:22:33:44:55", NodeName: "node-1", SeenAt: before(5 * time.Minute)}
	outside := named("vlan-50.192.168.50.50", "02:32:00:a8:32:32", "192.168.50.50", "fd00:50::32")
	big := named("vlan-60.10.0.7.9", "02:3c:00:00:07:09", "10.0.7.9")
	big.Spec.PoolName = "big"
	alone := named("vlan-70.02-46-00-00-00-14", "02:46:00:00:00:14")
	alone.Spec.PoolName = "lan"
	return []v1alpha1.MacLease{held, cools, stranger, outside, big, alone}
}
