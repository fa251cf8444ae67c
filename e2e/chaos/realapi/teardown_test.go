// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package realapi_test

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/e2e/chaos/oracle"
	"github.com/macpool/macpool/internal/agentapi"
)

// teardown is the end of a sandbox: its interface goes down first, then CNI is told. The DEL may come several times, late, or
// never.
func (s *slot) teardown(box *sandbox, pod *corev1.Pod) {
	box.down()
	if s.w.still() {
		s.delBox(box, pod, 1)
		return
	}
	switch p := s.rng.IntN(1000); {
	case p < 12: // F20: Multus has lost its cache
		s.w.inject("F20", "DEL lost for ever", "m7")
		s.w.lasting(30*time.Second, "F20", "DEL lost for ever", about(pod))
		s.w.count.lost.Add(1)
		box.remove()
	case p < 60: // F19
		s.w.inject("F19", "DEL repeated", "m7")
		s.delBox(box, pod, 3)
	case p < 120:
		s.w.inject("F19", "DEL late, its sandbox gone", "m7")
		wait := s.someTime(1500 * time.Millisecond)
		box.remove()
		s.late.Go(func() {
			s.w.pause(wait)
			s.delBox(box, nil, 1) // a runtime that has forgotten the pod
		})
	default:
		s.delBox(box, pod, 1)
	}
}

// delBox tells CNI, and takes the sandbox away.
func (s *slot) delBox(box *sandbox, pod *corev1.Pod, times int) {
	box.down()
	s.tell("DEL %.8s on %s, %d times", box.id, box.node.name, times)
	req := box.request(agentapi.Del, pod, s.pool)
	if !s.w.still() && s.w.chance(10) { // F1: the plugin is killed in its DEL, which the runtime repeats
		s.w.inject("F1", "plugin SIGKILL", "m7")
		_, _ = box.node.ask(req, agentapi.DelTimeout, time.Nanosecond)
	}
	for range times {
		s.doing.Store("DEL")
		box.node.awaitPower()
		for box.node.del(req) != nil && s.w.pause(300*time.Millisecond) { // the runtime tries again
			s.w.inject("F37", "DEL refused, its spool is full", "m7")
		}
	}
	box.remove()
	if pod != nil && !s.w.still() && s.w.chance(5) {
		s.lateADD(box, pod)
	}
}

// lateADD is an ADD that comes after its DEL, from a caller that is long gone. If the agent knows of the DEL, it refuses (R-C9).
func (s *slot) lateADD(box *sandbox, pod *corev1.Pod) {
	if _, err := answerOf(box.node.ask(box.request(agentapi.Del, pod, s.pool), agentapi.DelTimeout, 0)); err != nil {
		return // it is in the spool, and may come later
	}
	s.w.inject("F2", "ADD after its DEL", "m7")
	lease, err := answerOf(box.node.ask(box.request(agentapi.Add, pod, s.pool), agentapi.AddTimeout, 0))
	if err == nil && lease != nil {
		s.w.violation(oracle.Violation{Kind: "tombstone", Text: fmt.Sprintf("ADD of container %s was answered with %s after its DEL", box.id, lease.Name)})
	}
}

// sandboxAgain makes the pod's sandbox again, which a kubelet does when it has died: the DEL of the old one comes before or after the
// new one's ADD.
func (s *slot) sandboxAgain(addFirst bool) {
	old := s.box
	s.box = nil
	if addFirst {
		old.down()
		if s.chance(70) {
			old.remove()
		}
		s.attach(&s.w.count.again)
		s.teardown(old, s.pod)
		return
	}
	s.teardown(old, s.pod)
	s.attach(&s.w.count.again)
}

// afterReboot : the runtime begins anew. It may tell CNI of what it had, without a namespace; kubelet makes new sandboxes.
func (s *slot) afterReboot() {
	s.node.awaitPower()
	old := s.box
	s.box = nil
	if s.chance(50) {
		s.w.inject("F19", "DEL after reboot", "m7")
		req := old.request(agentapi.Del, s.pod, s.pool)
		req.NetNS = ""
		_ = s.node.del(req)
	}
	s.attach(&s.w.count.again)
}

// replace ends the pod in one of the ways in which pods end. Its successor, if it is an ordinal, may come before its sandbox has gone.
func (s *slot) replace() {
	pod, box, address := s.pod, s.box, s.address
	s.pod, s.box, s.lease = nil, nil, nil
	quiet := s.w.still()
	switch p := s.rng.IntN(100); {
	case p < 15 && !quiet: // F16, F17: by force, its sandbox lives on for a while
		s.w.inject("F16", "pod deleted by force, its sandbox alive", "m5-m6")
		wait := s.someTime(2 * time.Second)
		s.w.lasting(wait, "F16", "pod deleted by force, its sandbox alive", about(pod))
		s.w.lasting(wait, "F17", "replaced before its predecessor's DEL", about(pod))
		s.forget(pod, 0)
		s.late.Go(func() {
			s.w.pause(wait)
			s.mayRelease(pod, address)
			s.teardownLate(box, pod)
		})
		if s.set != nil {
			s.w.inject("F17", "replaced before its predecessor's DEL", "m7")
		} else {
			s.late.Wait()
		}
	case p < 25 && !quiet && s.set == nil: // F21
		phase := corev1.PodSucceeded
		if s.chance(50) {
			phase = corev1.PodFailed
		}
		s.w.inject("F21", "pod "+string(phase), "m7")
		s.w.lasting(20*time.Second, "F21", "pod "+string(phase), about(pod))
		s.must("finishing a pod", func() error {
			patch := client.RawPatch("application/merge-patch+json", []byte(`{"status": {"phase": "`+string(phase)+`"}}`))
			return client.IgnoreNotFound(s.w.admin.Status().Patch(s.w.ctx, pod.DeepCopy(), patch))
		})
		s.mayRelease(pod, address)
		s.teardown(box, pod)
		s.w.pause(s.someTime(time.Second))
		s.forget(pod, 0)
	case p < 60: // the kubelet's order
		s.forget(pod, 5)
		s.mayRelease(pod, address)
		s.teardown(box, pod)
		s.forget(pod, 0)
	default:
		s.mayRelease(pod, address)
		s.teardown(box, pod)
		s.forget(pod, 0)
	}
	if s.set == nil {
		s.w.truth.Unpin(s.identityOf(pod))
		return
	}
	s.create()
	s.attach(&s.w.count.replaced)
}

// teardownLate is teardown for another goroutine: it uses no chance.
func (s *slot) teardownLate(box *sandbox, pod *corev1.Pod) { s.delBox(box, pod, 1) }

// mayRelease says that the address may go back from now on: that of a bare pod which ends. An ordinal keeps its.
func (s *slot) mayRelease(pod *corev1.Pod, address string) {
	if s.set == nil && address != "" {
		s.w.history.MayRelease(address, s.identityOf(pod), s.w.clock.Now())
	}
}

// forget deletes the pod's object, at once if grace is zero.
func (s *slot) forget(pod *corev1.Pod, grace int64) {
	uid := pod.UID
	s.tell("deletion of pod %.8s, grace %d", uid, grace)
	s.doing.Store("deleting a pod")
	s.must("deleting a pod", func() error {
		err := s.w.admin.Delete(s.w.ctx, pod.DeepCopy(), client.GracePeriodSeconds(grace), client.Preconditions{UID: &uid})
		if apierrors.IsConflict(err) {
			return nil // its successor has the name
		}
		return client.IgnoreNotFound(err)
	})
}
