// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/network"
	"github.com/macpool/macpool/internal/problem"
)

// attachment is an interface of a pod that gets its address from a pool.
type attachment struct {
	Interface string
	Network   types.NamespacedName
	Pool      string
	Wish      network.Wish
	// Named is the claim that the pod or its network names for the interface, "" if none.
	Named string
	// Err is why it cannot have one, a problem of the catalogue. If the annotation itself cannot be read, it stands alone.
	Err *problem.Error
}

// mayClaim tells whether the pod will get interfaces of its own, so that claims are made for it.
func mayClaim(pod *corev1.Pod) bool {
	return stateOf(pod) == podAlive && pod.DeletionTimestamp.IsZero() && !pod.Spec.HostNetwork
}

// mayHold tells whether the manager may make the pod the holder of a claim: it is known on which node it attaches, and it
// did not hold the claim before. One that did was detached by its node; if that was not the end of it the node makes it the
// holder again, whereas this cache may not know yet that it has gone.
func mayHold(pod *corev1.Pod, claim *v1alpha1.MacClaim) bool {
	return mayClaim(pod) && pod.Spec.NodeName != "" &&
		!slices.ContainsFunc(claim.Status.PreviousHolders, func(h v1alpha1.PreviousHolder) bool {
			return h.PodUID == binding.PodUID(pod) && h.NodeName == pod.Spec.NodeName // of another node it was not true
		})
}

func stateOf(pod *corev1.Pod) podState {
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return podFinished
	}
	return podAlive
}

// attachmentsOf are the interfaces of a pod whose networks name macpool. A network that does not exist is left to Multus,
// which refuses the pod; when it is made the pod is looked at again.
func attachmentsOf(ctx context.Context, reader client.Reader, pod *corev1.Pod) ([]attachment, error) {
	selections, trouble := network.SelectionsOf(pod)
	var attachments []attachment
	if trouble != nil {
		attachments = append(attachments, attachment{Err: trouble})
	}
	for _, s := range selections {
		nad := &nadv1.NetworkAttachmentDefinition{}
		if err := reader.Get(ctx, s.Network, nad); apierrors.IsNotFound(err) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("reading network %s: %w", s.Network, err)
		}
		n, trouble := network.Of(nad)
		switch {
		case trouble != nil:
			attachments = append(attachments, attachment{Interface: s.Interface, Network: s.Network, Err: trouble})
		case n.Ours && n.Pool == "":
			attachments = append(attachments, attachment{Interface: s.Interface, Network: s.Network, Err: problem.NoPoolNamed.New(s.Network.String())})
		case n.Ours:
			named, err := binding.NamedClaim(pod, s.Interface, n.Claim)
			attachments = append(attachments, attachment{
				Interface: s.Interface, Network: s.Network, Pool: n.Pool, Wish: n.Wish(s), Named: named, Err: problem.As(err),
			})
		}
	}
	return attachments, nil
}

// identity is whose the attachment's claim is: the pod's workload, of one whose pods are alike with the number of the claim that the pod is to
// have. ok is false while it is not known: the pod of a DaemonSet has no node yet.
func (a attachment) identity(ctx context.Context, cache client.Reader, pod *corev1.Pod) (w v1alpha1.Workload, ok bool, err error) {
	w = binding.WorkloadOf(pod, a.Interface)
	switch {
	case w.Kind == v1alpha1.WorkloadDaemonSet:
		return w, w.Node != "", nil
	case !binding.Alike(w):
		return w, true, nil
	}
	slots, err := slotsOf(ctx, cache, cache, pod.Namespace, w, a.Pool)
	if err != nil {
		return w, false, err
	}
	slot, ok := slots[binding.PodUID(pod)]
	if !ok && a.Named != "" { // it has no use for a number
		slot, ok = binding.Slot{Workload: w}, true
		slot.Workload.Ordinal = new(int32(0))
	}
	return slot.Workload, ok, nil
}

// find is the name of the attachment's claim, and the claim, as the cache has it; nil if it has none. workload is its identity.
func (a attachment) find(
	ctx context.Context, cache client.Reader, pod *corev1.Pod, workload v1alpha1.Workload,
) (types.NamespacedName, *v1alpha1.MacClaim, error) {
	key := types.NamespacedName{Namespace: pod.Namespace, Name: a.Named}
	if a.Named == "" {
		claims, err := kin(ctx, cache, pod.Namespace, workload)
		if err != nil {
			return key, nil, err
		}
		if chosen := binding.Chosen(claims, workload, a.Pool); chosen != nil {
			return client.ObjectKeyFromObject(chosen), chosen.DeepCopy(), nil
		}
		key.Name = binding.ClaimName(workload, a.Pool)
	}
	claim := &v1alpha1.MacClaim{}
	if err := cache.Get(ctx, key, claim); apierrors.IsNotFound(err) {
		return key, nil, nil
	} else if err != nil {
		return key, nil, fmt.Errorf("reading claim %s: %w", key, err)
	}
	return key, claim, nil
}

// heldBy is the claim that the attachment's interface holds, whatever it is called; nil if the cache knows none.
func (a attachment) heldBy(ctx context.Context, cache client.Reader, pod *corev1.Pod) (*v1alpha1.MacClaim, error) {
	var claims v1alpha1.MacClaimList
	if err := cache.List(ctx, &claims, client.InNamespace(pod.Namespace), claimsByHolder.is(pod.Name)); err != nil {
		return nil, fmt.Errorf("listing the claims that pod %s/%s holds: %w", pod.Namespace, pod.Name, err)
	}
	for i := range claims.Items {
		c := &claims.Items[i]
		if h := binding.HolderOf(c, binding.PodUID(pod)); h != nil && h.Interface == a.Interface && c.Spec.PoolRef.Name == a.Pool {
			return c, nil
		}
	}
	return nil, nil
}

// claim is the claim that the attachment needs, not yet made, under the name that macpool gives to its own.
func (a attachment) claim(pod *corev1.Pod, pool *v1alpha1.MacPool, workload v1alpha1.Workload) (*v1alpha1.MacClaim, error) {
	wish, err := binding.ParseWish(a.Wish.IPs, a.Wish.MAC, pool)
	if err != nil {
		return nil, err
	}
	return binding.NewClaimOf(pod.Namespace, workload, pool, wish), nil
}

// holder is the attachment as the holder of its claim. The UID of the node is the cache's: if that has not seen the Node yet it is
// left out, and any Node of the name counts as the holder's.
func (a attachment) holder(ctx context.Context, cache client.Reader, pod *corev1.Pod) (*v1alpha1.Holder, error) {
	holder := &v1alpha1.Holder{
		PodName: pod.Name, PodUID: binding.PodUID(pod), NodeName: pod.Spec.NodeName, Interface: a.Interface,
		Owner: binding.OwnerOf(pod), InstanceUID: binding.InstanceUID(pod),
	}
	node, err := nodeOf(ctx, cache, pod.Spec.NodeName)
	if node != nil {
		holder.NodeUID = node.UID
	}
	return holder, err
}
