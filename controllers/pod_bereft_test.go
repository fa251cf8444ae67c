// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// stuck is a cache that does not hear of what becomes of a pod.
type stuck struct {
	client.Client

	pod *corev1.Pod
}

func (c stuck) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if pod, ok := object.(*corev1.Pod); ok && key == client.ObjectKeyFromObject(c.pod) {
		c.pod.DeepCopyInto(pod)
		return nil
	}
	return c.Client.Get(ctx, key, object, options...)
}

// A replica that does not know yet that a pod has ended does not make its claim again, which another has deleted: that one would
// delete it again, and so on without end (R-K1, F9).
func TestLateReplicaMakesNoClaimForAPodThatHasEnded(t *testing.T) {
	for name, end := range map[string]func(*world, *corev1.Pod){
		"deleted": func(w *world, pod *corev1.Pod) {
			w.remove(pod)
			w.gone(pod)
		},
		"finished": func(w *world, pod *corev1.Pod) {
			pod.Status.Phase = corev1.PodSucceeded
			if err := w.Status().Update(w.t.Context(), pod); err != nil {
				w.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ns, pool := w.namespace(), w.pool("192.168.50.0/24")
			w.network(ns, "iot", pool.Name)
			pod := w.pod(ns, "camera", "iot")
			seen := pod.DeepCopy()
			w.startManager(managerOptions{cached: func(c client.Client) client.Client { return stuck{c, seen} }})
			claim := w.bound(ns, "camera."+pool.Name+".net1")
			end(w, pod)
			w.remove(claim)
			w.never("the claim of a pod that has ended was made again", func() bool { return len(w.claims(ns)) > 0 })
		})
	}
}
