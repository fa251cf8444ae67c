// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestStartBudget keeps what a start reads of a cluster in which nothing is to be done: each pod, claim and lease is looked at by itself, and asks by
// one index once. Who watches one of them for the sake of another asks nothing.
func TestStartBudget(t *testing.T) {
	const pods = 20
	w := newWorld(t)
	_, stop := w.startManager(managerOptions{})
	namespace, pool := w.namespace(), w.pool("10.9.0.0/24")
	w.network(namespace, "net", pool.Name)
	w.poolReady(pool)
	w.create(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1"}})
	for i := range pods {
		pod := w.pod(namespace, fmt.Sprintf("pod-%d", i), "net", on("node-1"))
		w.held(w.bound(namespace, pod.Name+"."+pool.Name+".net1"), pod)
	}
	w.afterSecondLook()
	stop()

	asked := &lists{by: map[string]int{}}
	feed, _ := w.startManager(managerOptions{cached: func(c client.Client) client.Client {
		asked.Client = c
		return asked
	}})
	w.eventually(func(g gomega.Gomega) { g.Expect(feed.Index.Count(pool.Name).Leased).To(gomega.BeEquivalentTo(pods)) })
	w.afterSecondLook()
	by := asked.counted()
	t.Logf("lists by each index: %v", by)
	for _, index := range []string{"pod", "holder", "lease"} {
		// Half as much again, for events that come by chance.
		if n := by[index]; n < pods || n > pods*3/2 {
			t.Errorf("%d lists by index %s of %d objects", n, index, pods)
		}
	}
	for _, index := range []string{"node", "heldlease", "statefulset", "family", "claim", "network"} {
		if n := by[index]; n > pods/2 {
			t.Errorf("%d lists by index %s, for which there is no reason", n, index)
		}
	}
}

// lists counts lists by the index by which they are.
type lists struct {
	client.Client

	mu sync.Mutex
	by map[string]int
}

// List is client.Reader's.
func (l *lists) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	var o client.ListOptions
	o.ApplyOptions(options)
	if o.FieldSelector != nil {
		l.mu.Lock()
		for _, requirement := range o.FieldSelector.Requirements() {
			l.by[requirement.Field]++
		}
		l.mu.Unlock()
	}
	return l.Client.List(ctx, list, options...)
}

func (l *lists) counted() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.by)
}
