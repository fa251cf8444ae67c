// SPDX-License-Identifier: Apache-2.0

package view

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8sruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	"github.com/macpool/macpool/api/v1alpha1"
)

// byPod is an index as a client makes it: of each value with the namespace, and again for all namespaces.
func byPod(object any) ([]string, error) {
	claim, ok := object.(*v1alpha1.MacClaim)
	if !ok {
		return nil, fmt.Errorf("an index was asked about a %T", object)
	}
	if claim.Status.Holder == nil {
		return nil, nil
	}
	pod := claim.Status.Holder.PodName
	return []string{claim.Namespace + "/" + pod, "__all_namespaces/" + pod}, nil
}

// An informer that packs its objects is, to who reads it and to who is told, like any other.
func TestPackingInformerIsLikeAnyOther(t *testing.T) {
	held := func(namespace, name, pod string) *v1alpha1.MacClaim {
		claim := &v1alpha1.MacClaim{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(namespace + name), ResourceVersion: "1"}}
		if pod != "" {
			claim.Status.Holder = &v1alpha1.Holder{PodName: pod}
		}
		return claim
	}
	var list v1alpha1.MacClaimList
	for _, claim := range []*v1alpha1.MacClaim{held("home", "a", "pod-a"), held("home", "b", "pod-b"), held("other", "a", "pod-a"), held("home", "c", "")} {
		list.Items = append(list.Items, *claim)
	}
	list.ResourceVersion = "1"
	changes := watch.NewFake()
	type seen struct{ What, Name, Pod string }
	events := make(chan seen, 16)
	tell := func(what string, object any) {
		if missed, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
			object = missed.Obj
		}
		claim, ok := object.(*v1alpha1.MacClaim)
		if !ok {
			t.Errorf("%s: a handler was told of a %T", what, object)
			return
		}
		s := seen{What: what, Name: claim.Namespace + "/" + claim.Name}
		if claim.Status.Holder != nil {
			s.Pod = claim.Status.Holder.PodName
		}
		events <- s
	}
	informer := start(t, &list, changes, func(informer toolscache.SharedIndexInformer) {
		if err := informer.AddIndexers(toolscache.Indexers{"pod": byPod}); err != nil {
			t.Fatal(err)
		}
		if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc:    func(object any) { tell("added", object) },
			UpdateFunc: func(old, object any) { tell("was", old); tell("is", object) },
			DeleteFunc: func(object any) { tell("deleted", object) },
		}); err != nil {
			t.Fatal(err)
		}
	})
	expect := func(want ...seen) {
		t.Helper()
		var got []seen
		for range want {
			select {
			case s := <-events:
				got = append(got, s)
			case <-time.After(10 * time.Second):
				t.Fatalf("only these events: %v", got)
			}
		}
		slices.SortFunc(got, func(a, b seen) int { return cmpText(a.What+a.Name, b.What+b.Name) })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	find := func(value string, want ...string) {
		t.Helper()
		objects, err := informer.GetIndexer().ByIndex("pod", value)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, object := range objects {
			claim, ok := object.(*v1alpha1.MacClaim)
			if !ok {
				t.Fatalf("the index has a %T", object)
			}
			got = append(got, claim.Namespace+"/"+claim.Name)
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("pod %s: %s", value, diff)
		}
	}
	expect(seen{"added", "home/a", "pod-a"}, seen{"added", "home/b", "pod-b"}, seen{"added", "home/c", ""}, seen{"added", "other/a", "pod-a"})
	find("home/pod-a", "home/a")
	find("__all_namespaces/pod-a", "home/a", "other/a")
	find("home/none")
	for _, name := range []string{"a", "b", "c"} {
		stored, ok, err := informer.GetStore().GetByKey("home/" + name)
		if _, typed := stored.(*v1alpha1.MacClaim); err != nil || !ok || !typed {
			t.Errorf("home/%s is a %T in the store (%v)", name, stored, err)
		}
	}
	if got := len(informer.GetStore().List()); got != 4 {
		t.Errorf("%d claims are listed", got)
	}

	moved := held("home", "b", "pod-a")
	moved.ResourceVersion = "2"
	changes.Modify(moved)
	expect(seen{"is", "home/b", "pod-a"}, seen{"was", "home/b", "pod-b"})
	find("home/pod-b")
	find("home/pod-a", "home/a", "home/b")
	gone := held("home", "a", "pod-a")
	gone.ResourceVersion = "3"
	changes.Delete(gone)
	expect(seen{"deleted", "home/a", "pod-a"})
	find("home/pod-a", "home/b")
	keys, err := informer.GetIndexer().IndexKeys("pod", "__all_namespaces/pod-a")
	slices.Sort(keys)
	if diff := cmp.Diff([]string{"home/b", "other/a"}, keys); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if diff := cmp.Diff([]string{"__all_namespaces/pod-a", "home/pod-a", "other/pod-a"}, informer.GetIndexer().ListIndexFuncValues("pod")); diff != "" {
		t.Error(diff)
	}
	if _, err := informer.GetIndexer().ByIndex("none", "home/a"); err == nil {
		t.Error("an index that does not exist has values")
	}
}

