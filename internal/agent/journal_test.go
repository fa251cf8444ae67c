// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/macpool/macpool/internal/agentapi"
)

// now is when the journal tests happen. Without a monotonic part, as times come back from the file.
var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func openTestJournal(t *testing.T, dir string, at time.Time) *journal {
	t.Helper()
	j, err := openJournal(dir, testingclock.NewFakePassiveClock(at), logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func closeJournal(t *testing.T, j *journal) {
	t.Helper()
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
}

func testAttempt(container, pod string) attempt {
	return attempt{
		ContainerID: container, Interface: "net1", NetNS: "/run/netns/" + container, Network: "iot-vlan", Pool: "iot",
		Claim: agentapi.ClaimRef{Namespace: "home", Name: "db-0.iot.net1"},
		Pod:   agentapi.Pod{Namespace: "home", Name: "db-0", UID: pod}, Generation: 3,
		Lease: &agentapi.Lease{MAC: "02:32:00:a8:32:08", Name: "vlan-50.192.168.50.8"},
	}
}

func (j *journal) mustAttach(t *testing.T, a attempt) {
	t.Helper()
	if _, err := j.attach(a); err != nil {
		t.Fatal(err)
	}
}

func (j *journal) mustDetach(t *testing.T, k attemptKey) {
	t.Helper()
	if _, err := j.detach(k); err != nil {
		t.Fatal(err)
	}
}

// contents is all that a journal holds, for comparison.
func contents(j *journal) map[attemptKey]attempt {
	all := map[attemptKey]attempt{}
	for _, state := range []attemptState{attached, detached, deleted} {
		for _, a := range j.in(state) {
			a.tried = false
			all[a.key()] = a
		}
	}
	return all
}

var compareAttempts = cmp.Options{cmp.AllowUnexported(attempt{}), cmpopts.EquateComparable(agentapi.IP{}, agentapi.Route{})}

// TestJournalLife walks an attempt through its states, and reads each state back after a restart.
func TestJournalLife(t *testing.T) {
	dir := t.TempDir()
	key := attemptKey{"c1", "net1"}
	steps := []struct {
		name string
		do   func(t *testing.T, j *journal)
		want attempt
	}{
		{
			name: "attach",
			do:   func(t *testing.T, j *journal) { t.Helper(); j.mustAttach(t, testAttempt("c1", "uid-1")) },
			want: attempt{State: attached, Number: 1, Lease: testAttempt("", "").Lease},
		},
		{
			name: "detach",
			do:   func(t *testing.T, j *journal) { t.Helper(); j.mustDetach(t, key) },
			want: attempt{State: detached, Number: 1},
		},
		{
			name: "detach again",
			do:   func(t *testing.T, j *journal) { t.Helper(); j.mustDetach(t, key) },
			want: attempt{State: detached, Number: 1},
		},
		{
			name: "cleared",
			do: func(t *testing.T, j *journal) {
				t.Helper()
				if err := j.settle(key, true); err != nil {
					t.Fatal(err)
				}
			},
			want: attempt{State: deleted, Number: 1, Cleared: true},
		},
	}
	for _, step := range steps {
		j := openTestJournal(t, dir, now)
		step.do(t, j)
		closeJournal(t, j)
		j = openTestJournal(t, dir, now)
		got, ok := j.get(key)
		if !ok {
			t.Fatalf("%s: the attempt is unknown after a restart", step.name)
		}
		want := testAttempt("c1", "uid-1")
		want.At = now
		want.State, want.Number, want.Cleared, want.Lease = step.want.State, step.want.Number, step.want.Cleared, step.want.Lease
		want.tried = step.want.State == detached
		if diff := cmp.Diff(want, got, compareAttempts); diff != "" {
			t.Errorf("%s: after a restart (-want +got):\n%s", step.name, diff)
		}
		closeJournal(t, j)
	}
}

// TestTombstones proves R-C9's memory: a deleted container is not attached any more, whether the journal knew it or not, also
// after a restart, for longer than 15 minutes, and not for ever.
func TestTombstones(t *testing.T) {
	dir := t.TempDir()
	j := openTestJournal(t, dir, now)
	j.mustAttach(t, testAttempt("known", "uid-1"))
	j.mustDetach(t, attemptKey{"known", "net1"})
	j.mustDetach(t, attemptKey{"unknown", "net1"})
	closeJournal(t, j)

	for _, container := range []string{"known", "unknown"} {
		j := openTestJournal(t, dir, now.Add(16*time.Minute))
		if _, err := j.attach(testAttempt(container, "uid-1")); !errors.Is(err, errTombstone) {
			t.Errorf("attaching %s: %v, want %v", container, err, errTombstone)
		}
		closeJournal(t, j)
	}
	j = openTestJournal(t, dir, now.Add(tombstoneLife+time.Second))
	defer closeJournal(t, j)
	j.mustAttach(t, testAttempt("unknown", "uid-1"))
	if _, err := j.attach(testAttempt("known", "uid-1")); !errors.Is(err, errTombstone) {
		t.Errorf("a pending clear expired: %v, want %v", err, errTombstone)
	}
}

// TestJournalIsOneAgents proves that a second agent does not write the same journal, and gets it when the first has ended.
func TestJournalIsOneAgents(t *testing.T) {
	dir := t.TempDir()
	first := openTestJournal(t, dir, now)
	if _, err := openJournal(dir, testingclock.NewFakePassiveClock(now), logr.Discard()); !errors.Is(err, errJournalLocked) {
		t.Fatalf("a second agent got %v, want %v", err, errJournalLocked)
	}
	closeJournal(t, first)
	closeJournal(t, openTestJournal(t, dir, now))
}

// TestJournalConcurrently proves that writers at the same time each get what they asked for, and that attempts of one pod
// are numbered without a gap.
func TestJournalConcurrently(t *testing.T) {
	dir := t.TempDir()
	j := openTestJournal(t, dir, now)
	const writers = 64
	numbers := make([]int, writers)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			entry, err := j.attach(testAttempt(fmt.Sprintf("c%d", i), "uid-1"))
			if err != nil {
				t.Error(err)
				return
			}
			numbers[i] = entry.Number
			if _, err := j.detach(attemptKey{fmt.Sprintf("other%d", i), "net1"}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	slices.Sort(numbers)
	for i, n := range numbers {
		if n != i+1 {
			t.Fatalf("numbers = %v", numbers)
		}
	}
	closeJournal(t, j)
	j = openTestJournal(t, dir, now)
	defer closeJournal(t, j)
	if got := len(contents(j)); got != 2*writers {
		t.Errorf("%d attempts after a restart, want %d", got, 2*writers)
	}
}

// TestDoubtful says which generations of a holder this node may have cleared.
func TestDoubtful(t *testing.T) {
	claim := testAttempt("", "").Claim
	tests := map[string]struct {
		do   func(j *journal, k attemptKey) error
		want int64
	}{
		"attached": {do: func(*journal, attemptKey) error { return nil }},
		"detached": {do: func(j *journal, k attemptKey) error { _, err := j.detach(k); return err }},
		"a newer one has it": {do: func(j *journal, k attemptKey) error {
			_, err := j.detach(k)
			return errors.Join(err, j.settle(k, false))
		}},
		"cleared": {do: func(j *journal, k attemptKey) error {
			_, err := j.detach(k)
			return errors.Join(err, j.settle(k, true))
		}, want: 3},
		"tried": {
			do: func(j *journal, k attemptKey) error { _, err := j.detach(k); j.trying(k); return err }, want: 3,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			j := openTestJournal(t, t.TempDir(), now)
			defer closeJournal(t, j)
			j.mustAttach(t, testAttempt("c1", "uid-1"))
			if err := tt.do(j, attemptKey{"c1", "net1"}); err != nil {
				t.Fatal(err)
			}
			if got := j.doubtful(claim, "uid-1"); got != tt.want {
				t.Errorf("doubtful = %d, want %d", got, tt.want)
			}
		})
	}
	t.Run("another pod's", func(t *testing.T) {
		j := openTestJournal(t, t.TempDir(), now)
		defer closeJournal(t, j)
		j.mustAttach(t, testAttempt("c1", "uid-1"))
		j.mustDetach(t, attemptKey{"c1", "net1"})
		j.trying(attemptKey{"c1", "net1"})
		if got := j.doubtful(claim, "uid-2"); got != 0 {
			t.Errorf("doubtful = %d, want 0", got)
		}
	})
	t.Run("detached by an earlier process", func(t *testing.T) {
		dir := t.TempDir()
		j := openTestJournal(t, dir, now)
		j.mustAttach(t, testAttempt("c1", "uid-1"))
		j.mustDetach(t, attemptKey{"c1", "net1"})
		closeJournal(t, j)
		j = openTestJournal(t, dir, now)
		defer closeJournal(t, j)
		if got := j.doubtful(claim, "uid-1"); got != 3 {
			t.Errorf("doubtful = %d, want 3", got)
		}
	})
}

// TestWithdrawn: an attempt that was withdrawn is not in the journal, after a restart either, and may be entered again. One whose DEL has come
// keeps what is to be cleared.
func TestWithdrawn(t *testing.T) {
	dir := t.TempDir()
	j := openTestJournal(t, dir, now)
	gone, deleted := testAttempt("c1", "1"), testAttempt("c2", "2")
	j.mustAttach(t, gone)
	j.mustAttach(t, deleted)
	j.mustDetach(t, deleted.key())
	for _, a := range []attempt{gone, deleted} {
		if err := j.withdraw(a.key()); err != nil {
			t.Fatal(err)
		}
	}
	closeJournal(t, j)
	j = openTestJournal(t, dir, now)
	if entry, ok := j.get(gone.key()); ok {
		t.Errorf("it is there as %s", entry.State)
	}
	if entry, ok := j.get(deleted.key()); !ok || entry.State != detached {
		t.Errorf("the one whose DEL has come is %+v", entry)
	}
	j.mustAttach(t, gone)
	closeJournal(t, j)
}
