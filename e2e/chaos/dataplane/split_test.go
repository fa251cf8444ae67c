// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package dataplane_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/e2e/chaos/pressure"
	"github.com/macpool/macpool/e2e/lab"
)

// Hosts that are cut off for as long as it takes until an address may be taken over. The churn has no pods there.
const (
	deafHost  = iota // cut off from the API, its cable in
	darkHost         // without power
	aloneHost        // cut off altogether
	victims
)

const (
	// overtake is for how long a node must have been silent before an address is taken over from it, as the agents have it.
	overtake = 40 * time.Second
	// fenceWithin is how soon after a heal an interface must be gone whose address has moved on (R-G7).
	fenceWithin = 5 * time.Second
)

// contest is an identity whose pod is replaced while its node does not answer.
type contest struct {
	*world

	name    string
	set     *appsv1.StatefulSet
	ordinal int
	net     *network
	from    *host
	to      *host

	old, next *corev1.Pod
	begun     time.Time // when it was replaced
}

func (c *contest) identity() string {
	return fmt.Sprintf("%s/%s.%s.net1", load, c.old.Name, c.net.name)
}

func (c *contest) pod() *corev1.Pod {
	pod := lab.Replica(c.set, c.ordinal)
	pod.Annotations = map[string]string{nadv1.NetworkAttachmentAnnot: c.net.name}
	return pod
}

// begin runs the old pod.
func (c *contest) begin() error {
	c.old = c.pod()
	if err := c.create(c.old, c.from); err != nil {
		return err
	}
	return c.await(c.name+": the old pod runs", time.Minute, func() error { return c.runs(c.from, c.old) })
}

func (c *contest) create(pod *corev1.Pod, h *host) error {
	if err := c.api.Create(c.ctx, pod); err != nil {
		return err
	}
	return c.lab.Bind(c.ctx, pod, h.Node)
}

func (w *world) runs(h *host, pod *corev1.Pod) error {
	for _, s := range h.Runtime.Of(pod.UID) {
		if s.Ready() {
			return nil
		}
	}
	return fmt.Errorf("pod %s (%s) does not run on %s; it was refused with %v", pod.Name, pod.UID, h.Name, w.truth.refusedPod(pod))
}

// replace removes the old pod from the API by force, and makes the next one on a host that answers.
func (c *contest) replace() error {
	c.truth.forfeit(c.old)
	if err := c.lab.ForgetPod(c.ctx, c.old); err != nil {
		return err
	}
	c.begun = time.Now()
	c.next = c.pod()
	return c.create(c.next, c.to)
}

// oldUp tells whether an interface of the old pod is up.
func (c *contest) oldUp() bool {
	for _, s := range c.from.Runtime.Namespaces() {
		if s.UID != c.old.UID {
			continue
		}
		interfaces, err := s.Interfaces()
		if err != nil || slices.ContainsFunc(interfaces, func(i lab.Interface) bool { return i.Up }) {
			return true
		}
	}
	return false
}

// wins waits until the next pod runs.
func (c *contest) wins(patience time.Duration) {
	if err := c.await(c.name+": the next pod runs", patience, func() error { return c.runs(c.to, c.next) }); err != nil {
		c.violate(lostLease, "%v", err)
		return
	}
	c.say("%s: the next pod runs %.1f s after it was made", c.name, time.Since(c.begun).Seconds())
}

// waits fails if the next pod runs before a time has passed; it must have been refused with the code then.
func (c *contest) waits(until time.Time, code string) {
	for ; time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
		if c.runs(c.to, c.next) == nil {
			c.violate(duplicate, "%s: the next pod runs while the old one is up: %v", c.name, c.oldUp())
			return
		}
	}
	if refused := c.truth.refusedPod(c.next); !slices.Contains(refused, code) {
		c.violate(other, "%s: the next pod was refused with %v, and not with %s", c.name, refused, code)
	}
	if !c.oldUp() {
		c.violate(lostLease, "%s: the interface of the old pod is not up any more", c.name)
	}
}

