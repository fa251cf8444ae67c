// SPDX-License-Identifier: Apache-2.0

package oracle_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/macpool/macpool/e2e/chaos/oracle"
)

// world is all oracles together, on a clock of seconds.
type world struct {
	t       *testing.T
	truth   *oracle.Truth
	ledger  *oracle.Ledger
	history oracle.History
	seen    []oracle.Violation
	version int
	last    map[string]int // object -> version
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, last: map[string]int{}}
	report := func(v oracle.Violation) { w.seen = append(w.seen, v) }
	w.truth = oracle.NewTruth(report)
	w.ledger = oracle.NewLedger(w.truth, report, func(string) time.Duration { return 10 * time.Second }, w.history.Released)
	return w
}

func at(second float64) time.Time {
	return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(second * float64(time.Second)))
}

const address = "vlan-50.10.50.0.7"

// attach answers an ADD for the pod of an identity.
func (w *world) attach(second float64, identity, uid string) {
	w.attachAs(second, identity, uid, address, "10.50.0.7")
}

func (w *world) attachAs(second float64, identity, uid, lease, ip string) {
	a := oracle.Attachment{
		Container: uid + "-c", Pod: identity, PodUID: uid, Identity: identity, Lease: lease, MAC: "02:32:00:" + ip, IPs: []string{ip}, From: at(second),
	}
	w.truth.Attach(a)
	w.ledger.Expect(lease, identity, uid, at(second))
	w.history.Claim(lease, identity, at(second-0.1), at(second))
}

// lease logs a write to the lease at a time, as the API server does. owner empty: released.
func (w *world) lease(second float64, verb, owner, released string) {
	w.write(second, verb, "macleases", "", address, fmt.Sprintf(
		`"spec": {"poolName": "p", "mac": "02:32:00:10.50.0.7", "ips": ["10.50.0.7"], "claimRef": {"namespace": "ns", "name": %q, "uid": "u-%s"}, "releasedAt": %q}`,
		strings.TrimPrefix(owner, "ns/"), owner, released))
}

func (w *world) claim(second float64, verb, name, holder string) {
	status := `"status": {"leaseName": "` + address + `"}`
	if holder != "" {
		status = `"status": {"leaseName": "` + address + `", "holder": {"podUID": "` + holder + `", "nodeName": "n", "generation": 1}}`
	}
	w.write(second, verb, "macclaims", "ns", name, status)
}

func (w *world) write(second float64, verb, resource, namespace, name, text string) {
	w.t.Helper()
	key := resource + name
	before := w.last[key]
	w.version++
	w.last[key] = w.version
	request, response := fmt.Sprintf(`{"metadata": {"resourceVersion": "%d"}}`, before), fmt.Sprintf(
		`{"metadata": {"uid": "u", "name": %q, "resourceVersion": "%d"}, %s}`, name, w.version, text)
	switch verb {
	case "create":
		request = `{}`
	case "delete":
		request, response = fmt.Sprintf(`{"preconditions": {"resourceVersion": "%d"}}`, before), `{}`
	}
	line := fmt.Sprintf(`{"stage": "ResponseComplete", "verb": %q, "requestURI": "/x", "user": {"username": "manager"},
		"objectRef": {"resource": %q, "namespace": %q, "name": %q}, "responseStatus": {"code": 200}, "requestObject": %s,
		"responseObject": %s, "requestReceivedTimestamp": %q, "stageTimestamp": %q}`, verb, resource, namespace, name, request, response,
		at(second-0.01).Format(time.RFC3339Nano), at(second).Format(time.RFC3339Nano))
	e, err := oracle.ParseEvent([]byte(line))
	if err != nil || e == nil {
		w.t.Fatalf("event %v: %v", e, err)
	}
	w.ledger.Add(e)
}

