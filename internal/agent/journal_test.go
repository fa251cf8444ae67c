// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// TestTornJournal cuts the file at every offset: what is read back is what the journal held after one of its writes, the later the
// more is left, and it can be written again.
func TestTornJournal(t *testing.T) {
	dir := t.TempDir()
	j := openTestJournal(t, dir, now)
	states := []map[attemptKey]attempt{contents(j)}
	for _, do := range []func(){
		func() { j.mustAttach(t, testAttempt("c1", "uid-1")) },
		func() { j.mustAttach(t, testAttempt("c2", "uid-1")) },
		func() { j.mustDetach(t, attemptKey{"c1", "net1"}) },
		func() { j.mustDetach(t, attemptKey{"never seen", "net1"}) },
		func() { _ = j.settle(attemptKey{"c1", "net1"}, false) },
	} {
		do()
		states = append(states, contents(j))
	}
	closeJournal(t, j)
	whole, err := os.ReadFile(filepath.Join(dir, journalName))
	if err != nil {
		t.Fatal(err)
	}

	latest := 0
	for cut := range len(whole) + 1 {
		writeJournal(t, dir, whole[:cut])
		j := openTestJournal(t, dir, now)
		got := contents(j)
		state := slices.IndexFunc(states, func(s map[attemptKey]attempt) bool { return cmp.Equal(s, got, compareAttempts) })
		if state < latest {
			t.Fatalf("cut at %d: state %d, want %d or later; got %v", cut, state, latest, got)
		}
		latest = state
		closeJournal(t, j)
	}
	if latest != len(states)-1 {
		t.Errorf("the whole file gives state %d of %d", latest, len(states)-1)
	}
}

// TestDamagedJournal flips each byte of the file: at most the records of the damaged line and, for a newline, of its
// neighbour are lost, and none is changed.
func TestDamagedJournal(t *testing.T) {
	dir := t.TempDir()
	j := openTestJournal(t, dir, now)
	for i := range 4 {
		j.mustAttach(t, testAttempt(fmt.Sprintf("c%d", i), "uid-1"))
	}
	want := contents(j)
	closeJournal(t, j)
	whole, err := os.ReadFile(filepath.Join(dir, journalName))
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 0x41
		writeJournal(t, dir, damaged)
		j := openTestJournal(t, dir, now)
		got := contents(j)
		closeJournal(t, j)
		lost := 1
		if whole[i] == '\n' {
			lost = 2
		}
		if len(got) < len(want)-lost {
			t.Fatalf("byte %d: %d attempts are left of %d", i, len(got), len(want))
		}
		for k, a := range got {
			if diff := cmp.Diff(want[k], a, compareAttempts); diff != "" {
				t.Fatalf("byte %d: a record was changed (-want +got):\n%s", i, diff)
			}
		}
	}
}

// TestTornJournalIsWrittenOn proves that what is appended after a torn record is whole, where the disk is too full to make a
// new file.
func TestTornJournalIsWrittenOn(t *testing.T) {
	dir := t.TempDir()
	j := openTestJournal(t, dir, now)
	j.mustAttach(t, testAttempt("c1", "uid-1"))
	j.mustAttach(t, testAttempt("torn", "uid-1"))
	closeJournal(t, j)
	whole, err := os.ReadFile(filepath.Join(dir, journalName))
	if err != nil {
		t.Fatal(err)
	}
	writeJournal(t, dir, whole[:len(whole)-20])
	// A directory is in the way of the new file.
	if err := os.Mkdir(filepath.Join(dir, journalName+".next"), 0o700); err != nil {
		t.Fatal(err)
	}
	j = openTestJournal(t, dir, now)
	j.mustAttach(t, testAttempt("after", "uid-1"))
	closeJournal(t, j)
	j = openTestJournal(t, dir, now)
	defer closeJournal(t, j)
	if _, ok := j.get(attemptKey{"after", "net1"}); !ok || len(contents(j)) != 2 {
		t.Errorf("the journal has %v, want c1 or torn, and after", contents(j))
	}
}

func writeJournal(t *testing.T, dir string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, journalName), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestJournalGrowsNoLargerThanNeeded proves that what is over does not stay in the file, and that compaction loses nothing.
func TestJournalGrowsNoLargerThanNeeded(t *testing.T) {
	dir := t.TempDir()
	fake := testingclock.NewFakePassiveClock(now)
	j, err := openJournal(dir, fake, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	j.compactAt = 20_000
	j.mustAttach(t, testAttempt("lives", "uid-0"))
	largest := int64(0)
	for i := range 500 {
		key := attemptKey{fmt.Sprintf("c%d", i), "net1"}
		j.mustAttach(t, testAttempt(key.ContainerID, fmt.Sprintf("uid-%d", i)))
		j.mustDetach(t, key)
		if err := j.settle(key, true); err != nil {
			t.Fatal(err)
		}
		fake.SetTime(fake.Now().Add(time.Minute))
		largest = max(largest, j.file.size)
		if j.compactAt == compactAbove {
			j.compactAt = 40_000 // as if a file were large from there on
		}
	}
	if largest > 60_000 {
		t.Errorf("the file grew to %d bytes", largest)
	}
	want := contents(j)
	closeJournal(t, j)
	j = openTestJournal(t, dir, fake.Now())
	defer closeJournal(t, j)
	if _, ok := j.get(attemptKey{"lives", "net1"}); !ok {
		t.Error("compaction lost what is attached")
	}
	if got := contents(j); len(got) > len(want) || len(got) < 60 {
		t.Errorf("%d attempts after a restart, %d before", len(got), len(want))
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

// TestJournalWriteFails proves that a write that the disk refused has not happened, and that the next one that it takes
// brings the file in order.
func TestJournalWriteFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	j := openTestJournal(t, dir, now)
	j.mustAttach(t, testAttempt("before", "uid-1"))
	if err := j.file.file.Close(); err != nil {
		t.Fatal(err)
	}
	aside := dir + ".aside"
	if err := os.Rename(dir, aside); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second finds the file suspect and cannot make another
		_, err := j.attach(testAttempt("refused", "uid-1"))
		if err == nil {
			t.Fatal("a write without a disk succeeded")
		}
		if _, ok := j.get(attemptKey{"refused", "net1"}); ok {
			t.Error("a refused write has happened")
		}
		if toClear, err := j.detach(attemptKey{"before", "net1"}); err == nil || toClear {
			t.Errorf("detaching without a disk: %t, %v", toClear, err)
		}
	}
	if err := os.Rename(aside, dir); err != nil {
		t.Fatal(err)
	}
	j.mustAttach(t, testAttempt("after", "uid-1"))
	want := contents(j)
	closeJournal(t, j)
	j = openTestJournal(t, dir, now)
	defer closeJournal(t, j)
	if diff := cmp.Diff(want, contents(j), compareAttempts); diff != "" {
		t.Errorf("after a restart (-want +got):\n%s", diff)
	}
	if len(want) != 2 {
		t.Errorf("the journal holds %d attempts, want before and after", len(want))
	}
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

// TestRecordIsOneLine proves that whatever a runtime calls its things, a record is one line.
func TestRecordIsOneLine(t *testing.T) {
	a := testAttempt("c\n1", "uid\r\n-1")
	line, err := a.encode()
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(line), "\n"); n != 1 || !bytes.HasSuffix(line, []byte("\n")) {
		t.Fatalf("%d newlines in %q", n, line)
	}
	back, err := decodeAttempt(bytes.TrimSuffix(line, []byte("\n")))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a, *back, compareAttempts); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}
