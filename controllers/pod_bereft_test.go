// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// stuck is a cache that does not hear of the end of a pod.
type stuck struct {
	client.Client

	pod *corev1.Pod
}

func (c stuck) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	err := c.Client.Get(ctx, key, object, options...)
	if pod, ok := object.(*corev1.Pod); ok && apierrors.IsNotFound(err) && key == client.ObjectKeyFromObject(c.pod) {
		c.pod.DeepCopyInto(pod)
		return nil
	}
	return err
}

// A replica that does not know yet that a pod is gone does not make its claim again, which another has deleted: that one would
// delete it again, and so on without end (R-K1, F9).
func TestLateReplicaMakesNoClaimForAPodThatIsGone(t *testing.T) {
	w := newWorld(t)
	ns, pool := w.namespace(), w.pool("192.168.50.0/24")
	w.network(ns, "iot", pool.Name)
	pod := w.pod(ns, "camera", "iot")
	w.startManager(managerOptions{cached: func(c client.Client) client.Client { return stuck{c, pod.DeepCopy()} }})
	claim := w.bound(ns, "camera."+pool.Name+".net1")
	w.remove(pod)
	w.gone(pod)
	w.remove(claim)
	w.never("the claim of a pod that is gone was made again", func() bool { return len(w.claims(ns)) > 0 })
}
