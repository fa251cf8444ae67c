// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
)

// suspectClaim is a claim whose holder may be gone.
func suspectClaim(n int, reason string) v1alpha1.MacClaim {
	return v1alpha1.MacClaim{Status: v1alpha1.MacClaimStatus{
		LeaseName: fmt.Sprintf("vlan-50.192.168.50.%d", n), MAC: fmt.Sprintf("02:32:00:a8:32:%02x", n), IPs: []string{fmt.Sprintf("192.168.50.%d", n)},
		Holder:     &v1alpha1.Holder{PodName: "db", PodUID: types.UID(fmt.Sprintf("uid-%d", n))},
		Conditions: []metav1.Condition{{Type: v1alpha1.ClaimSuspect, Status: metav1.ConditionTrue, Reason: reason}},
	}}
}

// Two replicas whose clocks differ by an hour leave each other's questions alone for as long as an answer takes (F11, F13).
func TestReplicasWithOtherClocksLetQuestionsStand(t *testing.T) {
	start := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	pool, claim := &v1alpha1.MacPool{}, suspectClaim(8, v1alpha1.ClaimReasonNodeDeleted)
	asked := [2]map[string]time.Time{{}, {}}
	questions := map[string]bool{}
	for second := range 240 {
		now := start.Add(time.Duration(second)*time.Second + time.Duration(second%2)*time.Hour)
		setSuspects(pool, []v1alpha1.MacClaim{claim}, []string{"eth0.50"}, asked[second%2], now)
		questions[pool.Status.Questions[0].AskedAt.String()] = true
	}
	if len(questions) > 2 {
		t.Errorf("one question was asked %d times within four minutes, want at most once by each replica", len(questions))
	}
}

// What is asked follows from the claims alone, so that replicas agree, and what stands is kept while it is good.
func TestSetSuspects(t *testing.T) {
	start := time.Date(2026, 11, 25, 12, 0, 0, 500, time.UTC)
	links := []string{"eth0.50"}
	pool, asked := &v1alpha1.MacPool{}, map[string]time.Time{}
	set := func(after time.Duration, claims ...v1alpha1.MacClaim) map[string]string {
		setSuspects(pool, claims, links, asked, start.Add(after))
		got := map[string]string{}
		for _, q := range pool.Status.Questions {
			got[q.LeaseName+" "+string(q.PodUID)] = q.AskedAt.UTC().Format(time.TimeOnly)
		}
		return got
	}
	check := func(what string, want, got map[string]string) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	deleted, silent := suspectClaim(8, v1alpha1.ClaimReasonNodeDeleted), suspectClaim(9, v1alpha1.ClaimReasonNodeSilent)
	released := suspectClaim(10, v1alpha1.ClaimReasonNodeDeleted)
	released.Status.Holder = nil
	const a, b = "vlan-50.192.168.50.8 uid-8", "vlan-50.192.168.50.11 uid-11"
	check("asked", map[string]string{a: "12:00:00"}, set(0, deleted, silent, released))
	if n := *pool.Status.Suspect; n != 3 {
		t.Errorf("%d are suspect, want 3", n)
	}
	check("stands", map[string]string{a: "12:00:00"}, set(4*time.Minute, deleted))
	another := suspectClaim(11, v1alpha1.ClaimReasonNodeDeleted)
	check("one more", map[string]string{a: "12:00:00", b: "12:04:00"}, set(4*time.Minute, another, deleted))
	check("asked again", map[string]string{a: "12:05:01", b: "12:04:00"}, set(5*time.Minute+time.Second, another, deleted))
	check("settled", map[string]string{b: "12:04:00"}, set(6*time.Minute, another))
	check("by a clock that was set back", map[string]string{b: "10:04:00"}, set(-116*time.Minute, another))
	again := another
	again.Status.Holder = &v1alpha1.Holder{PodName: "db", PodUID: "next"}
	check("another hold in the same second", map[string]string{"vlan-50.192.168.50.11 next": "10:04:01"}, set(-116*time.Minute, again))
	links = nil
	check("no link", map[string]string{}, set(-116*time.Minute, again))
}

// More than a pool may ask at once take turns.
func TestQuestionsTakeTurns(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	var claims []v1alpha1.MacClaim
	for n := range 2*maxQuestions + 5 {
		claims = append(claims, suspectClaim(n+1, v1alpha1.ClaimReasonNodeDeleted))
	}
	pool, asked, turns := &v1alpha1.MacPool{}, map[string]time.Time{}, map[string]int{}
	for range 6 {
		setSuspects(pool, claims, []string{"eth0.50"}, asked, now)
		if len(pool.Status.Questions) != maxQuestions {
			t.Fatalf("%d questions", len(pool.Status.Questions))
		}
		for _, q := range pool.Status.Questions {
			turns[q.LeaseName]++
		}
		now = now.Add(askAgainAfter)
	}
	for _, c := range claims {
		if n := turns[c.Status.LeaseName]; n < 2 || n > 3 {
			t.Errorf("%s was asked %d times of 6", c.Status.LeaseName, n)
		}
	}
}

// A MAC alone has no address to ask for: the hold is suspect, and says so, and no question stands that nobody could answer (R-G4).
func TestSuspectsWithoutAddresses(t *testing.T) {
	pool, claim := &v1alpha1.MacPool{}, suspectClaim(8, v1alpha1.ClaimReasonNodeDeleted)
	claim.Status.IPs = nil
	setSuspects(pool, []v1alpha1.MacClaim{claim}, []string{"eth0.50"}, map[string]time.Time{}, time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC))
	if len(pool.Status.Questions) != 0 || *pool.Status.Suspect != 1 {
		t.Errorf("questions %v, %d suspects", pool.Status.Questions, *pool.Status.Suspect)
	}
	v := judgeHold(claim.Status.Holder, holdFacts{Pod: podGone, Node: binding.NodeDeleted, Wire: wireWord{MACAlone: true}, Seen: time.Hour},
		holdTimes{Grace: time.Second, Patience: time.Minute})
	if v.End.Reason != "" || v.Suspect != v1alpha1.ClaimReasonNodeDeleted || !strings.Contains(v.Why, "a MAC alone has no address") {
		t.Errorf("judged %+v", v)
	}
}
