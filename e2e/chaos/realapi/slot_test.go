// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package realapi_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/chaos/faultproxy"
	"github.com/macpool/macpool/e2e/chaos/oracle"
	"github.com/macpool/macpool/internal/agentapi"
)

// slot is the place of one pod: an ordinal of a StatefulSet, or a bare pod with a new name each time. One goroutine does
// to it what its controller, its kubelet and its container runtime would, one thing after the other.
type slot struct {
	w    *world
	rng  *rand.Rand
	ns   string
	pool string
	set  *appsv1.StatefulSet // nil: bare pods
	base string
	n    int // ordinal, or how many pods there were

	pod     *corev1.Pod
	made    time.Time // when the pod was
	since   time.Time // when it was attached last
	only    *node     // the node on which it must run; nil: any
	node    *node
	box     *sandbox
	lease   *agentapi.Lease
	address string // of the lease

	traceMu sync.Mutex
	trace   []string // what was done to it last

	doing atomic.Value // string: for whoever wonders why nothing happens

	// late is what is done beside: DELs that come late.
	late sync.WaitGroup
}

func (w *world) newSlot(ns, pool, base string, set *appsv1.StatefulSet, ordinal int) *slot {
	return &slot{w: w, rng: w.rng(fmt.Sprint(ns, base, ordinal)), ns: ns, pool: pool, set: set, base: base, n: ordinal}
}

func (s *slot) name() string { return s.base + "-" + strconv.Itoa(s.n) }

// identity is the name of the claim: what keeps the address.
func (s *slot) identity() string { return s.ns + "/" + s.name() + "." + s.pool + "." + iface }

func (s *slot) chance(percent int) bool { return s.rng.IntN(100) < percent }

func (s *slot) someTime(upTo time.Duration) time.Duration {
	return time.Duration(s.rng.Int64N(int64(upTo)))
}

// tell keeps what was done, for whoever must find out why it went wrong.
func (s *slot) tell(format string, args ...any) {
	s.traceMu.Lock()
	defer s.traceMu.Unlock()
	s.trace = append(s.trace, s.w.clock.Now().Format("15:04:05.000000 ")+fmt.Sprintf(format, args...))
	if len(s.trace) > 60 {
		s.trace = append(s.trace[:0:0], s.trace[len(s.trace)-40:]...)
	}
}

// story is that, and what the API's log has of the claim.
func (s *slot) story() string {
	s.traceMu.Lock()
	defer s.traceMu.Unlock()
	return "\n    done:\n\t" + strings.Join(s.trace, "\n\t") + "\n    log:\n\t" + strings.Join(s.w.ledger.Story(s.identity()), "\n\t")
}

// step does one thing.
func (s *slot) step() {
	switch {
	case s.pod == nil:
		s.create()
		s.attach(&s.w.count.fresh)
	case s.box == nil:
		s.attach(&s.w.count.again)
	case s.isDead():
		// The node lost its power: what was there is gone, and is told of or not.
		s.afterReboot()
	default:
		s.live()
	}
}

// live is what happens to a pod that runs.
func (s *slot) live() {
	switch p := s.rng.IntN(100); {
	case p < 5:
		s.check()
	case p < 6:
		s.deleteClaim()
	case s.set != nil && p < 22, s.set == nil && p < 30:
		s.replace()
	case p < 70:
		for range 1 + s.rng.IntN(2**againFlag-1) {
			if s.sandboxAgain(true); s.box == nil || s.w.hurry.Load() || s.w.quiet.Load() {
				break
			}
		}
	default:
		s.sandboxAgain(false)
	}
}

func (s *slot) isDead() bool { return s.box.isDead() }

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

