// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"

	"github.com/macpool/macpool/internal/problem"
)

func TestReportsAreNewsOnce(t *testing.T) {
	var r reports
	pod := func(uid types.UID) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: "pod", UID: uid}}
	}
	bad, worse := finding{"Bad", "bad"}, finding{"Bad", "worse"}
	for i, step := range []struct {
		uid       types.UID
		say, want map[string]finding
	}{
		{"1", map[string]finding{"net1": bad}, map[string]finding{"net1": bad}},
		{"1", map[string]finding{"net1": bad}, map[string]finding{}},
		{"1", map[string]finding{"net1": bad, "net2": bad}, map[string]finding{"net2": bad}},
		{"1", map[string]finding{"net1": worse, "net2": bad}, map[string]finding{"net1": worse}},
		{"1", nil, nil},
		{"1", map[string]finding{"net1": worse}, map[string]finding{"net1": worse}}, // it was well in between
		{"2", map[string]finding{"net1": worse}, map[string]finding{"net1": worse}}, // another pod
	} {
		if diff := cmp.Diff(step.want, r.news(pod(step.uid), step.say)); diff != "" {
			t.Errorf("step %d: %s", i, diff)
		}
	}
	r.forget(types.NamespacedName{Namespace: "home", Name: "pod"})
	if len(r.said) != 0 {
		t.Errorf("it still remembers %v", r.said)
	}
}

func TestFindingOfCondition(t *testing.T) {
	p := problem.PoolUnknown.New("iot")
	c := &metav1.Condition{Status: metav1.ConditionFalse, Reason: p.Kind.Reason, Message: p.Sentence()}
	if got, ok := findingOfCondition(c); !ok || got != findingOf(p) {
		t.Errorf("got %v, want %v", got, findingOf(p))
	}
	for _, c := range []*metav1.Condition{nil, {Status: metav1.ConditionTrue, Reason: p.Kind.Reason}, {Status: metav1.ConditionFalse, Reason: "Else"}} {
		if got, ok := findingOfCondition(c); ok {
			t.Errorf("%v tells %v", c, got)
		}
	}
}

func TestNotesAreAsShortAsTheAPIServerWants(t *testing.T) {
	recorder := events.NewFakeRecorder(2)
	say(recorder, &corev1.Pod{}, "net1", finding{"Bad", "a" + strings.Repeat("ü", problem.MaxNote)})
	note := strings.TrimPrefix(<-recorder.Events, "Warning Bad ")
	if len(note) > problem.MaxNote || len(note) < problem.MaxNote-4 || !utf8.ValidString(note) {
		t.Errorf("a note of %d bytes, valid: %t", len(note), utf8.ValidString(note))
	}
	say(recorder, &corev1.Pod{}, "", finding{"Bad", "100 %s"})
	if got := <-recorder.Events; got != "Warning Bad 100 %s" {
		t.Errorf("got %q", got)
	}
}
