// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// awaitGoing waits until no pool is paused, all are on one timeline, and the agents say that nothing is left to report.
func (d *drill) awaitGoing() {
	d.t.Helper()
	d.eventually("allocation to go on", func(ctx context.Context) error {
		pauses, err := d.pauses(ctx)
		if err != nil || len(pauses) > 0 {
			return errors.Join(err, fmt.Errorf("paused: %v", pauses))
		}
		var nodes v1alpha1.MacNodeList
		if err := d.w.List(ctx, &nodes); err != nil {
			return err
		}
		timelines := map[int64]bool{}
		for _, n := range nodes.Items {
			if len(n.Status.Attachments) > 0 {
				return fmt.Errorf("node %s still reports %d attachments", n.Name, len(n.Status.Attachments))
			}
			timelines[n.Status.Timeline] = true
		}
		if len(timelines) > 1 {
			return fmt.Errorf("timelines: %v", timelines)
		}
		return nil
	})
}

// checkAttached fails unless the API knows of each interface that is up what it knew before.
func (d *drill) checkAttached(when string) {
	d.t.Helper()
	for _, i := range d.wire.interfaces() {
		p := i.pod
		d.eventually(fmt.Sprintf("pod %s to be the holder of %s, %s", p.key(), i.lease.Name, when), func(ctx context.Context) error {
			claim, lease := &v1alpha1.MacClaim{}, &v1alpha1.MacLease{}
			if err := d.w.Get(ctx, types.NamespacedName{Namespace: p.ns, Name: i.lease.Claim.Name}, claim); err != nil {
				return err
			}
			if err := d.w.Get(ctx, types.NamespacedName{Name: i.lease.Name}, lease); err != nil {
				return err
			}
			holder := claim.Status.Holder
			switch {
			case claim.Status.LeaseName != i.lease.Name || claim.Status.MAC != i.lease.MAC:
				return fmt.Errorf("its claim has %+v", claim.Status)
			case holder == nil || holder.PodUID != p.uid || holder.NodeName != p.node.name:
				return fmt.Errorf("the holder is %+v", holder)
			case lease.Spec.ClaimRef.UID != claim.UID || lease.Spec.ReleasedAt != nil:
				return fmt.Errorf("the lease is %+v", lease.Spec)
			}
			return nil
		})
	}
}

// endUnknown ends the sandboxes of pods that the API does not know, as their kubelets do. The storm may go on meanwhile, and adds
// pods to the list.
func (d *drill) endUnknown() (ended int) {
	d.t.Helper()
	d.mu.Lock()
	pods := d.pods
	d.pods = nil
	d.mu.Unlock()
	var kept []*pod
	for _, p := range pods {
		known := false
		d.eventually("pod "+p.key(), func(ctx context.Context) (err error) {
			known, err = d.isKnown(ctx, p)
			return err
		})
		if known {
			kept = append(kept, p)
			continue
		}
		d.detach(d.t.Context(), p)
		ended++
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pods = append(d.pods, kept...)
	return ended
}

// close ends all that the drill has made, and fails if something is left over.
func (d *drill) close() {
	d.t.Helper()
	pods := d.pods
	d.pods = nil
	d.together("the end", len(pods), func(ctx context.Context, i int) error { return d.remove(ctx, pods[i]) })
	d.eventually("the pods to be gone", func(ctx context.Context) error {
		return client.IgnoreNotFound(d.w.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(d.ns), client.GracePeriodSeconds(0)))
	})
	d.eventually("all holders to be cleared, and all claims to go", func(ctx context.Context) error {
		var claims v1alpha1.MacClaimList
		if err := d.w.List(ctx, &claims, client.InNamespace(d.ns)); err != nil {
			return err
		}
		for i := range claims.Items {
			if holder := claims.Items[i].Status.Holder; holder != nil {
				if holder.NodeName == d.givenUp && claims.Items[i].Annotations[v1alpha1.AnnotationForceRelease] == "" {
					// Nobody can say that the interface is gone, so that a person does.
					before := claims.Items[i].DeepCopy()
					metav1.SetMetaDataAnnotation(&claims.Items[i].ObjectMeta, v1alpha1.AnnotationForceRelease, "the node is off")
					if err := d.w.Patch(ctx, &claims.Items[i], client.MergeFrom(before)); err != nil {
						return err
					}
				}
				node := &corev1.Node{}
				err := d.w.Get(ctx, client.ObjectKey{Name: holder.NodeName}, node)
				return errors.Join(err, fmt.Errorf("claim %s is held by %+v; its annotations are %v, its conditions %v, and the node has UID %q",
					claims.Items[i].Name, holder, claims.Items[i].Annotations, claims.Items[i].Status.Conditions, node.UID))
			}
			if err := d.w.Delete(ctx, &claims.Items[i]); client.IgnoreNotFound(err) != nil {
				return err
			}
		}
		if len(claims.Items) > 0 {
			return fmt.Errorf("there are %d claims", len(claims.Items))
		}
		return nil
	})
	d.eventually("all leases to be given back", func(ctx context.Context) error {
		for _, pool := range []string{d.wide, d.tight} {
			var leases v1alpha1.MacLeaseList
			if err := d.w.List(ctx, &leases, client.MatchingLabels{v1alpha1.LabelSegment: pool}); err != nil {
				return err
			}
			for i := range leases.Items {
				if leases.Items[i].Spec.ReleasedAt == nil {
					return fmt.Errorf("lease %s is %s/%s's", leases.Items[i].Name, leases.Items[i].Spec.ClaimRef.Namespace, leases.Items[i].Spec.ClaimRef.Name)
				}
			}
		}
		return nil
	})
	d.wire.mu.Lock()
	defer d.wire.mu.Unlock()
	for _, complaint := range d.wire.complaints {
		d.t.Error(complaint)
	}
}