// ends removes the next pod.
func (c *contest) ends() {
	if err := c.api.Delete(c.ctx, c.next); client.IgnoreNotFound(err) != nil {
		c.violate(other, "%s: %v", c.name, err)
	}
	err := c.await(c.name+": the next pod is gone", time.Minute, func() error {
		if c.runs(c.to, c.next) == nil {
			return fmt.Errorf("pod %s is still there", c.next.Name)
		}
		return client.IgnoreNotFound(c.api.Get(c.ctx, client.ObjectKeyFromObject(c.next), &corev1.Pod{}))
	})
	if err != nil {
		c.violate(other, "%v", err)
	}
}

// splits has nodes fall silent, again and again, while everything else goes on.
func (w *world) splits(ctx context.Context, rng *rand.Rand) {
	for round := 0; ctx.Err() == nil; round++ {
		if left, ok := ctx.Deadline(); ok && round > 0 && time.Until(left) < overtake+20*time.Second {
			return
		}
		w.split(rng)
		w.addFigure("splits", 1)
	}
}

// split is one round.
func (w *world) split(rng *rand.Rand) {
	deaf, dark, alone := w.victims[deafHost], w.victims[darkHost], w.victims[aloneHost]
	to := w.hosts[len(w.hosts)-1]
	probe := w.nets[rng.IntN(2)]
	contests := map[string]*contest{}
	for i, c := range []*contest{
		{name: "cut off from the API", net: probe, from: deaf},
		{name: "without power", net: probe, from: dark},
		{name: "cut off altogether", net: probe, from: alone},
		{name: "cut off altogether, Strict", net: w.strict, from: alone},
	} {
		c.world, c.set, c.ordinal, c.to = w, w.split0, i, to
		contests[c.name] = c
		if err := c.begin(); err != nil {
			w.violate(other, "%v", err)
			return
		}
	}
	api, power, full, strict := contests["cut off from the API"], contests["without power"], contests["cut off altogether"], contests["cut off altogether, Strict"]
	time.Sleep(time.Second)

	w.struckBy("F14", "node cut off from the API for 45 s, its pod replaced", running)
	w.struckBy("F4", "power cut for 45 s, its pod replaced", running)
	w.struckBy("F15", "node cut off altogether for 45 s, its pod replaced", running)
	w.struckBy("M24", "pod replaced while its node is silent", running)
	deaf.API.Cut()
	w.powerOff(dark)
	alone.API.Cut()
	w.unplug(alone)
	w.scan.splitUntil(full.identity(), time.Now().Add(time.Hour))
	for _, h := range w.victims {
		w.reportReady(h, false)
	}
	cut := time.Now()
	for _, c := range contests {
		if err := c.replace(); err != nil {
			w.violate(other, "%s: %v", c.name, err)
			return
		}
	}
	w.say("three nodes are cut off")
	// Who is cut off with its cable in, or in a Strict pool, keeps its address for as long as it lasts.
	power.wins(overtake + 40*time.Second)
	full.wins(20 * time.Second)
	enough := maxTime(cut.Add(overtake+5*time.Second), time.Now().Add(2*time.Second))
	api.waits(enough, "MP519")
	strict.waits(time.Now(), "MP521")
	if early := full.begun.Add(overtake - time.Second); time.Now().Before(early) {
		w.violate(other, "an address was taken over %s after its node fell silent", time.Since(cut))
	}

	w.heal(alone, full)
	w.reportReady(alone, true)
	strict.wins(time.Minute)
	deaf.API.Heal()
	w.reportReady(deaf, true)
	api.wins(time.Minute)
	w.powerOn(dark)
	w.reportReady(dark, true)
	// What the dead node's kubelet has to say about its old pod changes nothing.
	if err := w.await("the old sandbox is gone", time.Minute, func() error {
		if left := dark.Runtime.Of(power.old.UID); len(left) > 0 {
			return fmt.Errorf("%d are left", len(left))
		}
		return power.runs(power.to, power.next)
	}); err != nil {
		w.violate(lostLease, "%v", err)
	}
	for _, c := range contests {
		c.ends()
	}
	w.outOfService(dark, power)
}

