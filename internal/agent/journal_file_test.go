// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	testingclock "k8s.io/utils/clock/testing"
)

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
