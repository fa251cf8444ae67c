// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
)

// Every row of the table of evidence (R-G4), at every moment that makes a difference.
func TestJudgeHold(t *testing.T) {
	times := holdTimes{Grace: 10 * time.Second, Doubt: time.Minute, Patience: 10 * time.Minute}
	holder := &v1alpha1.Holder{PodName: "db-0", NodeName: "node-1"}
	silent := func(nodes ...string) wireWord { return wireWord{Silent: nodes, Able: 3, Links: true} }
	const (
		none    = ""
		still   = v1alpha1.ClaimReasonStillAttached
		quiet   = v1alpha1.ClaimReasonNodeSilent
		deleted = v1alpha1.ClaimReasonNodeDeleted
		nobody  = v1alpha1.ClaimReasonPodUnknown
		astray  = v1alpha1.ClaimReasonPodElsewhere
	)
	for name, tc := range map[string]struct {
		facts   holdFacts
		suspect string
		end     v1alpha1.EndReason
		again   time.Duration
	}{
		"alive, ready":              {holdFacts{Pod: podAlive, Node: binding.NodeReady}, none, "", 0},
		"alive, silent":             {holdFacts{Pod: podAlive, Node: binding.NodeSilent, Seen: time.Hour}, none, "", 0},
		"alive, fenced":             {holdFacts{Pod: podAlive, Node: binding.NodeFenced, Seen: time.Hour}, none, "", 0},
		"alive, deleted":            {holdFacts{Pod: podAlive, Node: binding.NodeDeleted, Seen: time.Hour, Wire: silent("a", "b")}, none, "", 0},
		"finished, ready":           {holdFacts{Pod: podFinished, Node: binding.NodeReady, Seen: time.Hour}, none, "", 0},
		"gone, ready":               {holdFacts{Pod: podGone, Node: binding.NodeReady}, none, "", 10 * time.Minute},
		"gone, ready, a while":      {holdFacts{Pod: podGone, Node: binding.NodeReady, Seen: 9 * time.Minute}, none, "", time.Minute},
		"gone, ready, long":         {holdFacts{Pod: podGone, Node: binding.NodeReady, Seen: 10 * time.Minute}, still, "", 0},
		"gone, ready, long known":   {holdFacts{Pod: podGone, Node: binding.NodeReady, Doubted: true}, still, "", 0},
		"gone, silent":              {holdFacts{Pod: podGone, Node: binding.NodeSilent, Seen: 24 * time.Hour}, quiet, "", 0},
		"finished, silent":          {holdFacts{Pod: podFinished, Node: binding.NodeSilent}, quiet, "", 0},
		"gone, fenced":              {holdFacts{Pod: podGone, Node: binding.NodeFenced}, quiet, "", 10 * time.Second},
		"gone, fenced, not yet":     {holdFacts{Pod: podGone, Node: binding.NodeFenced, Seen: 9 * time.Second}, quiet, "", time.Second},
		"gone, fenced, twice":       {holdFacts{Pod: podGone, Node: binding.NodeFenced, Seen: 10 * time.Second}, none, v1alpha1.EndOutOfService, 0},
		"finished, fenced, twice":   {holdFacts{Pod: podFinished, Node: binding.NodeFenced, Seen: 10 * time.Second}, none, v1alpha1.EndOutOfService, 0},
		"gone, deleted":             {holdFacts{Pod: podGone, Node: binding.NodeDeleted, Seen: time.Hour, Wire: wireWord{Able: 3, Links: true}}, deleted, "", 0},
		"gone, deleted, no link":    {holdFacts{Pod: podGone, Node: binding.NodeDeleted, Seen: time.Hour, Wire: wireWord{Able: 3}}, deleted, "", 0},
		"gone, deleted, no nodes":   {holdFacts{Pod: podGone, Node: binding.NodeDeleted, Seen: time.Hour, Wire: wireWord{Able: 1, Links: true, Silent: []string{"a"}}}, deleted, "", 0},
		"gone, deleted, one":        {holdFacts{Pod: podGone, Node: binding.NodeDeleted, Seen: time.Hour, Wire: silent("a")}, deleted, "", 0},
		"gone, deleted, two, early": {holdFacts{Pod: podGone, Node: binding.NodeDeleted, Seen: 9 * time.Second, Wire: silent("a", "b")}, deleted, "", time.Second},
		"gone, deleted, two":        {holdFacts{Pod: podGone, Node: binding.NodeDeleted, Seen: 10 * time.Second, Wire: silent("a", "b")}, none, v1alpha1.EndNodeDeleted, 0},
		"finished, deleted, two":    {holdFacts{Pod: podFinished, Node: binding.NodeDeleted, Seen: 10 * time.Second, Wire: silent("a", "b")}, none, v1alpha1.EndNodeDeleted, 0},
		"gone, deleted, answered": {
			holdFacts{Pod: podGone, Node: binding.NodeDeleted, Seen: time.Hour, Wire: wireWord{Silent: []string{"a", "b"}, Able: 3, Links: true, AnsweredBy: "02:32:00:a8:32:08", HeardBy: "c"}},
			deleted, "", 0,
		},
		"gone, deleted, answered before": {
			holdFacts{Pod: podGone, Node: binding.NodeDeleted, Seen: time.Hour, Answered: true, Wire: wireWord{Silent: []string{"a", "b"}, Able: 3, Links: true, Waited: "c"}},
			deleted, "", 0,
		},
		"unknown":                  {holdFacts{Pod: podGone, Unknown: true}, none, "", time.Minute},
		"unknown, told":            {holdFacts{Pod: podGone, Unknown: true, ToldUnknown: true}, nobody, "", 10 * time.Minute},
		"unknown, a while":         {holdFacts{Pod: podGone, Unknown: true, Seen: time.Minute}, nobody, "", 10 * time.Second},
		"unknown, silent wire":     {holdFacts{Pod: podGone, Unknown: true, ToldUnknown: true, Seen: time.Minute, Wire: silent("a", "b")}, nobody, "", 9 * time.Minute},
		"unknown, long":            {holdFacts{Pod: podGone, Unknown: true, ToldUnknown: true, Seen: 10 * time.Minute}, nobody, "", 0},
		"unknown, long, one":       {holdFacts{Pod: podGone, Unknown: true, ToldUnknown: true, Seen: 10 * time.Minute, Wire: silent("a")}, nobody, "", 0},
		"unknown, long, two":       {holdFacts{Pod: podGone, Unknown: true, ToldUnknown: true, Seen: 10 * time.Minute, Wire: silent("a", "b")}, none, v1alpha1.EndPodUnknown, 0},
		"unknown, long, answered":  {holdFacts{Pod: podGone, Unknown: true, ToldUnknown: true, Seen: 10 * time.Minute, Wire: wireWord{Silent: []string{"a", "b"}, AnsweredBy: "02:32:00:a8:32:08", HeardBy: "c"}}, nobody, "", 0},
		"unknown, long, waited":    {holdFacts{Pod: podGone, Unknown: true, ToldUnknown: true, Seen: 10 * time.Minute, Answered: true, Wire: wireWord{Silent: []string{"a", "b"}, Waited: "c"}}, nobody, "", 0},
		"unknown, beyond the cap":  {holdFacts{Pod: podGone, Unknown: true, Seen: time.Minute, Cap: 64}, none, v1alpha1.EndPodUnknown, 0},
		"unknown, too early a cap": {holdFacts{Pod: podGone, Unknown: true, Cap: 64}, none, "", time.Minute},
		"elsewhere":                {holdFacts{Pod: podElsewhere, Elsewhere: "node-2"}, astray, "", 10 * time.Second},
		"elsewhere, twice":         {holdFacts{Pod: podElsewhere, Elsewhere: "node-2", Seen: 10 * time.Second}, none, v1alpha1.EndPodElsewhere, 0},
		"elsewhere, silent":        {holdFacts{Pod: podElsewhere, Elsewhere: "node-2", Node: binding.NodeSilent, Seen: time.Hour}, quiet, "", 0},
		"elsewhere, fenced, twice": {holdFacts{Pod: podElsewhere, Elsewhere: "node-2", Node: binding.NodeFenced, Seen: time.Hour}, none, v1alpha1.EndOutOfService, 0},
		"elsewhere, deleted":       {holdFacts{Pod: podElsewhere, Elsewhere: "node-2", Node: binding.NodeDeleted, Seen: time.Hour, Wire: silent("a")}, deleted, "", 0},
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
		Pod: podGone, Node: binding.NodeDeleted, Wire: wireWord{AnsweredBy: "02:32:00:a8:32:08", HeardBy: "worker-3.example.com"},
	}, holdTimes{})
	if got := heardBy(v.words(claim)); got != "worker-3.example.com" {
		t.Errorf("%q was heard by %q", v.words(claim), got)
	}
	if got := heardBy("something else"); got != "" {
		t.Errorf("got %q", got)
	}
}
