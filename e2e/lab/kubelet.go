// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Kubelet plays the kubelet of a node, as far as the network sees it:
//
//   - It watches the node's pods by the node's way to the API, and works on each by itself.
//   - A pod gets a sandbox. If that fails, it gets another one, with another id, 10 to 15 s later (backOffPeriod, jitter).
//   - A pod whose sandbox is not ready any more, as after a crash or a reboot, has it stopped and gets a new one: same UID,
//     other id.
//   - A pod that is deleted has its sandboxes stopped, until that succeeds, and is then removed from the API. One that was
//     removed at once (force delete) has them stopped all the same, when the node hears of it.
//   - A pod that has finished has its sandboxes stopped, and stays.
//   - When it starts, it stops the sandboxes of pods that are gone, in no order, while others already start.
//
// What it lacks: probes, containers, volumes, and the limit of pods.
type Kubelet struct {
	// Runtime is the node's.
	Runtime *CRI
	// Scale divides the times between two tries.
	Scale float64
	// Deadline is how long RunPodSandbox may take; nil for kubelet's 4 minutes.
	Deadline func() time.Duration
	// Grace is how long the containers of a pod take to end; nil for no time.
	Grace func() time.Duration

	node   *Node
	client client.WithWatch
	life   context.Context //nolint:containedctx // that of its process, from Start to Stop
	cancel context.CancelFunc
	all    sync.WaitGroup

	mu   sync.Mutex
	pods map[types.UID]*podWorker
}

const (
	runLimit  = 4 * time.Minute // 2 × runtimeRequestTimeout
	stopLimit = 2 * time.Minute
	backOff   = 10 * time.Second
)

// NewKubelet gives the node a kubelet, which does not run yet.
func (n *Node) NewKubelet(runtime *CRI, scale float64) (*Kubelet, error) {
	c, err := n.lab.API.WatchClient()
	if err != nil {
		return nil, err
	}
	return &Kubelet{Runtime: runtime, Scale: scale, node: n, client: c}, nil
}

// Start starts it, until Stop.
func (k *Kubelet) Start() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.life, k.cancel = context.WithCancel(k.node.lab.ctx)
	k.pods = map[types.UID]*podWorker{}
	k.all.Go(k.run)
}

// Stop ends it as SIGKILL does, and returns when nothing of it is under way any more. What it has asked the runtime to do is given
// up by that.
func (k *Kubelet) Stop() {
	k.cancel()
	k.all.Wait()
}

// run watches the pods, again and again.
func (k *Kubelet) run() {
	first := true
	for k.life.Err() == nil {
		if k.node.API.open() {
			k.follow(&first)
		}
		k.pause(100 * time.Millisecond)
	}
}

// follow lists and watches until the watch ends, or the node's way to the API is cut.
func (k *Kubelet) follow(first *bool) {
	list := &corev1.PodList{}
	mine := client.MatchingFields{"spec.nodeName": k.node.Name}
	if err := k.client.List(k.life, list, mine); err != nil {
		return
	}
	seen := map[types.UID]bool{}
	for i := range list.Items {
		seen[list.Items[i].UID] = true
		k.deliver(list.Items[i].UID, &list.Items[i], false)
	}
	k.forgotten(seen, first)
	since := &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.ResourceVersion}}
	w, err := k.client.Watch(k.life, &corev1.PodList{}, since, mine)
	if err != nil {
		return
	}
	defer w.Stop()
	ticker := clock.RealClock{}.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case event, ok := <-w.ResultChan():
			pod, isPod := event.Object.(*corev1.Pod)
			if !ok || !isPod || !k.node.API.open() {
				return
			}
			k.deliver(pod.UID, pod, event.Type == watch.Deleted)
		case <-ticker.C():
			if !k.node.API.open() {
				return
			}
		case <-k.life.Done():
			return
		}
	}
}

// forgotten ends what belongs to pods that the API does not know any more: those that were deleted while the watch was away, and, at the
// start, the sandboxes of pods that were deleted while kubelet was.
func (k *Kubelet) forgotten(seen map[types.UID]bool, first *bool) {
	gone := map[types.UID]bool{}
	k.mu.Lock()
	for uid := range k.pods {
		gone[uid] = !seen[uid]
	}
	k.mu.Unlock()
	if *first {
		for _, s := range k.Runtime.Sandboxes() {
			gone[s.UID] = !seen[s.UID]
		}
		*first = false
	}
	for uid, yes := range gone {
		if yes {
			k.deliver(uid, nil, true)
		}
	}
}

// deliver tells the pod's worker.
func (k *Kubelet) deliver(uid types.UID, pod *corev1.Pod, gone bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	w := k.pods[uid]
	if w == nil {
		w = &podWorker{Kubelet: k, uid: uid, changed: make(chan struct{}, 1)}
		k.pods[uid] = w
		k.all.Go(w.run)
	}
	if pod != nil {
		w.pod = pod
	}
	w.gone = w.gone || gone
	w.kick()
}

