// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"
	"time"

	"github.com/macpool/macpool/api/v1alpha1"
)

func TestJudgeLife(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	const set, pod = v1alpha1.WorkloadStatefulSet, v1alpha1.WorkloadPod
	for name, tc := range map[string]struct {
		in   lifeInput
		want life
	}{
		"1 of a person":               {lifeInput{Kind: pod}, life{}},
		"2 held":                      {lifeInput{Managed: true, Kind: pod, Held: true}, life{}},
		"2 held, set gone for long":   {lifeInput{Managed: true, Kind: set, Held: true, EndedAt: now.Add(-time.Hour)}, life{}},
		"3 another claim, held":       {lifeInput{Managed: true, Kind: set, Held: true, Superseded: true}, life{}},
		"3 another claim":             {lifeInput{Managed: true, Kind: set, SetExists: true, Pod: podAlive, Superseded: true, Retain: time.Hour}, life{Ended: true, Superseded: true, Left: time.Hour}},
		"3 another claim for long":    {lifeInput{Managed: true, Kind: pod, Pod: podAlive, Superseded: true, Retain: time.Hour, EndedAt: now.Add(-time.Hour)}, life{Ended: true, Superseded: true, Remove: true}},
		"3 a person's, another claim": {lifeInput{Kind: set, Superseded: true}, life{}},
		"4 pod alive":                 {lifeInput{Managed: true, Kind: pod, Pod: podAlive}, life{}},
		"4 pod alive, set gone":       {lifeInput{Managed: true, Kind: set, Pod: podAlive, EndedAt: now.Add(-time.Hour)}, life{}},
		"5 set there, scaled down":    {lifeInput{Managed: true, Kind: set, SetExists: true}, life{}},
		"5 set there, pod finished":   {lifeInput{Managed: true, Kind: set, SetExists: true, Pod: podFinished}, life{}},
		"6 bare pod gone":             {lifeInput{Managed: true, Kind: pod}, life{Ended: true, Remove: true}},
		"6 bare pod finished":         {lifeInput{Managed: true, Kind: pod, Pod: podFinished}, life{Ended: true, Remove: true}},
		"6 bare pod, set of its name": {lifeInput{Managed: true, Kind: pod, SetExists: true}, life{Ended: true, Remove: true}},
		"6 retained":                  {lifeInput{Managed: true, Kind: set, Retain: time.Hour}, life{Ended: true, Left: time.Hour}},
		"6 a while":                   {lifeInput{Managed: true, Kind: set, Retain: time.Hour, EndedAt: now.Add(-time.Minute)}, life{Ended: true, Left: 59 * time.Minute}},
		"6 over":                      {lifeInput{Managed: true, Kind: set, Retain: time.Hour, EndedAt: now.Add(-time.Hour)}, life{Ended: true, Remove: true}},
		"6 not retained":              {lifeInput{Managed: true, Kind: set}, life{Ended: true, Remove: true}},
		"4 of a Deployment, needed":   {lifeInput{Managed: true, Kind: "Deployment", Pod: podAlive, EndedAt: now.Add(-time.Hour)}, life{}},
		"6 of a Deployment, surplus":  {lifeInput{Managed: true, Kind: "Deployment", Retain: time.Hour, EndedAt: now.Add(-time.Minute)}, life{Ended: true, Left: 59 * time.Minute}},
		"6 of a DaemonSet":            {lifeInput{Managed: true, Kind: "DaemonSet", Retain: time.Hour, EndedAt: now.Add(-time.Hour)}, life{Ended: true, Remove: true}},
		"5 VM there, stopped":         {lifeInput{Managed: true, Kind: v1alpha1.WorkloadVM, SetExists: true}, life{}},
		"6 VM gone":                   {lifeInput{Managed: true, Kind: v1alpha1.WorkloadVM, Retain: time.Hour}, life{Ended: true, Left: time.Hour}},
		"5 IPAMClaim there":           {lifeInput{Managed: true, Kind: ofIPAMClaim, SetExists: true}, life{}},
		"6 IPAMClaim gone, held":      {lifeInput{Managed: true, Kind: ofIPAMClaim, Held: true, EndedAt: now.Add(-time.Hour)}, life{}},
		"6 IPAMClaim gone":            {lifeInput{Managed: true, Kind: ofIPAMClaim, Retain: time.Minute, EndedAt: now.Add(-time.Hour)}, life{Ended: true, Remove: true}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.in.Now = now
			if got := judgeLife(tc.in); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}