func (w *world) judge(kinds ...oracle.Kind) {
	w.t.Helper()
	w.ledger.Advance(time.Time{})
	checked, broken := w.history.Check(10 * time.Second)
	if checked != 1 {
		w.t.Errorf("checked %d addresses", checked)
	}
	w.seen = append(w.seen, broken...)
	want := map[oracle.Kind]bool{}
	for _, k := range kinds {
		want[k] = true
	}
	for _, v := range w.seen {
		if !want[v.Kind] {
			w.t.Errorf("%s: %s", v.Kind, v.Text)
		}
	}
	for k := range want {
		found := false
		for _, v := range w.seen {
			found = found || v.Kind == k
		}
		if !found {
			w.t.Errorf("no %s was seen", k)
		}
	}
}

// A life as it should be: leased, attached, replaced, ended, cooled, and another's.
func TestOrderlyLife(t *testing.T) {
	w := newWorld(t)
	w.lease(1, "create", "ns/a", "")
	w.claim(1.1, "update", "a", "pod-1")
	w.attach(2, "ns/a", "pod-1")
	w.truth.Detach("pod-1-c", at(3))
	w.claim(3.1, "update", "a", "")
	w.claim(3.2, "update", "a", "pod-2")
	w.attach(4, "ns/a", "pod-2")
	w.history.Lookup(address, "ns/a", at(4.1), at(4.2))
	w.truth.Detach("pod-2-c", at(5))
	w.history.MayRelease(address, "ns/a", at(5))
	w.claim(5.1, "update", "a", "")
	w.claim(5.2, "delete", "a", "")
	w.lease(6, "update", "ns/a", "six")
	w.lease(17, "update", "ns/b", "")
	w.claim(17.1, "create", "b", "pod-3")
	w.attach(18, "ns/b", "pod-3")
	w.judge()
	if got := w.ledger.Stats(); got.Gaps != 0 || got.Leases != 2 || got.Releases != 1 {
		t.Errorf("%+v", got)
	}
}