// attach lets the kubelet make sandboxes until one is attached, for a while.
func (s *slot) attach(what interface{ Add(int64) int64 }) {
	if s.pod == nil {
		return
	}
	deadline := s.w.clock.Now().Add(40 * time.Second)
	for backoff := 50 * time.Millisecond; s.w.ctx.Err() == nil; backoff = min(2*backoff, time.Second) {
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
	s.w.history.Claim(lease.Name, s.identity(), s.made, s.w.clock.Now())
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

// deleteClaim is somebody who deletes the claim of a pod that runs: the policy refuses (F36, R-P4).
func (s *slot) deleteClaim() {
	namespace, name, _ := strings.Cut(s.identity(), "/")
	claim := &v1alpha1.MacClaim{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	live := claim.DeepCopy()
	if s.w.admin.Get(s.w.ctx, client.ObjectKeyFromObject(claim), live) != nil || live.Status.Holder == nil {
		return
	}
	err := s.w.admin.Delete(s.w.ctx, claim)
	switch {
	case err == nil && !s.isDead():
		s.w.violation(oracle.Violation{Kind: oracle.FalseRelease, Text: "claim " + s.identity() + " was deleted while a pod held it"})
	case apierrors.IsForbidden(err):
		s.w.inject("F36", "policy refuses to delete a claim in use", "m8-m9")
	}
}

// check is CHECK: it must be true while nothing is in the way.
func (s *slot) check() {
	asked, hangUp := s.w.clock.Now(), time.Duration(0)
	if !s.w.still() && s.chance(20) { // the plugin is killed; the pod runs on
		hangUp = 1 + s.someTime(5*time.Millisecond)
		s.w.inject("F1", "plugin SIGKILL", "m5-m6")
	}
	lease, err := answerOf(s.node.ask(s.box.request(agentapi.Check, s.pod, s.pool), agentapi.CheckTimeout, hangUp))
	if err != nil {
		s.w.note(err)
		return
	}
	s.w.count.checks.Add(1)
	if lease != nil {
		s.w.history.Lookup(lease.Name, s.identity(), asked, s.w.clock.Now())
	}
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

func (s *slot) identityOf(pod *corev1.Pod) string {
	return pod.Namespace + "/" + pod.Name + "." + s.pool + "." + iface
}

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

// run steps as often as the pace allows, until the slots are to be still.
func (s *slot) run(pace, stop <-chan struct{}) {
	for {
		select {
		case <-pace:
		case <-stop:
			return
		}
		if s.w.quiet.Load() {
			return
		}
		s.w.back.RLock()
		s.step()
		s.w.back.RUnlock()
		s.doing.Store("waiting for its turn")
	}
}

// settle brings the pod to rest: attached, or gone.
func (s *slot) settle() {
	s.late.Wait()
	if s.pod == nil {
		return
	}
	if s.box != nil && s.isDead() {
		s.afterReboot()
	}
	for s.box == nil && s.w.ctx.Err() == nil && s.w.clock.Now().Before(s.w.settleBy) {
		s.attach(&s.w.count.again)
	}
	if s.box == nil {
		s.w.stuck(s)
	}
}

// about tells the requests that are about a pod, its claim or its lease.
func about(pod *corev1.Pod) func(*faultproxy.Request) bool {
	if pod == nil {
		return func(*faultproxy.Request) bool { return false }
	}
	key := pod.Namespace + "/" + pod.Name
	return func(r *faultproxy.Request) bool { return podOf(r) == key }
}

// lasting is a condition for a while.
func (w *world) lasting(d time.Duration, row, class string, match func(*faultproxy.Request) bool) {
	end := w.plan.during(row, class, match)
	w.background.Go(func() {
		w.pause(d)
		end()
	})
}

// still tells whether nothing is to go wrong now.
func (w *world) still() bool { return w.calm || w.quiet.Load() }

// note counts the codes of errors that callers saw.
func (w *world) note(err error) {
	code := "no answer"
	var answer *answerError
	if errors.As(err, &answer) {
		code, _, _ = strings.Cut(answer.Code, " ")
	} else if errors.Is(err, errHungUp) {
		code = "hung up"
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.codes == nil {
		w.codes = map[string]int{}
	}
	w.codes[code]++
	if w.samples == nil {
		w.samples = map[string]string{}
	}
	w.samples[code] = err.Error()
}
