// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package realapi_test

import (
	"errors"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/internal/agentapi"
)

// create makes the pod's object, scheduled at once or by a binding.
func (s *slot) create() {
	if s.set == nil {
		s.n++
	}
	s.node = s.w.nodes[s.rng.IntN(len(s.w.nodes))]
	if s.only != nil {
		s.node = s.only
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.ns, Name: s.name(),
			Annotations: map[string]string{nadv1.NetworkAttachmentAnnot: s.pool},
		},
		Spec: corev1.PodSpec{
			Containers:                    []corev1.Container{{Name: "app", Image: "app"}},
			TerminationGracePeriodSeconds: new(int64(5)),
		},
	}
	if s.set != nil {
		pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(s.set, appsv1.SchemeGroupVersion.WithKind("StatefulSet"))}
	}
	bound := s.chance(80)
	if bound {
		pod.Spec.NodeName = s.node.name
	}
	s.made = s.w.clock.Now()
	s.doing.Store("making a pod")
	if !s.must("creating a pod", func() error {
		err := s.w.admin.Create(s.w.ctx, pod)
		if apierrors.IsAlreadyExists(err) { // an answer that was lost with the API server
			return s.w.admin.Get(s.w.ctx, client.ObjectKeyFromObject(pod), pod)
		}
		return err
	}) {
		return
	}
	if !bound && !s.must("binding a pod", func() error {
		err := s.w.admin.SubResource("binding").Create(s.w.ctx, pod.DeepCopy(), &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
			Target:     corev1.ObjectReference{Kind: "Node", Name: s.node.name},
		})
		if apierrors.IsConflict(err) { // bound already, by a try whose answer was lost
			return s.w.admin.Get(s.w.ctx, client.ObjectKeyFromObject(pod), pod)
		}
		return err
	}) {
		return
	}
	// One that was there already may have come back with an older state of the API, and is where that says.
	for _, n := range s.w.nodes {
		if n.name == pod.Spec.NodeName {
			s.node = n
		}
	}
	s.pod = pod
	s.tell("pod %.8s on %s", pod.UID, s.node.name)
	if s.chance(50) {
		s.w.pause(s.someTime(60 * time.Millisecond)) // images, volumes, other networks
	}
}

// must repeats a call of the driver's own until it succeeds: the API server is away at times. False if the run ended.
func (s *slot) must(what string, call func() error) bool { return s.w.must(what, call) }

func (w *world) must(what string, call func() error) bool {
	for {
		err := call()
		if err == nil {
			return true
		}
		if w.ctx.Err() != nil {
			return false
		}
		if apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsForbidden(err) && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			w.t.Errorf("[%s] the driver itself: %s: %v", w.elapsed(), what, err)
			return false
		}
		w.pause(100 * time.Millisecond)
	}
}

// errGiveUp : the pod is not attached now; a later step tries again.
var errGiveUp = errors.New("not attached yet")

// maxBackoff is how long a pod waits at most before it is tried again. A kubelet's is longer.
const maxBackoff = 3 * time.Second

// attach lets the kubelet make sandboxes until one is attached, for a while.
func (s *slot) attach(what interface{ Add(int64) int64 }) {
	if s.pod == nil {
		return
	}
	deadline := s.w.clock.Now().Add(40 * time.Second)
	for backoff := 50 * time.Millisecond; s.w.ctx.Err() == nil; backoff = min(2*backoff, maxBackoff) {
		s.node.awaitPower()
		if err := s.try(); err == nil {
			what.Add(1)
			return
		}
		if s.pod == nil || s.w.hurry.Load() {
			return
		}
		if s.w.clock.Now().After(deadline) || s.w.quiet.Load() && s.w.clock.Now().After(deadline.Add(-20*time.Second)) {
			return
		}
		s.w.pause(backoff/2 + s.someTime(backoff))
	}
}

