// SPDX-License-Identifier: Apache-2.0

package growths

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/lab"
	"github.com/macpool/macpool/internal/binding"
)

const (
	perSet  = 1000 // replicas of a StatefulSet that is stored
	perNode = 100  // pods of a node that is stored
)

// template are the objects of one pod that went the whole way: bound by the manager, attached by an agent, reported as running. What is stored is
// made of them, so that it has all that such objects have, managedFields too.
type template struct {
	set   *appsv1.StatefulSet
	node  *corev1.Node
	pod   *corev1.Pod
	claim *v1alpha1.MacClaim
	lease *v1alpha1.MacLease
}

func readTemplate(ctx context.Context, c client.Client, pod *corev1.Pod) (*template, error) {
	t := &template{set: &appsv1.StatefulSet{}, node: &corev1.Node{}, pod: &corev1.Pod{}, claim: &v1alpha1.MacClaim{}, lease: &v1alpha1.MacLease{}}
	var claims v1alpha1.MacClaimList
	if err := c.List(ctx, &claims, client.InNamespace(pod.Namespace)); err != nil {
		return nil, fmt.Errorf("listing claims: %w", err)
	}
	for i := range claims.Items {
		if h := claims.Items[i].Status.Holder; h != nil && h.PodUID == pod.UID {
			t.claim = &claims.Items[i]
		}
	}
	for object, key := range map[client.Object]client.ObjectKey{
		t.pod:   client.ObjectKeyFromObject(pod),
		t.node:  {Name: pod.Spec.NodeName},
		t.set:   {Namespace: pod.Namespace, Name: pod.OwnerReferences[0].Name},
		t.lease: {Name: t.claim.Status.LeaseName},
	} {
		if err := c.Get(ctx, key, object); err != nil {
			return nil, fmt.Errorf("reading %T %s: %w", object, key, err)
		}
	}
	return t, nil
}