func cmpText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}

// start runs an informer of a list and what changes after it, until it has synced.
func start(t *testing.T, list k8sruntime.Object, changes watch.Interface, prepare func(toolscache.SharedIndexInformer)) toolscache.SharedIndexInformer {
	t.Helper()
	source := &toolscache.ListWatch{
		ListFunc:  func(metav1.ListOptions) (k8sruntime.Object, error) { return list, nil },
		WatchFunc: func(metav1.ListOptions) (watch.Interface, error) { return changes, nil },
	}
	var example k8sruntime.Object = &v1alpha1.MacClaim{}
	if _, ok := list.(*v1alpha1.MacLeaseList); ok {
		example = &v1alpha1.MacLease{}
	}
	informer := new(turns).newInformer(toolscache.ToListWatcherWithWatchListSemantics(source, unstreamed{}), example, 0, toolscache.Indexers{toolscache.NamespaceIndex: toolscache.MetaNamespaceIndexFunc})
	prepare(informer)
	go informer.RunWithContext(t.Context())
	if !toolscache.WaitForCacheSync(t.Context().Done(), informer.HasSynced) {
		t.Fatal("the informer did not sync")
	}
	return informer
}

// unstreamed says that lists do not come as a watch.
type unstreamed struct{}

// IsWatchListSemanticsUnSupported is the reflector's question.
func (unstreamed) IsWatchListSemanticsUnSupported() bool { return true }

// What the manager keeps of a claim with its lease stays small: both packed, in the store and in indexes, and what the allocator knows. Counted in
// octets of live heap, for 20,000 of them.
func TestMemoryOfAClaimWithItsLease(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector has memory of its own for everything")
	}
	const count, bound = 20_000, 2_000
	feed := NewFeed()
	feed.poolSeen(&v1alpha1.MacPool{
		ObjectMeta: metav1.ObjectMeta{Name: "farm"},
		Spec:       v1alpha1.MacPoolSpec{VLAN: ptr.To[int32](50), Subnets: []v1alpha1.Subnet{{CIDR: "10.0.0.0/8"}}},
	})
	before := liveHeap()
	claims, leases := claimsWithLeases(count)
	kept := []any{
		start(t, claims, watch.NewFake(), func(informer toolscache.SharedIndexInformer) {
			if err := informer.AddIndexers(toolscache.Indexers{"a": byPod, "b": byPod, "c": byPod, "d": byPod}); err != nil {
				t.Fatal(err)
			}
		}),
		start(t, leases, watch.NewFake(), func(informer toolscache.SharedIndexInformer) {
			if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{AddFunc: func(object any) { feed.leaseSeen(object) }}); err != nil {
				t.Fatal(err)
			}
		}),
	}
	for feed.Index.Count("farm").Leased != count {
		time.Sleep(10 * time.Millisecond)
	}
	*claims, *leases = v1alpha1.MacClaimList{}, v1alpha1.MacLeaseList{}
	each := (liveHeap() - before) / count
	t.Logf("%d octets for each claim with its lease", each)
	if each > bound {
		t.Errorf("a claim with its lease takes %d octets, more than %d", each, bound)
	}
	runtime.KeepAlive(kept)
	runtime.KeepAlive(feed)
}

