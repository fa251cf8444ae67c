// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
)

// Every row of the table of evidence (R-G4), at every moment that makes a difference.
func TestJudgeHold(t *testing.T) {
	times := holdTimes{Grace: 10 * time.Second, Patience: 10 * time.Minute}
	holder := &v1alpha1.Holder{PodName: "db-0", NodeName: "node-1"}
	silent := func(nodes ...string) wireWord { return wireWord{Silent: nodes, Able: 3, Links: true} }
	const (
		none    = ""
		still   = v1alpha1.ClaimReasonStillAttached
		quiet   = v1alpha1.ClaimReasonNodeSilent
		deleted = v1alpha1.ClaimReasonNodeDeleted
	)
	for name, tc := range map[string]struct {
		facts   holdFacts
		suspect string
		end     v1alpha1.EndReason
		again   time.Duration
	}{
		"alive, ready":              {holdFacts{Pod: podAlive, Node: nodeReady}, none, "", 0},
		"alive, silent":             {holdFacts{Pod: podAlive, Node: nodeSilent, Seen: time.Hour}, none, "", 0},
		"alive, fenced":             {holdFacts{Pod: podAlive, Node: nodeFenced, Seen: time.Hour}, none, "", 0},
		"alive, deleted":            {holdFacts{Pod: podAlive, Node: nodeDeleted, Seen: time.Hour, Wire: silent("a", "b")}, none, "", 0},
		"finished, ready":           {holdFacts{Pod: podFinished, Node: nodeReady, Seen: time.Hour}, none, "", 0},
		"gone, ready":               {holdFacts{Pod: podGone, Node: nodeReady}, none, "", 10 * time.Minute},
		"gone, ready, a while":      {holdFacts{Pod: podGone, Node: nodeReady, Seen: 9 * time.Minute}, none, "", time.Minute},
		"gone, ready, long":         {holdFacts{Pod: podGone, Node: nodeReady, Seen: 10 * time.Minute}, still, "", 0},
		"gone, ready, long known":   {holdFacts{Pod: podGone, Node: nodeReady, Doubted: true}, still, "", 0},
		"gone, silent":              {holdFacts{Pod: podGone, Node: nodeSilent, Seen: 24 * time.Hour}, quiet, "", 0},
		"finished, silent":          {holdFacts{Pod: podFinished, Node: nodeSilent}, quiet, "", 0},
		"gone, fenced":              {holdFacts{Pod: podGone, Node: nodeFenced}, quiet, "", 10 * time.Second},
		"gone, fenced, not yet":     {holdFacts{Pod: podGone, Node: nodeFenced, Seen: 9 * time.Second}, quiet, "", time.Second},
		"gone, fenced, twice":       {holdFacts{Pod: podGone, Node: nodeFenced, Seen: 10 * time.Second}, none, v1alpha1.EndOutOfService, 0},
		"finished, fenced, twice":   {holdFacts{Pod: podFinished, Node: nodeFenced, Seen: 10 * time.Second}, none, v1alpha1.EndOutOfService, 0},
		"gone, deleted":             {holdFacts{Pod: podGone, Node: nodeDeleted, Seen: time.Hour, Wire: wireWord{Able: 3, Links: true}}, deleted, "", 0},
		"gone, deleted, no link":    {holdFacts{Pod: podGone, Node: nodeDeleted, Seen: time.Hour, Wire: wireWord{Able: 3}}, deleted, "", 0},
		"gone, deleted, no nodes":   {holdFacts{Pod: podGone, Node: nodeDeleted, Seen: time.Hour, Wire: wireWord{Able: 1, Links: true, Silent: []string{"a"}}}, deleted, "", 0},
		"gone, deleted, one":        {holdFacts{Pod: podGone, Node: nodeDeleted, Seen: time.Hour, Wire: silent("a")}, deleted, "", 0},
		"gone, deleted, two, early": {holdFacts{Pod: podGone, Node: nodeDeleted, Seen: 9 * time.Second, Wire: silent("a", "b")}, deleted, "", time.Second},
		"gone, deleted, two":        {holdFacts{Pod: podGone, Node: nodeDeleted, Seen: 10 * time.Second, Wire: silent("a", "b")}, none, v1alpha1.EndNodeDeleted, 0},
		"finished, deleted, two":    {holdFacts{Pod: podFinished, Node: nodeDeleted, Seen: 10 * time.Second, Wire: silent("a", "b")}, none, v1alpha1.EndNodeDeleted, 0},
		"gone, deleted, answered": {
			holdFacts{Pod: podGone, Node: nodeDeleted, Seen: time.Hour, Wire: wireWord{Silent: []string{"a", "b"}, Able: 3, Links: true, AnsweredBy: "02:32:00:a8:32:08", HeardBy: "c"}},
			deleted, "", 0,
		},
		"gone, deleted, answered before": {
			holdFacts{Pod: podGone, Node: nodeDeleted, Seen: time.Hour, Answered: true, Wire: wireWord{Silent: []string{"a", "b"}, Able: 3, Links: true, Waited: "c"}},
			deleted, "", 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := judgeHold(holder, tc.facts, times)
			if v.Suspect != tc.suspect || v.End.Reason != tc.end || v.Again != tc.again {
				t.Errorf("got %+v, want suspect %q, end %q, again in %s", v, tc.suspect, tc.end, tc.again)
			}
			if (v.Suspect == "") != (v.Why == "") || (v.End.Reason == "") != (v.End.Evidence == "") {
				t.Errorf("%+v has a reason without words, or words without a reason", v)
			}
		})
	}
}

