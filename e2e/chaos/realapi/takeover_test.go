// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package realapi_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/chaos/faultproxy"
	"github.com/macpool/macpool/e2e/chaos/oracle"
	"github.com/macpool/macpool/e2e/chaos/pressure"
)

const (
	// takeoverAfter is how long a node must have been seen silent before anybody takes from it what it has.
	takeoverAfter = 40 * time.Second
	// fencedWithin is how soon a node that is back must have ended what has moved on (R-G7). Time in which something waited for a CPU of
	// this machine does not count: nodes do not share one.
	fencedWithin = 5 * time.Second
	farPods      = 4
	farPrefix    = "far-" // of the nodes' names
)

// quickPool takes over from a silent node without asking the VLAN, of which there is none here. Two holders at once are its risk, until
// the old one's node is back; that this ends then is what is tried.
func quickPool() *v1alpha1.MacPool {
	pool := newPool("quick", 52, "10.52.0.20", "10.52.0.51")
	pool.Spec.Takeover = v1alpha1.TakeoverImmediate
	return pool
}

// farAway is F15 and F22 beside everything else, with nodes of its own. Pods of a StatefulSet run on a node that is cut off from the API, and
// are replaced elsewhere; the node comes back. Then the node that they run on loses its power and is declared out of service.
func (w *world) farAway() {
	set := &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: loadNamespace, Name: "far"},
		Spec: appsv1.StatefulSetSpec{
			ServiceName: "far", Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "far"}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "far"}},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}},
			},
		},
	}
	w.must("creating a StatefulSet", func() error { return ignoreExists(w.admin.Create(w.ctx, set)) })
	for ordinal := range farPods {
		w.far = append(w.far, w.newSlot(loadNamespace, "quick", "far", set, ordinal))
	}
	old, next := w.farNodes[0], w.farNodes[1]
	if !w.moveTo(w.far, old, 30*time.Second) {
		return
	}
	w.away.Store(true)
	defer w.away.Store(false)
	if w.cutAndReplace(old, next) {
		w.outOfService(next, old)
	}
}

// moveTo starts the pods on a node, each with a link of its own.
func (w *world) moveTo(slots []*slot, n *node, within time.Duration) bool {
	var all sync.WaitGroup
	for _, s := range slots {
		all.Go(func() {
			s.only = n
			s.create()
			for deadline := w.clock.Now().Add(within); s.pod != nil && s.box == nil && w.clock.Now().Before(deadline); w.pause(time.Second) {
				if s.try() != nil {
					continue
				}
				if err := s.box.addLink(s.lease.MAC); err != nil {
					w.violation(oracle.Violation{Kind: "driver", Text: "making a link: " + err.Error()})
				}
			}
		})
	}
	all.Wait()
	for _, s := range slots {
		if s.box == nil {
			w.mu.Lock()
			samples := fmt.Sprint(w.samples)
			w.mu.Unlock()
			w.violation(oracle.Violation{Kind: "stuck", Text: fmt.Sprintf("%s does not run on %s after %s: %s%s", s.name(), n.name, within, samples, s.story())})
			return false
		}
	}
	return true
}

// cutAndReplace cuts the old node off from the API while its pods run, replaces them on the next, and lets the old one come back.
func (w *world) cutAndReplace(old, next *node) bool {
	cut := w.clock.Now()
	old.proxy.Partition(faultproxy.Refused)
	w.setReady(old, corev1.ConditionUnknown)
	before := map[string]*sandbox{}
	for _, s := range w.far {
		s.forget(s.pod, 0)
		before[s.name()] = s.box
		s.pod, s.box = nil, nil
	}
	w.inject("F15", "node cut off, its pods replaced, node back", "m5-m6")
	w.inject("F14", "node cut off, its pods replaced", "m5-m6")
	// Their successors are refused until the node was seen silent for long enough. The policy of the pool lets two hold the address
	// then, until the old one is back.
	for _, box := range before {
		w.truth.Excuse(box.id)
	}
	asked := w.clock.Now()
	if !w.moveTo(w.far, next, 4*takeoverAfter) {
		old.proxy.Heal()
		return false
	}
	for _, s := range w.far {
		if took := s.since.Sub(asked); took < takeoverAfter-time.Second {
			w.violation(oracle.Violation{Kind: oracle.FalseRelease, Text: fmt.Sprintf("%s was taken over %s after its node was looked at first", s.name(), took)})
		}
	}
	w.logf("%s was silent for %s; its pods run on %s", old.name, w.clock.Since(cut).Round(time.Second), next.name)
	healed, waited := w.clock.Now(), pressure.Stalled()
	old.proxy.Heal()
	w.setReady(old, corev1.ConditionTrue)
	for name, box := range before {
		for box.hasLink() && w.pause(50*time.Millisecond) {
			if w.clock.Since(healed) > 6*fencedWithin {
				break
			}
		}
		took, stall := w.clock.Since(healed), pressure.Stalled()-waited
		if took-stall > fencedWithin {
			w.violation(oracle.Violation{Kind: oracle.Duplicate, Text: fmt.Sprintf(
				"%s has two live holders %s after its old node came back, %s of which something waited for a CPU (R-G7)", name, took, stall)})
		}
		w.figureMax("fencedAfterSeconds", took.Seconds())
		w.figureMax("fencedAfterSecondsWithoutStall", (took - stall).Seconds())
		box.remove()
	}
	w.addFigure("takeovers", float64(len(before)))
	return true
}