// Each of these is a run with one thing wrong, which the oracles must see.
func TestViolations(t *testing.T) {
	cases := map[string]struct {
		run  func(*world)
		want []oracle.Kind
	}{
		"I1: two pods with one address": {func(w *world) {
			w.lease(1, "create", "ns/a", "")
			w.attach(2, "ns/a", "pod-1")
			w.attach(3, "ns/a", "pod-2")
		}, []oracle.Kind{oracle.Duplicate}},
		"I1: two owners": {func(w *world) {
			w.lease(1, "create", "ns/a", "")
			w.attach(2, "ns/a", "pod-1")
			w.truth.Detach("pod-1-c", at(3))
			w.lease(4, "update", "ns/b", "")
			w.attach(5, "ns/b", "pod-2")
		}, []oracle.Kind{oracle.Duplicate, oracle.Broken}},
		"I2: released while attached": {func(w *world) {
			w.lease(1, "create", "ns/a", "")
			w.attach(2, "ns/a", "pod-1")
			w.lease(3, "update", "ns/a", "three")
		}, []oracle.Kind{oracle.FalseRelease}},
		"I2: deleted while attached": {func(w *world) {
			w.lease(1, "create", "ns/a", "")
			w.attach(2, "ns/a", "pod-1")
			w.lease(3, "delete", "ns/a", "")
		}, []oracle.Kind{oracle.FalseRelease}},
		"I2: holder cleared while attached": {func(w *world) {
			w.lease(1, "create", "ns/a", "")
			w.claim(1.1, "create", "a", "pod-1")
			w.attach(2, "ns/a", "pod-1")
			w.claim(3, "update", "a", "")
		}, []oracle.Kind{oracle.FalseRelease}},
		"I3: answered with what was released": {func(w *world) {
			w.lease(1, "create", "ns/a", "")
			w.history.MayRelease(address, "ns/a", at(1))
			w.lease(2, "update", "ns/a", "two")
			w.attach(20, "ns/a", "pod-1")
		}, []oracle.Kind{oracle.LostLease}},
		"I4: another address": {func(w *world) {
			w.lease(1, "create", "ns/a", "")
			w.attach(2, "ns/a", "pod-1")
			w.truth.Detach("pod-1-c", at(3))
			w.truth.Attach(oracle.Attachment{Container: "x", Identity: "ns/a", PodUID: "pod-2", Lease: "vlan-50.10.50.0.8", From: at(4)})
		}, []oracle.Kind{oracle.LostLease}},
		"I6: quarantine cut short": {func(w *world) {
			w.lease(1, "create", "ns/a", "")
			w.attach(2, "ns/a", "pod-1")
			w.truth.Detach("pod-1-c", at(3))
			w.history.MayRelease(address, "ns/a", at(3))
			w.lease(4, "update", "ns/a", "four")
			w.lease(9, "update", "ns/b", "")
			w.attach(10, "ns/b", "pod-2")
		}, []oracle.Kind{oracle.Early}},
		"given away before its owner ended": {func(w *world) {
			w.lease(1, "create", "ns/a", "")
			w.attach(2, "ns/a", "pod-1")
			w.truth.Detach("pod-1-c", at(3))
			w.lease(4, "update", "ns/a", "four")
			w.lease(15, "update", "ns/b", "")
			w.attach(16, "ns/b", "pod-2")
		}, []oracle.Kind{oracle.Broken}},
		"given away although it was kept": {func(w *world) {
			w.lease(1, "create", "ns/a", "")
			w.attach(2, "ns/a", "pod-1")
			w.truth.Detach("pod-1-c", at(3))
			w.history.Forgotten(map[string]bool{"ns/a": true}, at(3))
			w.ledger.Reset()
			w.lease(4, "create", "ns/b", "")
			w.attach(5, "ns/b", "pod-2")
		}, []oracle.Kind{oracle.Broken}},
		"looked up and another's": {func(w *world) {
			w.lease(1, "create", "ns/a", "")
			w.attach(2, "ns/a", "pod-1")
			w.history.Lookup(address, "ns/b", at(3), at(4))
		}, []oracle.Kind{oracle.Broken}},
		"I1: two claims hold one lease": {func(w *world) {
			w.lease(1, "create", "ns/a", "")
			w.claim(1.1, "create", "a", "pod-1")
			w.claim(1.2, "create", "b", "pod-2")
			w.attach(2, "ns/a", "pod-1")
		}, []oracle.Kind{oracle.Duplicate}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.t = t
			c.run(w)
			w.judge(c.want...)
		})
	}
}

// A bind that takes a cooled record and comes to nothing puts it back: nobody had it meanwhile, and it need not cool again.
func TestUndoneBind(t *testing.T) {
	w := newWorld(t)
	w.lease(1, "create", "ns/a", "")
	w.attach(2, "ns/a", "pod-1")
	w.truth.Detach("pod-1-c", at(3))
	w.history.MayRelease(address, "ns/a", at(3))
	w.lease(4, "update", "ns/a", "four")
	w.lease(20, "update", "ns/b", "")
	w.lease(20.1, "update", "ns/a", "four")
	w.lease(20.2, "update", "ns/c", "")
	w.attach(21, "ns/c", "pod-2")
	w.judge()
}

// The same, when the record is known from a list only.
func TestUndoneBindOfListedRecord(t *testing.T) {
	w := newWorld(t)
	record := &oracle.Lease{Pool: "p", Identity: "ns/a", MAC: "02:32:00:00:00:07", IPs: []string{"10.50.0.7"}, Released: true, Reusable: true, At: "four"}
	w.ledger.Listed("macleases", 9, at(10), []*oracle.Event{{Name: address, Version: 8, Lease: record}})
	w.version, w.last["macleases"+address] = 9, 8
	w.lease(20, "update", "ns/b", "")
	w.lease(20.1, "update", "ns/a", "four")
	w.lease(20.2, "update", "ns/c", "")
	w.attach(21, "ns/c", "pod-2")
	w.judge()
	if got := w.ledger.Stats().Releases; got != 0 {
		t.Errorf("%d releases", got)
	}
}