// The words of a condition lead back to the node that heard something: they are all that outlasts this process.
func TestHeardBy(t *testing.T) {
	claim := &v1alpha1.MacClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: "db-0.iot.net1"}}
	claim.Status.Holder = &v1alpha1.Holder{PodName: "db-0", NodeName: "node-1"}
	v := judgeHold(claim.Status.Holder, holdFacts{
		Pod: podGone, Node: nodeDeleted, Wire: wireWord{AnsweredBy: "02:32:00:a8:32:08", HeardBy: "worker-3.example.com"},
	}, holdTimes{})
	if got := heardBy(v.words(claim)); got != "worker-3.example.com" {
		t.Errorf("%q was heard by %q", v.words(claim), got)
	}
	if got := heardBy("something else"); got != "" {
		t.Errorf("got %q", got)
	}
}

// A Node is the holder's by its UID (R-G10). The taint of a node that reports was forgotten there.
func TestStateOfNode(t *testing.T) {
	node := func(uid string, ready corev1.ConditionStatus, taints ...string) *corev1.Node {
		n := &corev1.Node{}
		n.UID = "1"
		if uid != "" {
			n.UID = "2"
		}
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeDiskPressure, Status: corev1.ConditionTrue}, {Type: corev1.NodeReady, Status: ready}}
		for _, key := range taints {
			n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: key})
		}
		return n
	}
	const fence, other = corev1.TaintNodeOutOfService, corev1.TaintNodeUnreachable
	got, want := map[string]nodeState{}, map[string]nodeState{}
	for name, tc := range map[string]struct {
		node *corev1.Node
		any  bool // the holder does not name the UID of its node
		want nodeState
	}{
		"none":                {node: nil, want: nodeDeleted},
		"none, any":           {node: nil, any: true, want: nodeDeleted},
		"ready":               {node: node("", corev1.ConditionTrue), want: nodeReady},
		"not ready":           {node: node("", corev1.ConditionFalse), want: nodeSilent},
		"unknown":             {node: node("", corev1.ConditionUnknown, other), want: nodeSilent},
		"no condition":        {node: &corev1.Node{ObjectMeta: metav1.ObjectMeta{UID: "1"}}, want: nodeSilent},
		"fenced":              {node: node("", corev1.ConditionUnknown, other, fence), want: nodeFenced},
		"ready, fenced":       {node: node("", corev1.ConditionTrue, fence), want: nodeReady},
		"made again":          {node: node("2", corev1.ConditionTrue), want: nodeDeleted},
		"made again, fenced":  {node: node("2", corev1.ConditionUnknown, fence), want: nodeDeleted},
		"made again, unnamed": {node: node("2", corev1.ConditionTrue), any: true, want: nodeReady},
	} {
		holder := &v1alpha1.Holder{NodeUID: "1"}
		if tc.any {
			holder.NodeUID = ""
		}
		got[name], want[name] = stateOfNode(tc.node, holder), tc.want
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
