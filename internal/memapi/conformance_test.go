// SPDX-License-Identifier: Apache-2.0

package memapi_test

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// table is the operations on which macpool's protocol rests, and those by which a weak fake gives itself away (M27).
var table = map[string]func(context.Context, *transcript){
	"create": func(ctx context.Context, x *transcript) {
		lease := x.lease("192.168.50.8")
		x.note("create", lease, x.Create(ctx, lease))
		second := x.lease("192.168.50.8")
		second.Spec.ClaimRef.Name = "b"
		x.note("create again", second, x.Create(ctx, second))
		again(x, "whose it is", lease)
		versioned := x.lease("192.168.50.9")
		versioned.ResourceVersion = "1"
		x.note("create with a resourceVersion", versioned, x.Create(ctx, versioned))
		x.note("get what is not there", nil, x.Get(ctx, client.ObjectKey{Name: x.ns + ".192.168.50.10"}, &v1alpha1.MacLease{}))
	},
	"create in a namespace": func(ctx context.Context, x *transcript) {
		claim := x.claim("a", func(c *v1alpha1.MacClaim) { c.Status.LeaseName = "dropped"; c.Status.Holder = held("a", 3) })
		x.note("status is dropped", claim, x.Create(ctx, claim))
		again(x, "read", claim)
		elsewhere := x.claim("a")
		elsewhere.Namespace += "-is-not-there"
		x.note("in none", nil, x.Create(ctx, elsewhere))
	},
	"update": func(ctx context.Context, x *transcript) {
		lease := x.lease("192.168.50.8")
		x.note("create", lease, x.Create(ctx, lease))
		stale := copied(lease)
		lease.Spec.NodeName = "node-a"
		x.note("update", lease, x.Update(ctx, lease))
		stale.Spec.NodeName = "node-b"
		x.note("update of an old version", stale, x.Update(ctx, stale))
		unchanged := copied(lease)
		x.note("update without a change", unchanged, x.Update(ctx, unchanged))
		blind := copied(lease)
		blind.ResourceVersion = ""
		x.note("update without a version", blind, x.Update(ctx, blind))
		other := copied(lease)
		other.UID = "00000000-0000-0000-0000-000000000000"
		x.note("update of another UID", other, x.Update(ctx, other))
		absent := x.lease("192.168.50.9")
		absent.ResourceVersion = lease.ResourceVersion
		x.note("update of what is not there", absent, x.Update(ctx, absent))
		again(x, "what is there", lease)
		lease.Labels["more"] = "yes"
		x.note("update of the metadata", lease, x.Update(ctx, lease))
	},
	"update of what was deleted": func(ctx context.Context, x *transcript) {
		claim := x.claim("a")
		x.note("create", claim, x.Create(ctx, claim))
		x.note("delete", nil, x.Delete(ctx, claim))
		claim.Status.LeaseName = "l"
		x.note("status", claim, x.Status().Update(ctx, claim))
		claim.UID = ""
		x.note("status without UID", claim, x.Status().Update(ctx, claim))
	},
	"update of what was made again": func(ctx context.Context, x *transcript) {
		claim := x.claim("a")
		x.note("create", claim, x.Create(ctx, claim))
		x.note("delete", nil, x.Delete(ctx, claim))
		x.note("create again", nil, x.Create(ctx, x.claim("a")))
		claim.Status.LeaseName = "l"
		x.note("status", claim, x.Status().Update(ctx, claim))
		again(x, "what is there", claim)
	},
	"status and spec": func(ctx context.Context, x *transcript) {
		claim := x.claim("a")
		x.note("create", claim, x.Create(ctx, claim))
		mixed := copied(claim)
		mixed.Status.LeaseName, mixed.Labels["both"] = "through-the-spec", "yes"
		x.note("update", mixed, x.Update(ctx, mixed))
		again(x, "has no lease", mixed)
		mixed.Status = v1alpha1.MacClaimStatus{LeaseName: "l", Generation: 1, Holder: held("a", 1)}
		mixed.Labels, mixed.Spec.Retain = map[string]string{"status": "writes-no-labels"}, &metav1.Duration{Duration: 60_000_000_000}
		x.note("status", mixed, x.Status().Update(ctx, mixed))
		fresh := again(x, "has a lease and its old labels", mixed)
		fresh.Spec.Retain = &metav1.Duration{Duration: 60_000_000_000}
		x.note("another spec is another generation", fresh, x.Update(ctx, fresh))
		x.note("an old version of the status", mixed, x.Status().Update(ctx, mixed))
		same := copied(fresh)
		x.note("the status that it has", same, x.Status().Update(ctx, same))
	},
	"merge patch": func(ctx context.Context, x *transcript) {
		claim := x.claim("a")
		x.note("create", claim, x.Create(ctx, claim))
		first := copied(claim)
		claim.Status.LeaseName, claim.Status.IPs = "l", []string{"192.168.50.8"}
		x.note("status", claim, x.Status().Patch(ctx, claim, client.MergeFromWithOptions(first, client.MergeFromWithOptimisticLock{})))
		late := copied(first)
		late.Status.LeaseName = "m"
		x.note("an old version", late, x.Status().Patch(ctx, late, client.MergeFromWithOptions(first, client.MergeFromWithOptimisticLock{})))
		x.note("without a lock", late, x.Status().Patch(ctx, late, client.MergeFrom(first)))
		spec := copied(late)
		spec.Labels = map[string]string{"made-by": "patch"}
		spec.Status.LeaseName = ""
		x.note("labels", spec, x.Patch(ctx, spec, client.MergeFrom(late)))
		emptied := copied(spec)
		emptied.Status.IPs = nil
		x.note("a field that goes", emptied, x.Status().Patch(ctx, emptied, client.MergeFrom(spec)))
		x.note("what is not there", nil, x.Patch(ctx, x.claim("b"), client.MergeFrom(x.claim("c"))))
	},
	"delete": func(ctx context.Context, x *transcript) {
		lease := x.lease("192.168.50.8")
		x.note("create", lease, x.Create(ctx, lease))
		old := copied(lease)
		lease.Spec.NodeName = "node-a"
		x.note("update", lease, x.Update(ctx, lease))
		x.note("an old version", nil, x.Delete(ctx, old, client.Preconditions{UID: &old.UID, ResourceVersion: &old.ResourceVersion}))
		x.note("another UID", nil, x.Delete(ctx, old, client.Preconditions{UID: new(old.UID + "0")}))
		again(x, "is still there", lease)
		x.note("this one", nil, x.Delete(ctx, lease, client.Preconditions{UID: &lease.UID, ResourceVersion: &lease.ResourceVersion}))
		x.note("again", nil, x.Delete(ctx, lease))
		next := x.lease("192.168.50.8")
		x.note("the name is free", next, x.Create(ctx, next))
		x.note("the UID is not", nil, x.Delete(ctx, lease, client.Preconditions{UID: &lease.UID}))
	},
	"finalizers": func(ctx context.Context, x *transcript) {
		claim := x.claim("a", func(c *v1alpha1.MacClaim) { c.Finalizers = []string{"example.com/one"} })
		x.note("create", claim, x.Create(ctx, claim))
		x.note("delete", nil, x.Delete(ctx, claim))
		fresh := again(x, "is being deleted", claim)
		x.note("delete again", nil, x.Delete(ctx, claim))
		fresh = again(x, "as before", fresh)
		x.note("its name is taken", nil, x.Create(ctx, x.claim("a")))
		fresh.Finalizers = append(fresh.Finalizers, "example.com/two")
		x.note("one more", fresh, x.Update(ctx, fresh))
		fresh.Finalizers = []string{"example.com/one"}
		fresh.Status.LeaseName = "l"
		x.note("its status can be written", fresh, x.Status().Update(ctx, fresh))
		fresh.Finalizers = nil
		x.note("none", nil, x.Update(ctx, fresh))
		x.note("is gone", nil, x.Get(ctx, client.ObjectKeyFromObject(fresh), fresh))
	},
	"a claim in use": func(ctx context.Context, x *transcript) {
		claim := x.claim("a")
		x.note("create", claim, x.Create(ctx, claim))
		claim.Status.Holder = held("a", 1)
		x.note("held", claim, x.Status().Update(ctx, claim))
		x.note("delete", nil, x.Delete(ctx, claim))
		x.note("delete this very one", nil, x.Delete(ctx, claim, client.Preconditions{UID: &claim.UID, ResourceVersion: &claim.ResourceVersion}))
		x.note("delete another", nil, x.Delete(ctx, claim, client.Preconditions{UID: new(claim.UID + "0")}))
		again(x, "untouched", claim)
		claim.Status.Holder = nil
		x.note("not held", claim, x.Status().Update(ctx, claim))
		x.note("delete after that", nil, x.Delete(ctx, claim))
	},
	"pods end": func(ctx context.Context, x *transcript) {
		waiting := x.pod("waiting", "")
		x.note("create one without a node", waiting, x.Create(ctx, waiting))
		x.note("it goes at once", nil, x.Delete(ctx, waiting))
		x.note("gone", nil, x.Get(ctx, client.ObjectKeyFromObject(waiting), waiting))
		pod := x.pod("running", "node-a")
		x.note("create", pod, x.Create(ctx, pod))
		pod.Status.Phase = corev1.PodRunning
		x.note("it runs", pod, x.Status().Update(ctx, pod))
		x.note("delete", nil, x.Delete(ctx, pod))
		again(x, "its kubelet has the word", pod)
		x.note("by force, another", nil, x.Delete(ctx, pod, client.GracePeriodSeconds(0), client.Preconditions{UID: new(pod.UID + "0")}))
		x.note("by force", nil, x.Delete(ctx, pod, client.GracePeriodSeconds(0), client.Preconditions{UID: &pod.UID}))
		x.note("gone", nil, x.Get(ctx, client.ObjectKeyFromObject(pod), pod))
		blind := x.pod("blind", "node-a")
		x.note("create another", blind, x.Create(ctx, blind))
		blind.ResourceVersion = ""
		blind.Labels = map[string]string{"a": "b"}
		x.note("built-in kinds take updates without a version", blind, x.Update(ctx, blind))
	},
	"lists": func(ctx context.Context, x *transcript) {
		for _, address := range []string{"192.168.50.9", "192.168.50.8", "192.168.50.10"} {
			x.note("create", nil, x.Create(ctx, x.lease(address)))
		}
		x.page(ctx, "by label", client.MatchingLabels{v1alpha1.LabelSegment: x.ns})
		x.page(ctx, "two", client.MatchingLabels{v1alpha1.LabelSegment: x.ns}, client.Limit(2))
		x.page(ctx, "none", client.MatchingLabels{v1alpha1.LabelSegment: x.ns + "-other"})
		x.page(ctx, "by name", client.MatchingFields{"metadata.name": x.ns + ".192.168.50.8"})
		x.page(ctx, "by fields", client.MatchingFields{"spec.poolName": "iot", "spec.claimRef.namespace": x.ns})
		x.page(ctx, "by a field of no index", client.MatchingFields{"spec.mac": "02:32:00:a8:32:08"})
		a, b := x.claim("a"), x.claim("b")
		x.note("create", a, x.Create(ctx, a))
		x.note("create", b, x.Create(ctx, b))
		b.Status.Holder = held("b", 1)
		b.Status.Holder.NodeName = x.ns + "-node"
		x.note("held", b, x.Status().Update(ctx, b))
		var claims v1alpha1.MacClaimList
		x.note("of a node", nil, x.List(ctx, &claims, client.MatchingFields{"status.holder.nodeName": x.ns + "-node"}))
		for i := range claims.Items {
			x.note("of a node", &claims.Items[i], nil)
		}
	},
	"an answer replaces what is there": func(ctx context.Context, x *transcript) {
		claim := x.claim("a")
		x.note("create", claim, x.Create(ctx, claim))
		filled := copied(claim)
		filled.Status.LeaseName, filled.Labels = "not-on-the-server", map[string]string{"mine": "stays"}
		x.note("get", filled, x.Get(ctx, client.ObjectKeyFromObject(claim), filled))
	},
	"metadata": func(ctx context.Context, x *transcript) {
		claim := x.claim("a")
		x.note("create", claim, x.Create(ctx, claim))
		partial := &metav1.PartialObjectMetadata{}
		partial.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("MacClaim"))
		x.note("get", partial, x.Get(ctx, client.ObjectKeyFromObject(claim), partial))
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("MacClaimList"))
		x.note("list", nil, x.List(ctx, list, client.InNamespace(x.ns)))
		for i := range list.Items {
			x.note("list", &list.Items[i], nil)
		}
	},
	"nodes": func(ctx context.Context, x *transcript) {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: x.ns + "-node"}}
		x.note("create", node, x.Create(ctx, node))
		node.Spec.Taints = []corev1.Taint{{Key: "node.kubernetes.io/out-of-service", Effect: corev1.TaintEffectNoExecute}}
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		x.note("taint", node, x.Update(ctx, node))
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		x.note("ready", node, x.Status().Update(ctx, node))
		x.note("delete", nil, x.Delete(ctx, node))
		next := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node.Name}}
		x.note("again", next, x.Create(ctx, next))
	},
	"a namespace ends": func(ctx context.Context, x *transcript) {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: x.ns + "-ends"}}
		x.note("create", ns, x.Create(ctx, ns))
		x.note("delete", nil, x.Delete(ctx, ns))
		again(x, "it is ending", ns)
		claim := x.claim("a")
		claim.Namespace = ns.Name
		x.note("nothing is made in it", nil, x.Create(ctx, claim))
	},
}