// outOfService ends a node's power for good and says so; its pods run elsewhere at once. Later it is repaired.
func (w *world) outOfService(old, next *node) {
	if !old.powerLoss(time.Hour) {
		return
	}
	w.inject("F4", "node power loss", "m8-m9")
	for _, s := range w.far {
		s.forget(s.pod, 0)
		s.pod, s.box = nil, nil
	}
	w.setReady(old, corev1.ConditionUnknown)
	w.taint(old, []corev1.Taint{{Key: corev1.TaintNodeOutOfService, Value: "nodeshutdown", Effect: corev1.TaintEffectNoExecute}})
	w.inject("F22", "node out of service", "m8-m9")
	w.moveTo(w.far, next, 3*takeoverAfter)
	w.taint(old, nil)
	w.setReady(old, corev1.ConditionTrue)
	old.repair()
}

// setReady is the kubelet's word, or the node controller's when there is none.
func (w *world) setReady(n *node, status corev1.ConditionStatus) {
	w.must("writing a node's status", func() error {
		live := &corev1.Node{}
		if err := w.admin.Get(w.ctx, client.ObjectKey{Name: n.name}, live); err != nil {
			return err
		}
		for i := range live.Status.Conditions {
			if live.Status.Conditions[i].Type == corev1.NodeReady {
				live.Status.Conditions[i].Status = status
				live.Status.Conditions[i].LastTransitionTime = metav1.Now()
			}
		}
		return w.admin.Status().Update(w.ctx, live)
	})
}

func (w *world) taint(n *node, taints []corev1.Taint) {
	w.must("tainting a node", func() error {
		live := &corev1.Node{}
		if err := w.admin.Get(w.ctx, client.ObjectKey{Name: n.name}, live); err != nil {
			return err
		}
		live.Spec.Taints = taints
		return w.admin.Update(w.ctx, live)
	})
}

// figureMax keeps the largest of a figure.
func (w *world) figureMax(name string, value float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.report.Figures[name] = max(w.report.Figures[name], value)
}

// ownNamespace mounts a new network namespace at the path.
func ownNamespace(path string) error {
	done := make(chan error, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine, and nobody else gets it in the wrong namespace.
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, "")
		}
		done <- err
	}()
	return <-done
}

// addLink makes the interface that the plugin would have made: a bridge stands in for it, which every kernel has.
func (sb *sandbox) addLink(mac string) error {
	address, err := net.ParseMAC(mac)
	if err != nil {
		return err
	}
	return ns.WithNetNSPath(sb.path, func(ns.NetNS) error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.HardwareAddr = iface, address
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
			return err
		}
		link, err := netlink.LinkByName(iface)
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(link)
	})
}

// hasLink tells whether the interface is there and up.
func (sb *sandbox) hasLink() bool {
	up := false
	err := ns.WithNetNSPath(sb.path, func(ns.NetNS) error {
		link, err := netlink.LinkByName(iface)
		if err != nil {
			return err
		}
		up = link.Attrs().Flags&net.FlagUp != 0
		return nil
	})
	var missing netlink.LinkNotFoundError
	if err != nil && !errors.As(err, &missing) && !errors.Is(err, os.ErrNotExist) {
		return true // nobody knows
	}
	return up
}
