// SPDX-License-Identifier: Apache-2.0

package agent

import "testing"

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
