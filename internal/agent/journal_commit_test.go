// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/macpool/macpool/internal/agentapi"
)

// slowDisk is an fsync that waits until it is let go on.
type slowDisk chan error

func (d slowDisk) sync(f *os.File) error { return errors.Join(<-d, f.Sync()) }

// TestJournalSyncs is the budget: a caller alone waits for the disk once, and however many come while it is waited for wait once together.
func TestJournalSyncs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := openTestJournal(t, t.TempDir(), now)
		defer closeJournal(t, j)
		const alone = 5
		opened := j.file.syncs.Load()
		for i := range alone {
			j.mustAttach(t, testAttempt(fmt.Sprintf("alone%d", i), "uid-1"))
		}
		if got := j.file.syncs.Load() - opened; got != alone {
			t.Errorf("%d attempts, one after the other: the disk was waited for %d times", alone, got)
		}

		const together = 50
		disk := make(slowDisk)
		j.file.sync = disk.sync
		before, records := j.file.syncs.Load(), j.records.Load()
		var all sync.WaitGroup
		attach := func(i int) {
			all.Go(func() { j.mustAttach(t, testAttempt(fmt.Sprintf("together%d", i), "uid-1")) })
		}
		attach(0)
		synctest.Wait() // it waits for the disk
		for i := range together - 1 {
			attach(i + 1)
		}
		synctest.Wait() // the others wait for it
		disk <- nil
		synctest.Wait()
		if got := len(j.in(attached)) - alone; got != 1 {
			t.Errorf("%d attempts are there when the disk has one", got)
		}
		disk <- nil
		all.Wait()
		if got := j.file.syncs.Load() - before; got != 2 {
			t.Errorf("%d attempts at a time: the disk was waited for %d times, not for the first and then for all others", together, got)
		}
		if got := j.records.Load() - records; got != together {
			t.Errorf("%d records were counted, not %d", got, together)
		}
	})
}

// TestJournalReadersDoNotWait has a write wait for the disk: readers see what was before, and whoever decides sees the write.
func TestJournalReadersDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := openTestJournal(t, t.TempDir(), now)
		defer closeJournal(t, j)
		old, young := testAttempt("old", "uid-1"), testAttempt("young", "uid-1")
		j.mustAttach(t, old)
		disk := make(slowDisk)
		j.file.sync = disk.sync
		var writing sync.WaitGroup
		writing.Go(func() { j.mustAttach(t, young) })
		synctest.Wait()
		writing.Go(func() { j.mustDetach(t, old.key()) })
		synctest.Wait()

		if known, ok := j.get(old.key()); !ok || known.State != attached {
			t.Errorf("an attempt whose DEL waits for the disk is %q", known.State)
		}
		if _, ok := j.get(young.key()); ok {
			t.Error("an attempt is there before the disk has it")
		}
		if got := len(j.ofClaim(old.Claim)); got != 1 {
			t.Errorf("the claim has %d attempts", got)
		}
		if got := j.doubtful(old.Claim, "uid-1"); got != 0 {
			t.Errorf("generation %d is in doubt", got)
		}

		var late error
		writing.Go(func() { _, late = j.attach(old) })
		synctest.Wait()
		disk <- nil // young
		disk <- nil // the DEL, and the late ADD after it
		writing.Wait()
		if !errors.Is(late, errTombstone) {
			t.Errorf("an ADD that came after a DEL, while that waited for the disk: %v", late)
		}
		if known, _ := j.get(old.key()); known.State != detached {
			t.Errorf("the attempt is %q after its DEL", known.State)
		}
		if known, ok := j.get(young.key()); !ok || known.Number != 2 {
			t.Errorf("the second attempt has number %d", known.Number)
		}
	})
}

// TestJournalForgetsWhatTheDiskRefused : the next decision is made as if it had not been tried.
func TestJournalForgetsWhatTheDiskRefused(t *testing.T) {
	j := openTestJournal(t, t.TempDir(), now)
	defer closeJournal(t, j)
	a := testAttempt("c1", "uid-1")
	whole := j.file.sync
	j.file.sync = func(*os.File) error { return errors.New("the disk is on fire") }
	if _, err := j.attach(a); err == nil {
		t.Fatal("a write succeeded that the disk refused")
	}
	j.file.sync = whole
	if toClear, err := j.detach(attemptKey{"c2", "net1"}); err != nil || toClear {
		t.Errorf("a DEL of another container: %t, %v", toClear, err)
	}
	again, err := j.attach(a)
	if err != nil || again.Number != 1 {
		t.Errorf("the second try: %+v, %v", again, err)
	}
}

// TestJournalOfLease : who is attached with a lease, and nobody who was.
func TestJournalOfLease(t *testing.T) {
	dir := t.TempDir()
	j := openTestJournal(t, dir, now)
	for _, container := range []string{"stays", "leaves", "never was", "other"} {
		a := testAttempt(container, "uid-1")
		if container == "other" {
			a.Lease = &agentapi.Lease{Name: "vlan-50.192.168.50.9"}
		}
		j.mustAttach(t, a)
	}
	j.mustDetach(t, attemptKey{"leaves", "net1"})
	if err := j.withdraw(attemptKey{"never was", "net1"}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for lease, want := range map[string][]string{"vlan-50.192.168.50.8": {"stays"}, "vlan-50.192.168.50.9": {"other"}, "vlan-50.192.168.50.10": nil} {
			var got []string
			for _, a := range j.ofLease(lease) {
				got = append(got, a.ContainerID)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("lease %s (-want +got):\n%s", lease, diff)
			}
		}
		closeJournal(t, j)
		j = openTestJournal(t, dir, now)
	}
	closeJournal(t, j)
}
