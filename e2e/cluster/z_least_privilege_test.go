// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package cluster_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestT17LeastPrivilege attacks what a stolen token of the manager could do: of all that the roles allow, as they are installed, there is
// nothing that the tests of this package have not made macpool use, by the API server's audit log, and nothing was denied to it but what is
// listed (T17). The file's name makes it the last test, since what counts is what those before it have left in that log.
func TestT17LeastPrivilege(t *testing.T) {
	uses := granted(t)
	log := auditLog(t)
	excused := map[string]int{}
	roles := newAbsences(log)
	for what := range roles.since {
		t.Errorf("%s was deleted and has not come back", what)
	}
	for i := range log {
		r := &log[i]
		if r.account() == "" {
			continue
		}
		if r.allowed() {
			for p := range uses {
				if p.covers(r) {
					uses[p]++
				}
			}
		}
		if !r.denied() {
			continue
		}
		if why := excuse(r, roles); why != "" {
			excused[why]++
		} else {
			t.Errorf("unexpectedly denied: %s", r)
		}
	}

	var table strings.Builder
	byName := func(a, b permission) int { return cmp.Compare(a.String(), b.String()) }
	for _, p := range slices.SortedFunc(maps.Keys(uses), byName) {
		fmt.Fprintf(&table, "%7d  %s\n", uses[p], p)
		if uses[p] == 0 {
			t.Errorf("nothing has used the permission: %s", p)
		}
	}
	t.Logf("%d requests; how often each permission was used:\n%s", len(log), &table)
	for _, why := range slices.Sorted(maps.Keys(excused)) {
		t.Logf("denied %d times, as expected: %s", excused[why], why)
	}
}

// expected are the denials that are as they should be.
var expected = []struct {
	why string
	is  func(*request) bool
}{
	{"a dry run, by which the manager sees that a policy is in force", (*request).asksPolicy},
	{"a write into a namespace that is being deleted, of which the writer has not heard yet", func(r *request) bool {
		return strings.Contains(r.ResponseStatus.Message, "because it is being terminated")
	}},
	{"a list as a watch, which not every API server knows: a plain list follows", func(r *request) bool {
		return r.Verb == "watch" && strings.Contains(r.ResponseStatus.Message, "unless the WatchList feature gate is enabled")
	}},
}

// excuse is why a request was to be denied; "" if it was not.
func excuse(r *request, roles *absences) string {
	if roles.at(r.RequestReceivedTimestamp) {
		return "while macpool was being uninstalled, or was not installed"
	}
	for _, e := range expected {
		if e.is(r) {
			return e.why
		}
	}
	return ""
}