// What ends while the API is being brought up to what nodes know may be forgotten: another may have its address, unless a second sandbox
// of the pod keeps it.
func TestEndWhileLoose(t *testing.T) {
	w := newWorld(t)
	w.lease(1, "create", "ns/a", "")
	w.attach(2, "ns/a", "pod-1")
	w.truth.Loose(true)
	ended := w.truth.Detach("pod-1-c", at(3))
	if ended == nil || ended.Identity != "ns/a" || ended.Lease != address {
		t.Fatalf("%+v", ended)
	}
	w.history.MayRelease(ended.Lease, ended.Identity, ended.To)
	w.ledger.Advance(time.Time{})
	w.ledger.Reset()
	w.lease(5, "create", "ns/b", "")
	w.attach(6, "ns/b", "pod-2")
	w.truth.Attach(oracle.Attachment{Container: "second", Pod: "ns/p", PodUID: "pod-2", Identity: "ns/b", Lease: address, MAC: "02:32:00:00:00:07", From: at(7)})
	if kept := w.truth.Detach("pod-2-c", at(8)); kept != nil {
		t.Errorf("%s may lose its address, and has a second sandbox", kept)
	}
	w.judge()
}

// A log that lacks a write, because the API server was killed before it wrote it, accuses nobody and is counted.
func TestGap(t *testing.T) {
	w := newWorld(t)
	w.lease(1, "create", "ns/a", "")
	w.attach(2, "ns/a", "pod-1")
	w.truth.Detach("pod-1-c", at(3))
	w.history.MayRelease(address, "ns/a", at(3))
	w.version++
	w.last["macleases"+address] = w.version // the release
	w.lease(20, "update", "ns/b", "")
	w.attach(21, "ns/b", "pod-2")
	w.judge()
	if got := w.ledger.Stats().Gaps; got != 1 {
		t.Errorf("%d gaps", got)
	}
}

// An API server that goes back in time may give away what nobody is attached with.
func TestForgotten(t *testing.T) {
	w := newWorld(t)
	w.lease(1, "create", "ns/a", "")
	w.attach(2, "ns/a", "pod-1")
	w.truth.Detach("pod-1-c", at(3))
	w.history.Forgotten(nil, at(4))
	w.ledger.Advance(time.Time{})
	w.ledger.Reset()
	w.lease(5, "create", "ns/b", "")
	w.attach(6, "ns/b", "pod-2")
	w.judge()
}

// What a list shows that the log has not is taken as it is: who was given a lease of which the log says nothing has it.
func TestListedAfterGap(t *testing.T) {
	w := newWorld(t)
	w.attach(2, "ns/a", "pod-1")
	lease := &oracle.Lease{Pool: "p", Identity: "ns/a", MAC: "02:32:00:00:00:07", IPs: []string{"10.50.0.7"}}
	w.ledger.Listed("macleases", 9, at(4), []*oracle.Event{{Name: address, Version: 8, Lease: lease}})
	w.version, w.last["macleases"+address] = 9, 8
	w.truth.Detach("pod-1-c", at(5))
	w.history.MayRelease(address, "ns/a", at(5))
	w.lease(6, "update", "ns/a", "six")
	w.ledger.Listed("macleases", 20, at(7), nil)
	w.judge()
	if got := w.ledger.Stats(); got.Gaps != 2 || got.Releases != 1 {
		t.Errorf("%+v", got)
	}
}

// Writes to one object are judged in the order in which they were done, whatever the order of the log.
func TestLogOutOfOrder(t *testing.T) {
	w := newWorld(t)
	w.lease(1, "create", "ns/a", "")
	w.attach(2, "ns/a", "pod-1")
	w.truth.Detach("pod-1-c", at(3))
	w.history.MayRelease(address, "ns/a", at(3))
	w.lease(4.5, "update", "ns/a", "four")  // answered late
	w.lease(4.4, "update", "ns/a", "")      // taken back by its own identity
	w.lease(20, "update", "ns/a", "twenty") // and given back again
	w.judge()
	if got := w.ledger.Stats(); got.Gaps != 0 || got.Releases != 2 {
		t.Errorf("%+v", got)
	}
}
