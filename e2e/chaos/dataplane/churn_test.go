// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package dataplane_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/e2e/lab"
)

// churn lets pods come and go.
type churn struct {
	*world

	ctx    context.Context //nolint:containedctx // until the pods shall stay
	all    sync.WaitGroup
	actors int

	mu    sync.Mutex
	there map[types.UID]*corev1.Pod // what the API has
	pods  int                       // lives that were led
}

// selections are the networks that a pod may have.
var selections = []string{"vlan", "bridged", "vlan,bridged", "vlan,vlan"}

func (w *world) startChurn(ctx context.Context, actors int) *churn {
	c := &churn{world: w, ctx: ctx, actors: actors, there: map[types.UID]*corev1.Pod{}}
	go c.watch()
	for i := range actors {
		rng := w.rng(fmt.Sprintf("actor %d", i))
		if i%7 < 4 { // four of seven are pods of StatefulSets
			set, ordinal := w.sets[i%len(w.sets)], i/len(w.sets)
			c.all.Go(func() { c.sticky(rng, set, ordinal) })
		} else {
			c.all.Go(func() { c.bare(rng, i) })
		}
	}
	return c
}

// watch follows the pods.
func (c *churn) watch() {
	for c.world.ctx.Err() == nil {
		c.follow()
		time.Sleep(100 * time.Millisecond)
	}
}

func (c *churn) follow() {
	list := &corev1.PodList{}
	if err := c.api.List(c.world.ctx, list, client.InNamespace(load)); err != nil {
		return
	}
	there := map[types.UID]*corev1.Pod{}
	for i := range list.Items {
		there[list.Items[i].UID] = &list.Items[i]
	}
	c.mu.Lock()
	c.there = there
	c.mu.Unlock()
	since := &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.ResourceVersion}}
	events, err := c.api.Watch(c.world.ctx, &corev1.PodList{}, client.InNamespace(load), since)
	if err != nil {
		return
	}
	defer events.Stop()
	for e := range events.ResultChan() {
		pod, ok := e.Object.(*corev1.Pod)
		if !ok {
			return
		}
		c.mu.Lock()
		if e.Type == watch.Deleted {
			delete(c.there, pod.UID)
		} else {
			c.there[pod.UID] = pod
		}
		c.mu.Unlock()
	}
}

// exists tells whether the API has the pod, as far as the watch has come.
func (c *churn) exists(uid types.UID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.there[uid] != nil
}

// until polls what is known here, and gives up when it takes too long or the churn ends.
func (c *churn) until(limit time.Duration, ok func() bool) bool {
	for deadline := time.Now().Add(limit); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) || c.ctx.Err() != nil {
			return false
		}
	}
	return true
}

func (c *churn) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-c.ctx.Done():
	}
}

// sticky leads the lives of one ordinal, one after the other.
func (c *churn) sticky(rng *rand.Rand, set *appsv1.StatefulSet, ordinal int) {
	for c.ctx.Err() == nil {
		pod := lab.Replica(set, ordinal)
		pod.Annotations = map[string]string{nadv1.NetworkAttachmentAnnot: selections[ordinal%len(selections)]}
		c.live(rng, pod, true)
	}
}

// bare leads the lives of pods whose names do not come again.
func (c *churn) bare(rng *rand.Rand, i int) {
	for n := 0; c.ctx.Err() == nil; n++ {
		pod := lab.NewPod(load, fmt.Sprintf("bare-%d-%d", i, n), selections[rng.IntN(len(selections))])
		c.live(rng, pod, false)
	}
}

// live leads one life: from the pod's creation until the API has forgotten it.
func (c *churn) live(rng *rand.Rand, pod *corev1.Pod, sticky bool) {
	h := c.hosts[rng.IntN(len(c.hosts))]
	if err := c.create(pod, h); err != nil {
		c.say("creating %s: %v", pod.Name, err)
		c.pause(200 * time.Millisecond)
		return
	}
	c.mu.Lock()
	c.pods++
	c.mu.Unlock()
	running := func() bool { return c.running(h, pod.UID) }
	// Some are deleted before they run.
	if rng.IntN(20) > 0 {
		c.until(10*time.Second, running)
		c.pause(time.Duration(rng.ExpFloat64() * float64(*lifeFlag)))
	} else {
		c.pause(time.Duration(rng.IntN(150)) * time.Millisecond)
	}
	// A sandbox that crashes gets a successor with the same UID.
	for rng.Float64() < *crashesFlag/(1+*crashesFlag) && running() && c.ctx.Err() == nil && h.Kubelet.Restart(pod.UID) {
		c.until(10*time.Second, running)
		c.pause(time.Duration(rng.ExpFloat64() * float64(*lifeFlag) / 3))
	}
	if c.ctx.Err() != nil {
		return // it stays
	}
	switch n := rng.IntN(100); {
	case n < 6 && !sticky:
		h.Kubelet.Finish(pod.UID)
		c.struckBy("F21", "pod finished, its object stays", "m5-m6")
		c.pause(2 * time.Second)
		c.remove(pod, false)
	case n < 12:
		// By force: its node hears of it later, or not before it is back.
		c.remove(pod, true)
		id, moment := "F16", "m5-m6"
		if sticky { // and at once there is another one of the name
			id = "F17"
		}
		c.struckBy(id, "force delete", moment)
		return
	default:
		c.remove(pod, false)
	}
	if !c.until(time.Minute, func() bool { return !c.exists(pod.UID) }) {
		c.remove(pod, true)
	}
}

func (c *churn) running(h *host, uid types.UID) bool {
	for _, s := range h.Runtime.Of(uid) {
		if s.Ready() {
			return true
		}
	}
	return false
}

// create creates the pod on a host, when the name is free.
func (c *churn) create(pod *corev1.Pod, h *host) error {
	err := c.api.Create(c.world.ctx, pod)
	if apierrors.IsAlreadyExists(err) {
		c.pause(100 * time.Millisecond)
	}
	if err != nil {
		return err
	}
	return c.lab.Bind(c.world.ctx, pod, h.Node)
}

// remove deletes the pod.
func (c *churn) remove(pod *corev1.Pod, force bool) {
	options := []client.DeleteOption{client.Preconditions{UID: &pod.UID}}
	if force {
		options = append(options, client.GracePeriodSeconds(0))
	}
	err := c.api.Delete(c.world.ctx, pod, options...)
	if err != nil && !apierrors.IsNotFound(err) && !strings.Contains(err.Error(), "UID in precondition") {
		c.say("deleting %s: %v", pod.Name, err)
	}
}