// Restart stops a pod's sandbox, as the crash of its sandbox container does; the pod gets a new one. It tells whether there was
// one.
func (k *Kubelet) Restart(uid types.UID) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	w := k.pods[uid]
	if w == nil {
		return false
	}
	crashed := false
	for _, s := range k.Runtime.Of(uid) {
		s.set(func(s *PodSandbox) { crashed, s.ready = crashed || s.ready, false })
	}
	w.kick()
	return crashed
}

// Finish lets a pod's containers end with success.
func (k *Kubelet) Finish(uid types.UID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if w := k.pods[uid]; w != nil {
		w.done = true
		w.kick()
	}
}

// pause waits, unless its life ends before.
func (k *Kubelet) pause(d time.Duration) {
	timer := clock.RealClock{}.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C():
	case <-k.life.Done():
	}
}

// podWorker does what one pod needs, one thing at a time.
type podWorker struct {
	*Kubelet

	uid     types.UID
	changed chan struct{} // capacity 1

	// Under Kubelet.mu.
	pod  *corev1.Pod // as it was seen last; nil if only its sandboxes are left
	gone bool        // from the API
	done bool        // its containers have ended

	reported corev1.PodPhase // the phase that was written last; the worker's own
}

func (w *podWorker) kick() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

func (w *podWorker) state() (*corev1.Pod, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pod, w.gone
}

func (w *podWorker) finished(pod *corev1.Pod) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.done || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

func (w *podWorker) run() {
	for w.life.Err() == nil {
		pod, gone := w.state()
		var err error
		switch {
		case gone || pod == nil || pod.DeletionTimestamp != nil:
			if err = w.end(pod, gone); err == nil && gone {
				w.forget()
				return
			}
		case w.finished(pod):
			// The phase is first: nothing of it runs, although its sandbox is still there.
			if err = w.report(pod, corev1.PodSucceeded); err == nil {
				err = w.stopAll()
			}
		default:
			err = w.start(pod)
		}
		if err != nil {
			w.backOff()
			continue
		}
		select {
		case <-w.changed:
		case <-w.life.Done():
		}
	}
}

func (w *podWorker) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.pods, w.uid)
}

// backOff is the time between two tries, which only the pod's end shortens.
func (w *podWorker) backOff() {
	timer := clock.RealClock{}.NewTimer(time.Duration(float64(backOff) * (1 + rand.Float64()/2) / w.Scale))
	defer timer.Stop()
	ending := func() bool {
		pod, gone := w.state()
		return gone || pod != nil && pod.DeletionTimestamp != nil
	}
	before := ending()
	for {
		select {
		case <-timer.C():
			return
		case <-w.life.Done():
			return
		case <-w.changed:
			if !before && ending() {
				return
			}
		}
	}
}

// start sees to it that the pod has a sandbox.
func (w *podWorker) start(pod *corev1.Pod) error {
	for _, s := range w.Runtime.Of(w.uid) {
		if s.Ready() {
			return w.report(pod, corev1.PodRunning)
		}
		if err := w.stopOne(s); err != nil {
			return err
		}
	}
	limit := runLimit
	if w.Deadline != nil {
		limit = w.Deadline()
	}
	within, cancel := context.WithTimeout(w.life, limit)
	defer cancel()
	if _, err := w.Runtime.RunPodSandbox(within, pod); err != nil {
		return err
	}
	return w.report(pod, corev1.PodRunning)
}

// end takes the pod down.
func (w *podWorker) end(pod *corev1.Pod, gone bool) error {
	if w.Grace != nil {
		w.pause(w.Grace())
	}
	if err := w.stopAll(); err != nil || gone || pod == nil {
		return err
	}
	if !w.node.API.open() {
		return errNoAPI
	}
	return w.node.lab.ForgetPod(w.life, pod)
}

func (w *podWorker) stopAll() error {
	for _, s := range w.Runtime.Of(w.uid) {
		if err := w.stopOne(s); err != nil {
			return err
		}
	}
	return nil
}

func (w *podWorker) stopOne(s *PodSandbox) error {
	within, cancel := context.WithTimeout(w.life, stopLimit)
	defer cancel()
	if err := w.Runtime.StopPodSandbox(within, s.ID); err != nil {
		return err
	}
	return w.Runtime.RemovePodSandbox(s.ID)
}

// report writes the phase, unless it was written.
func (w *podWorker) report(pod *corev1.Pod, phase corev1.PodPhase) error {
	if pod.Status.Phase == phase || w.reported == phase {
		return nil
	}
	if !w.node.API.open() {
		return errNoAPI
	}
	patch := client.MergeFrom(pod.DeepCopy())
	next := pod.DeepCopy()
	next.Status.Phase = phase
	if err := w.client.Status().Patch(w.life, next, patch); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reporting pod %s as %s: %w", pod.Name, phase, err)
	}
	w.reported = phase
	return nil
}

var errNoAPI = errors.New("the API server does not answer")
