// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/internal/problem"
)

// lockstep holds what an ADD asks the API for until nothing more comes, and lets it go all at once: what is in one step waits for no other answer of it.
type lockstep struct {
	names tally // by which it tells requests

	mu    sync.Mutex
	step  []string
	goOn  chan struct{}
	quiet *time.Timer
	steps [][]string
}

// quietFor is how long nothing must come for a step to be whole. A request that needs no answer comes within a millisecond of the others.
const quietFor = 300 * time.Millisecond

// follow holds the requests of the node's agent from now on.
func (l *lockstep) follow(n *node) {
	n.wire.hook(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		if name := l.names.nameOf(req); name != "" && name != oneClaim {
			<-l.held(name)
		}
		return next.RoundTrip(req)
	})
}

func (l *lockstep) held(name string) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.goOn == nil {
		l.goOn = make(chan struct{})
		l.quiet = time.AfterFunc(quietFor, l.release)
	}
	l.quiet.Reset(quietFor)
	l.step = append(l.step, name)
	return l.goOn
}

func (l *lockstep) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.goOn == nil {
		return
	}
	slices.Sort(l.step)
	l.steps = append(l.steps, l.step)
	close(l.goOn)
	l.step, l.goOn = nil, nil
}

func (l *lockstep) taken() [][]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	steps := l.steps
	l.steps = nil
	return steps
}

// TestUnboundSequence keeps how many answers of the API an ADD without the manager waits for, one after the other: the three writes', each of which
// needs the one before. All that it reads is read beside the first.
func TestUnboundSequence(t *testing.T) {
	f := newFixture(t)
	n := startNode(t, func(o *Options) { o.Times.View = time.Minute })
	known, first := f.newPod(t, "known", n.name, ""), f.newPod(t, "first", n.name, "")
	f.awaitKnown(t, n, known, first)
	eventually(t, "the pool in the agent's cache", func() error {
		pool, err := n.agent.findPool(t.Context(), f.pool.Name)
		if err == nil && len(pool.Status.Conditions) == 0 {
			return errNotReady
		}
		return err
	})
	f.add(t, n, "c1", first)
	var l lockstep
	l.follow(n)
	f.add(t, n, "c2", known)
	want := [][]string{{"GET macpools", "POST macclaims"}, {"POST macleases"}, {"PUT macclaims/status"}}
	if diff := cmp.Diff(want, l.taken()); diff != "" {
		t.Errorf("an ADD of a pod that the lists reach (-want +got):\n%s", diff)
	}

	pod := f.newPod(t, "later", n.name, "")
	f.awaitKnown(t, n, pod)
	f.add(t, n, "c3", pod)
	want = [][]string{
		{"GET macclaims", "GET macpools"}, // whether a person has made a claim for it says which one to make
		{"GET macleases", "POST macclaims"},
		{"POST macleases"},
		{"PUT macclaims/status"},
	}
	if diff := cmp.Diff(want, l.taken()); diff != "" {
		t.Errorf("an ADD of a pod that has come since (-want +got):\n%s", diff)
	}
}

// TestPoolThatChooses proves that nothing is made for a pod before a pool that leases to some namespaces only has let it in; and that the claims of a
// namespace that was let in a moment ago wait for no more than those of other pools.
func TestPoolThatChooses(t *testing.T) {
	f := newFixture(t)
	n := startNode(t, func(o *Options) { o.Times.View = time.Minute })
	choose := func(name string) {
		f.pool.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: name}}
		f.must(t, f.Update(t.Context(), f.pool))
		f.setReady(t, f.pool)
		eventually(t, "the pool in the agent's cache", func() error {
			pool, err := n.agent.findPool(t.Context(), f.pool.Name)
			if err == nil && pool.ResourceVersion != f.pool.ResourceVersion {
				return errNotReady
			}
			return err
		})
	}
	choose("another")
	pods := []*corev1.Pod{f.newPod(t, "a", n.name, ""), f.newPod(t, "b", n.name, "")}
	f.awaitKnown(t, n, pods...)
	wantProblem(t, n.ask(t, f.addition("c1", pods[0])), problem.PoolForbidden)
	if claim := f.claimOf(t, pods[0]); claim != nil {
		t.Errorf("claim %s was made", claim.Name)
	}

	choose(f.namespace)
	f.add(t, n, "c2", pods[0])
	var l lockstep
	l.follow(n)
	f.add(t, n, "c3", pods[1])
	want := [][]string{{"GET macpools", "GET namespaces", "POST macclaims"}, {"POST macleases"}, {"PUT macclaims/status"}}
	if diff := cmp.Diff(want, l.taken()); diff != "" {
		t.Errorf("an ADD of a namespace that was let in before (-want +got):\n%s", diff)
	}
}