// heal puts the host back. Its kubelet comes later: what takes the old pod's interface away is macpool alone.
func (w *world) heal(h *host, c *contest) {
	h.Kubelet.Stop()
	if !c.oldUp() {
		w.violate(lostLease, "%s: the old pod's interface is gone before the heal", c.name)
	}
	healed, stalled := time.Now(), pressure.Stalled()
	w.scan.splitUntil(c.identity(), healed.Add(fenceWithin))
	w.plug(h)
	h.API.Heal()
	err := w.await(c.name+": the old pod's interface is gone", time.Minute, func() error {
		if c.oldUp() {
			return fmt.Errorf("it is up")
		}
		return nil
	})
	took, stall := time.Since(healed), pressure.Stalled()-stalled
	w.addFigure("fences", 1)
	w.addFigure("fenceSeconds", took.Seconds())
	w.addFigure("fenceSecondsWithoutStall", (took - stall).Seconds())
	w.say("%s: the old pod's interface was gone %.1f s after the heal", c.name, took.Seconds())
	switch {
	case err != nil:
		w.violate(duplicate, "%v", err)
	case took-stall > fenceWithin:
		w.violate(duplicate, "%s: the old pod's interface was up for %s after the heal, %s of which something waited for a CPU (R-G7)", c.name, took, stall)
	}
	h.Kubelet.Start()
}

// outOfService cuts the power of a host for good, as far as anybody knows, and says so by the taint: no 40 s are waited for (F22).
func (w *world) outOfService(h *host, last *contest) {
	c := &contest{world: w, name: "out of service", set: w.split0, ordinal: 10, net: last.net, from: h, to: last.to}
	if err := c.begin(); err != nil {
		w.violate(other, "%v", err)
		return
	}
	w.struckBy("F22", "power cut, taint out-of-service", running)
	w.powerOff(h)
	w.reportReady(h, false)
	w.taint(h, true)
	if err := c.replace(); err != nil {
		w.violate(other, "%s: %v", c.name, err)
		return
	}
	c.wins(overtake - 5*time.Second)
	w.powerOn(h)
	w.taint(h, false)
	w.reportReady(h, true)
	c.ends()
}

func (w *world) taint(h *host, on bool) {
	node := &corev1.Node{}
	if err := w.api.Get(w.ctx, client.ObjectKey{Name: h.Name}, node); err != nil {
		w.violate(other, "reading node %s: %v", h.Name, err)
		return
	}
	patch := client.MergeFrom(node.DeepCopy())
	node.Spec.Taints = nil
	if on {
		node.Spec.Taints = []corev1.Taint{{Key: corev1.TaintNodeOutOfService, Value: "nodeshutdown", Effect: corev1.TaintEffectNoExecute}}
	}
	if err := w.api.Patch(w.ctx, node, patch); err != nil {
		w.violate(other, "tainting node %s: %v", h.Name, err)
	}
}

func (w *world) reportReady(h *host, ready bool) {
	if err := h.ReportReady(w.ctx, ready); err != nil {
		w.violate(other, "%v", err)
	}
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// ending is when something must be over. Time in which something waited for a CPU of this machine does not count: nodes do not share
// one.
type ending struct {
	at      time.Time
	stalled time.Duration // by then, when it was said
}

// splitUntil lets an identity have two holders that are cut off from each other, and until then two that are not.
func (s *scanner) splitUntil(identity string, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.split[identity] = ending{until, pressure.Stalled()}
}

// contested tells whether an identity may have two holders now.
func (s *scanner) contested(identity string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	end, ok := s.split[identity]
	return ok && time.Now().Before(end.at.Add(pressure.Stalled()-end.stalled))
}

// forfeit notes that a pod's interfaces are to go, although nobody detaches them.
func (t *truth) forfeit(pod *corev1.Pod) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range t.attempts {
		if a.sandbox.UID == pod.UID {
			a.fenced = true
		}
	}
}

// refusedPod are the codes with which ADDs of a pod failed, oldest first.
func (t *truth) refusedPod(pod *corev1.Pod) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.ofPod[pod.UID])
}

// splitName is the StatefulSet's.
const splitName = "split"

// splitSet makes the StatefulSet whose pods are replaced.
func (w *world) splitSet() error {
	w.split0 = &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: load, Name: splitName},
		Spec: appsv1.StatefulSetSpec{
			ServiceName: splitName, Replicas: new(int32(100)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": splitName}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": splitName}},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}},
			},
		},
	}
	return w.api.Create(w.ctx, w.split0)
}