// try makes one sandbox and attaches it: containerd's RunPodSandbox. Whatever goes wrong ends with a DEL, or with none that
// ever comes.
func (s *slot) try() error {
	box, err := s.node.newSandbox()
	if err != nil {
		return err
	}
	hangUp := time.Duration(0)
	if !s.w.still() {
		switch p := s.rng.IntN(1000); {
		case p < 12: // F1: the plugin is killed
			hangUp = 1 + s.someTime(30*time.Millisecond)
			s.w.inject("F1", "plugin SIGKILL", "m0-m1")
		case p < 20: // F2, F18: the caller is gone, and its DEL overtakes the ADD
			return s.zombie(box)
		}
	}
	req := box.request(agentapi.Add, s.pod, s.pool)
	s.doing.Store("ADD")
	s.node.adds <- struct{}{}
	asked := s.w.clock.Now()
	if box.isDead() { // and the runtime with it
		<-s.node.adds
		return errOff
	}
	call := s.newCall(box)
	lease, err := answerOf(s.node.ask(req, agentapi.AddTimeout, hangUp, call))
	dropped, gone := call.finish()
	<-s.node.adds
	s.doing.Store("between ADDs")
	s.tell("ADD %.8s of pod %.8s on %s: %v (dropped %t, pod gone %t)", box.id, s.pod.UID, s.node.name, err, dropped, gone)
	if err != nil {
		s.w.count.failed.Add(1)
		s.w.note(err)
		if errors.Is(err, errHungUp) || dropped {
			s.w.count.hangups.Add(1)
		}
		s.teardown(box, s.pod)
		s.lost(gone)
		return err
	}
	s.node.ack(box.id)
	if dropped { // the answer is nobody's
		s.delBox(box, s.pod, 1)
		s.lost(gone)
		return errGiveUp
	}
	if lease == nil || !box.attached(s.pod, s.identity(), lease) {
		return errGiveUp // the power went
	}
	s.w.count.adds.Add(1)
	s.address, s.since = lease.Name, s.w.clock.Now()
	// The address may be the pod's since it was made; what it had already it has at the latest when it is asked for. (Histories of which all
	// operations overlap take for ever to check.)
	since := s.made
	if s.claimed == string(s.pod.UID)+" "+lease.Name {
		since = asked
	}
	s.claimed = string(s.pod.UID) + " " + lease.Name
	s.w.history.Claim(lease.Name, s.identity(), since, s.w.clock.Now())
	if gone {
		s.mayRelease(s.pod, s.address)
		s.teardown(box, s.pod)
		s.lost(true)
		return errGiveUp
	}
	if !s.w.still() && s.rng.IntN(1000) < 8 { // the plugin dies with the answer in its hands
		s.w.inject("F1", "plugin SIGKILL", "m3-m4")
		s.teardown(box, s.pod)
		return errGiveUp
	}
	s.box, s.lease = box, lease
	return nil
}

// lost is the end of a pod whose object is gone already.
func (s *slot) lost(gone bool) {
	if !gone {
		return
	}
	pod := s.pod
	s.pod = nil
	s.forget(pod, 0) // if the deletion did not come through
	if s.set == nil {
		s.mayRelease(pod, s.address)
		s.w.truth.Unpin(s.identityOf(pod))
	}
}

// zombie is an ADD that nobody waits for any more, and its container's DEL beside it.
func (s *slot) zombie(box *sandbox) error {
	req := box.request(agentapi.Add, s.pod, s.pool)
	s.late.Go(func() {
		if lease, err := answerOf(s.node.ask(req, agentapi.AddTimeout, 0)); err == nil && lease != nil {
			s.w.count.hangups.Add(1) // it is dropped: no interface comes of it
		}
	})
	s.w.pause(s.someTime(15 * time.Millisecond))
	s.w.inject("F2", "zombie ADD, its DEL beside it", "m0-m1")
	s.w.inject("F18", "ADD that ends after its DEL", "m7")
	s.delBox(box, s.pod, 1)
	s.late.Wait()
	return errGiveUp
}
