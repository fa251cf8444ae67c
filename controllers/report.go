// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"

	"github.com/macpool/macpool/internal/problem"
)

// finding is a problem as an event tells it.
type finding struct{ Reason, Note string }

func findingOf(p *problem.Error) finding { return finding{Reason: p.Kind.Reason, Note: p.Error()} }

// findingOfCondition is the problem that a condition tells, with its code. ok is false if it tells none.
func findingOfCondition(c *metav1.Condition) (f finding, ok bool) {
	if c == nil || c.Status != metav1.ConditionFalse {
		return finding{}, false
	}
	i := slices.IndexFunc(problem.Kinds(), func(k *problem.Kind) bool { return k.Reason == c.Reason })
	if i < 0 {
		return finding{}, false
	}
	return finding{Reason: c.Reason, Note: problem.Kinds()[i].Code + ": " + c.Message}, true
}

// say makes an event of a finding. about tells apart what has the same reason on one object: the recorder counts those as
// one event otherwise.
func say(recorder events.EventRecorder, object runtime.Object, about string, f finding) {
	action := "Attach"
	if about != "" {
		action += "/" + about
	}
	recorder.Eventf(object, nil, corev1.EventTypeWarning, f.Reason, action, "%s", problem.Cut(f.Note, problem.MaxNote))
}

// reports remembers what was said about each object, so that it is said once. It forgets with the process: what is still
// wrong after a restart is worth saying again.
type reports struct {
	mu   sync.Mutex
	said map[types.NamespacedName]*said
}

// said is what was said about one object: subject (an interface, say) -> finding.
type said struct {
	uid      types.UID
	findings map[string]finding
}

// news leaves what was not said before, or was different, and remembers it all. An object made again under its name is
// another one.
func (r *reports) news(object metav1.Object, findings map[string]finding) map[string]finding {
	key := types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.said[key]
	if len(findings) == 0 {
		delete(r.said, key)
		return nil
	}
	fresh := map[string]finding{}
	for subject, f := range findings {
		if before == nil || before.uid != object.GetUID() || before.findings[subject] != f {
			fresh[subject] = f
		}
	}
	if r.said == nil {
		r.said = map[types.NamespacedName]*said{}
	}
	r.said[key] = &said{uid: object.GetUID(), findings: findings}
	return fresh
}

// forget forgets an object that is gone.
func (r *reports) forget(key types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.said, key)
}
