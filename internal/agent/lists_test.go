// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// revisions is an API server that has reached a revision, and remembers which were asked for.
type revisions struct {
	client.Reader

	reached uint64
	asked   []string
}

func (r *revisions) List(_ context.Context, _ client.ObjectList, options ...client.ListOption) error {
	var all client.ListOptions
	all.ApplyOptions(options)
	raw := all.AsListOptions()
	r.asked = append(r.asked, strings.TrimSpace(raw.ResourceVersion+" "+string(raw.ResourceVersionMatch)+" "+raw.LabelSelector))
	if revisionOf(raw.ResourceVersion) <= r.reached {
		return nil
	}
	err := apierrors.NewTimeoutError("too large", 1)
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: metav1.CauseTypeResourceVersionTooLarge}}
	return err
}

// TestListsSince proves that a list asks for no more than it needs; and that it asks for what there is now if the revision is none that the API server
// reaches: where pods have an etcd of their own, or after the API has gone back.
func TestListsSince(t *testing.T) {
	fake := testingclock.NewFakePassiveClock(now)
	api := &revisions{reached: 100}
	l := &lists{client: api, clock: fake}
	steps := []struct {
		name     string
		after    time.Duration
		revision uint64
		current  bool
		asked    []string
	}{
		{"at a revision that is reached", 0, 90, false, []string{"90 NotOlderThan a=b"}},
		{"at none", 0, 0, true, []string{"a=b"}},
		{"at one that is not reached", 0, 101, true, []string{"101 NotOlderThan a=b", "a=b"}},
		{"soon after that", apartFor - time.Second, 90, true, []string{"a=b"}},
		{"later", time.Second, 90, false, []string{"90 NotOlderThan a=b"}},
	}
	for _, s := range steps {
		fake.SetTime(fake.Now().Add(s.after))
		api.asked = nil
		current, err := l.since(t.Context(), s.revision, &v1alpha1.MacLeaseList{}, client.MatchingLabels{"a": "b"})
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		if current != s.current {
			t.Errorf("%s: current = %t, want %t", s.name, current, s.current)
		}
		if diff := cmp.Diff(s.asked, api.asked); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s.name, diff)
		}
	}
}

// TestReach proves that a list answers for the pods that were known before it began, and were written before what it shows.
func TestReach(t *testing.T) {
	pods := podSet{"written before": 10, "written after": 11, "without a revision": unwritten}
	tests := map[string]struct {
		reach reach
		want  []bool
	}{
		"at a revision": {reach{pods: pods, revision: 10}, []bool{true, false, false, false}},
		"current":       {reach{pods: pods, current: true}, []bool{true, true, true, false}},
		"of no pods":    {reach{current: true}, []bool{false, false, false, false}},
	}
	for name, tc := range tests {
		var got []bool
		got = append(got, tc.reach.has("written before"), tc.reach.has("written after"), tc.reach.has("without a revision"), tc.reach.has("unknown"))
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestLatest proves that a list is asked to answer for all pods that are known, and for the one that needs it.
func TestLatest(t *testing.T) {
	pods := podSet{"a": 10, "b": 30, "c": unwritten}
	for atLeast, want := range map[uint64]uint64{0: 30, 20: 30, 40: 40} {
		if got := pods.latest(atLeast); got != want {
			t.Errorf("latest(%d) = %d, want %d", atLeast, got, want)
		}
	}
}