// seed stores claims, held by pods, with their leases, and all that these belong to, from number from to number to.
func (t *template) seed(ctx context.Context, l *lab.Lab, from, to int) error {
	store := etcd{l.API.Etcd}
	encoder := newEncoder()
	var batch []entry
	var set *appsv1.StatefulSet
	for i := from; i < to; i++ {
		if i%perSet == 0 || set == nil {
			set = t.setOf(i / perSet)
			batch = append(batch, encoder.core("/registry/statefulsets/"+set.Namespace+"/"+set.Name, set))
		}
		if i%perNode == 0 || i == from {
			node := t.nodeOf(i / perNode)
			batch = append(batch, encoder.core("/registry/minions/"+node.Name, node))
		}
		pod := t.podOf(set, i)
		claim := t.claimOf(pod, i)
		lease := t.leaseOf(claim, i)
		batch = append(batch,
			encoder.core("/registry/pods/"+pod.Namespace+"/"+pod.Name, pod),
			encoder.custom("/registry/macpool.dev/macclaims/"+claim.Namespace+"/"+claim.Name, claim),
			encoder.custom("/registry/macpool.dev/macleases/"+lease.Name, lease),
		)
		if len(batch) >= 10*maxEntries || i == to-1 {
			if encoder.err != nil {
				return fmt.Errorf("encoding objects: %w", encoder.err)
			}
			if err := store.put(ctx, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	return nil
}

// uid is a UID that is the same each time.
func uid(kind string, i int) types.UID {
	h := sha256.Sum256(fmt.Appendf(nil, "%s/%d", kind, i))
	return types.UID(fmt.Sprintf("%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16]))
}

// reset makes the object another one, as it would be stored.
func reset(object client.Object, kind, name string, i int) {
	object.SetName(name)
	object.SetUID(uid(kind, i))
	object.SetResourceVersion("")
}

func (t *template) setOf(i int) *appsv1.StatefulSet {
	set := t.set.DeepCopy()
	reset(set, "set", fmt.Sprintf("set-%03d", i), i)
	set.Spec.Replicas = ptr.To[int32](perSet)
	return set
}

func (t *template) nodeOf(i int) *corev1.Node {
	node := t.node.DeepCopy()
	reset(node, "node", nodeName(i), i)
	node.Labels = map[string]string{corev1.LabelHostname: node.Name}
	return node
}

func nodeName(i int) string { return fmt.Sprintf("node-%04d", i) }

func (t *template) podOf(set *appsv1.StatefulSet, i int) *corev1.Pod {
	pod := t.pod.DeepCopy()
	reset(pod, "pod", fmt.Sprintf("%s-%d", set.Name, i%perSet), i)
	pod.Labels[appsv1.StatefulSetPodNameLabel] = pod.Name
	pod.Labels[appsv1.PodIndexLabel] = fmt.Sprint(i % perSet)
	pod.OwnerReferences[0].Name, pod.OwnerReferences[0].UID = set.Name, set.UID
	pod.Spec.NodeName, pod.Spec.Hostname = nodeName(i/perNode), pod.Name
	return pod
}

func (t *template) claimOf(pod *corev1.Pod, i int) *v1alpha1.MacClaim {
	claim := t.claim.DeepCopy()
	claim.Spec.Workload.Name = pod.OwnerReferences[0].Name
	claim.Spec.Workload.Ordinal = new(int32(i % perSet))
	reset(claim, "claim", binding.ClaimName(*claim.Spec.Workload, claim.Spec.PoolRef.Name), i)
	ip := addressOf(i)
	claim.Status.IPs = []string{ip.String()}
	claim.Status.MAC = macOf(t.claim.Status.MAC, ip)
	claim.Status.LeaseName = t.lease.Labels[v1alpha1.LabelSegment] + "." + ip.String()
	h := claim.Status.Holder
	h.PodName, h.PodUID, h.NodeName, h.NodeUID = pod.Name, pod.UID, pod.Spec.NodeName, uid("node", i/perNode)
	if h.Owner != nil {
		h.Owner.Name = claim.Spec.Workload.Name
	}
	return claim
}

func (t *template) leaseOf(claim *v1alpha1.MacClaim, i int) *v1alpha1.MacLease {
	lease := t.lease.DeepCopy()
	reset(lease, "lease", claim.Status.LeaseName, i)
	lease.Labels[v1alpha1.LabelIdentity] = binding.IdentityLabel(claim.Namespace, claim.Name)
	lease.Spec.IPs = []v1alpha1.IPAddress{v1alpha1.IPAddress(claim.Status.IPs[0])}
	lease.Spec.MAC = v1alpha1.MACAddress(claim.Status.MAC)
	lease.Spec.ClaimRef = v1alpha1.ClaimRef{Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID}
	lease.Spec.NodeName, lease.Spec.PodName = claim.Status.Holder.NodeName, claim.Status.Holder.PodName
	return lease
}

// addressOf spreads addresses as hashes do, over the upper half of 10.0.0.0/8; what is leased by the way goes where it likes, and meets few.
func addressOf(i int) netip.Addr {
	const odd = 0x9E3779B1 // of a multiplication that reaches each number once
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], uint32(i+1)*odd&0x7fffff|0x0a800000) //nolint:gosec // G115: meant to overflow
	return netip.AddrFrom4(a)
}

// macOf is the MAC of an address: the prefix of another one of the pool, and the low 24 bits.
func macOf(other string, ip netip.Addr) string {
	a := ip.As4()
	return fmt.Sprintf("%s:%02x:%02x:%02x", other[:8], a[1], a[2], a[3])
}

// encoder writes objects as an API server stores them: those of Kubernetes in protobuf, the others in JSON. The first error stays.
type encoder struct {
	protobuf runtime.Encoder
	err      error
}

func newEncoder() *encoder {
	return &encoder{protobuf: protobuf.NewSerializer(clientgoscheme.Scheme, clientgoscheme.Scheme)}
}

func (e *encoder) core(key string, object client.Object) entry {
	kinds, _, err := clientgoscheme.Scheme.ObjectKinds(object)
	if err != nil {
		e.err = err
		return entry{}
	}
	object.GetObjectKind().SetGroupVersionKind(kinds[0])
	value, err := runtime.Encode(e.protobuf, object)
	if err != nil {
		e.err = err
	}
	return entry{Key: []byte(key), Value: value}
}

func (e *encoder) custom(key string, object client.Object) entry {
	switch object := object.(type) {
	case *v1alpha1.MacClaim:
		object.TypeMeta = metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "MacClaim"}
	case *v1alpha1.MacLease:
		object.TypeMeta = metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "MacLease"}
	}
	value, err := json.Marshal(object)
	if err != nil {
		e.err = err
	}
	return entry{Key: []byte(key), Value: append(value, '\n')}
}
