// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package lab

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// kubelet tries again with another sandbox; it takes pods down that are deleted, by force or not, or finished; and it gives a pod
// whose sandbox has crashed another one.
func TestKubelet(t *testing.T) {
	b := newBench(t, Personality{Containerd, NoMultus})
	b.plugin("ADD", "fail", "the agent is away")
	// The client's watch begins when it is asked for, and not where the list was: what is made in between is not seen.
	pod := b.pod("a")
	b.host.Kubelet.Start()
	defer b.host.Kubelet.Stop()
	b.until("two tries failed", func() bool { return len(b.calls("fail")) >= 4 })
	b.cure("ADD", "fail")
	b.until("the pod runs", func() bool { return b.running(pod) })
	first := b.host.Runtime.Of(pod.UID)[0].ID

	if !b.host.Kubelet.Restart(pod.UID) {
		t.Error("there was no sandbox")
	}
	b.until("the pod has another sandbox", func() bool {
		all := b.host.Runtime.Of(pod.UID)
		return len(all) == 1 && all[0].ID != first && all[0].Ready()
	})
	// By force.
	if err := b.api.Delete(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	b.until("its sandbox is gone", func() bool { return len(b.host.Runtime.Namespaces()) == 0 })

	done := b.pod("done")
	b.until("the pod runs", func() bool { return b.running(done) })
	b.host.Kubelet.Finish(done.UID)
	b.until("its sandbox is gone", func() bool { return len(b.host.Runtime.Namespaces()) == 0 })
	if err := b.api.Get(t.Context(), client.ObjectKeyFromObject(done), done); err != nil || done.Status.Phase != corev1.PodSucceeded {
		t.Errorf("a finished pod stays, and says so: %v, %v", done.Status.Phase, err)
	}

	// Cut off, it hears of nothing.
	last := b.pod("last")
	b.until("the pod runs", func() bool { return b.running(last) })
	b.host.API.Cut()
	if err := b.api.Delete(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	b.until("it has lost its watch", func() bool { return !b.host.API.open() })
	before := len(b.calls("begin"))
	time.Sleep(200 * time.Millisecond)
	if got := b.calls("begin")[before:]; len(got) > 0 {
		t.Errorf("a kubelet that was cut off has heard of a deletion: %q", got)
	}
	b.host.API.Heal()
	b.until("its sandbox is gone", func() bool { return len(b.host.Runtime.Namespaces()) == 0 })
}