func liveHeap() uint64 {
	var m runtime.MemStats
	for range 2 { // what the first cycle only marks as unused, the second one sweeps
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// claimsWithLeases are claims of StatefulSets that are held, as the API has them.
func claimsWithLeases(count int) (*v1alpha1.MacClaimList, *v1alpha1.MacLeaseList) {
	claims, leases := &v1alpha1.MacClaimList{}, &v1alpha1.MacLeaseList{}
	claims.ResourceVersion, leases.ResourceVersion = "1", "1"
	now := metav1.Now().Rfc3339Copy()
	for i := range count {
		ip := fmt.Sprintf("10.%d.%d.%d", 1+i>>16, i>>8&0xff, i&0xff)
		mac := fmt.Sprintf("02:32:00:%02x:%02x:%02x", 1+i>>16, i>>8&0xff, i&0xff)
		pod := fmt.Sprintf("set-%d", i)
		claim := v1alpha1.MacClaim{
			TypeMeta: metav1.TypeMeta{Kind: "MacClaim", APIVersion: "macpool.dev/v1alpha1"},
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "farm", Name: pod + ".farm.net1", UID: types.UID(fmt.Sprintf("cc9af7cb-1317-4837-9a56-%012d", i)), ResourceVersion: fmt.Sprint(1000 + i),
				Generation: 1, CreationTimestamp: now, Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy},
			},
			Spec: v1alpha1.MacClaimSpec{
				PoolRef: v1alpha1.PoolRef{Name: "farm"}, Handover: v1alpha1.HandoverWait,
				Workload: &v1alpha1.Workload{Kind: v1alpha1.WorkloadStatefulSet, Name: "set", Ordinal: new(int32(i)), Interface: "net1"},
			},
			Status: v1alpha1.MacClaimStatus{
				VLAN: ptr.To[int32](50), MAC: mac, IPs: []string{ip}, LeaseName: "vlan-50." + ip, Generation: 1,
				Holder: &v1alpha1.Holder{
					PodName: pod, PodUID: types.UID(fmt.Sprintf("0c24d31a-1ad8-4f41-8ac0-%012d", i)), NodeName: fmt.Sprintf("node-%d", i/100),
					NodeUID: types.UID(fmt.Sprintf("f8e1f8ac-d22f-4659-be28-%012d", i/100)), Interface: "net1", Generation: 1, Since: now,
				},
				Conditions: []metav1.Condition{{
					Type: v1alpha1.ClaimReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ClaimReasonBound, Message: "The claim has a lease",
					ObservedGeneration: 1, LastTransitionTime: now,
				}},
			},
		}
		claims.Items = append(claims.Items, claim)
		leases.Items = append(leases.Items, v1alpha1.MacLease{
			ObjectMeta: metav1.ObjectMeta{
				Name: claim.Status.LeaseName, UID: types.UID(fmt.Sprintf("39dcd2c3-4135-4452-a36b-%012d", i)), ResourceVersion: fmt.Sprint(999 + i),
				Generation: 1, CreationTimestamp: now,
				Labels: map[string]string{v1alpha1.LabelSegment: "vlan-50", v1alpha1.LabelIdentity: fmt.Sprintf("975eefa2fd04831bfecb%012d", i)},
			},
			Spec: v1alpha1.MacLeaseSpec{
				PoolName: "farm", MAC: v1alpha1.MACAddress(mac), IPs: []v1alpha1.IPAddress{v1alpha1.IPAddress(ip)}, LeasedAt: now,
				ClaimRef: v1alpha1.ClaimRef{Namespace: "farm", Name: claim.Name, UID: claim.UID}, NodeName: claim.Status.Holder.NodeName, PodName: pod,
			},
		})
	}
	return claims, leases
}
