// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// makeAgain deletes the pod's claim by force and makes it again under its name, held by the pod, as the manager does when the
// definitions were deleted and installed again. Its generations begin at 1, whatever this node has in its journal.
func (f *fixture) makeAgain(t *testing.T, n *node, pod *corev1.Pod) {
	t.Helper()
	old := f.claimOf(t, pod)
	f.must(t, f.Delete(t.Context(), old))
	eventually(t, "the claim to be gone from the agent's cache", func() error {
		seen := old.DeepCopy()
		if err := n.agent.cluster.cache.Get(t.Context(), client.ObjectKeyFromObject(old), seen); client.IgnoreNotFound(err) != nil || err == nil {
			return fmt.Errorf("it is there: %w", err)
		}
		return nil
	})
	if claim := f.prebind(t, n, pod); claim.Status.Holder.Generation != 1 {
		t.Fatalf("the claim was made again with generation %d, want 1", claim.Status.Holder.Generation)
	}
}

// attachAgain gives the pod a new container after the DEL of the one before, so that the holder's generation rises.
func attachAgain(t *testing.T, f *fixture, n *node, pod *corev1.Pod, from, to string) {
	t.Helper()
	del(t, n, from)
	f.awaitNoHolder(t, pod)
	f.add(t, n, to, pod)
}

// TestClaimMadeAgain: a claim that was deleted by force and made again starts its generations anew. What the journal knows of
// the generations before must not keep its holder for ever (I5).
func TestClaimMadeAgain(t *testing.T) {
	t.Run("the DEL of a container that was attached before clears its holder", func(t *testing.T) {
		f, n := newFixture(t), startNode(t)
		pod := f.newPod(t, "db-0", n.name, "db")
		f.add(t, n, "c1", pod)
		attachAgain(t, f, n, pod, "c1", "c2")
		f.makeAgain(t, n, pod)
		f.deletePod(t, pod)
		del(t, n, "c2")
		f.awaitNoHolder(t, pod)
	})
	t.Run("a pod that was never attached to it is reaped", func(t *testing.T) {
		f, n := newFixture(t), startNode(t)
		pod := f.newPod(t, "db-0", n.name, "db")
		f.add(t, n, "c1", pod)
		attachAgain(t, f, n, pod, "c1", "c2")
		del(t, n, "c2")
		f.awaitNoHolder(t, pod)
		f.makeAgain(t, n, pod) // its pod is on its way out, no DEL will come any more
		f.deletePod(t, pod)
		f.awaitNoHolder(t, pod)
	})
	t.Run("the next container is answered from the caches again", func(t *testing.T) {
		f, n := newFixture(t), startNode(t)
		pod := f.newPod(t, "db-0", n.name, "db")
		f.add(t, n, "c1", pod)
		attachAgain(t, f, n, pod, "c1", "c2")
		attachAgain(t, f, n, pod, "c2", "c3")
		before := f.claimOf(t, pod).Status.Holder.Generation
		f.makeAgain(t, n, pod)
		attachAgain(t, f, n, pod, "c3", "c4")
		if after := f.claimOf(t, pod).Status.Holder.Generation; after <= before {
			t.Errorf("the holder has generation %d, which this node may have cleared: it has cleared up to %d", after, before)
		}
	})
}
