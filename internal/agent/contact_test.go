// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"net/http"
	"testing"
	"time"

	testingclock "k8s.io/utils/clock/testing"
)

var errNoNetwork = errors.New("no route to the API server")

// TestContact walks through what an agent hears of the API, and what it may believe then.
func TestContact(t *testing.T) {
	fake := testingclock.NewFakePassiveClock(now)
	c := &contact{clock: fake, window: 20 * time.Second}
	pass := func(d time.Duration) { fake.SetTime(fake.Now().Add(d)) }
	var status int // of the next answer, 0 for none
	var lies time.Duration
	transport := c.Wrap(roundTripper(func(*http.Request) (*http.Response, error) {
		pass(lies)
		if status == 0 {
			return nil, errNoNetwork
		}
		return &http.Response{StatusCode: status, Body: http.NoBody}, nil
	}))
	request := func(s int, took time.Duration) {
		status, lies = s, took
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := transport.RoundTrip(req)
		if err == nil {
			_ = resp.Body.Close()
		}
	}
	steps := []struct {
		name   string
		do     func()
		inside bool
		hold   bool
	}{
		{"at the start", func() {}, false, false},
		{"no answer", func() { request(0, 0) }, false, false},
		{"turned away for its token", func() { request(http.StatusUnauthorized, 0) }, false, false},
		{"turned away for its rights", func() { request(http.StatusForbidden, 0) }, false, false},
		{"turned away for haste", func() { request(http.StatusTooManyRequests, 0) }, false, false},
		{"the API server has no storage", func() { request(http.StatusInternalServerError, 0) }, false, false},
		{"an answer", func() { request(http.StatusOK, 0) }, true, false},
		{"the caches agree", func() { c.vouch(c.silence()) }, true, false},
		{"a report was taken", func() { c.report(fake.Now()) }, true, true},
		{"a report is due", func() { pass(15 * time.Second); request(http.StatusOK, 0); pass(6 * time.Second) }, true, false},
		{"a report was taken", func() { c.report(fake.Now()); request(http.StatusOK, 0) }, true, true},
		{"just inside", func() { pass(20 * time.Second) }, true, true},
		{"just outside", func() { pass(time.Millisecond) }, false, false},
		{"an answer that was asked for before", func() { request(http.StatusNotFound, 25*time.Second) }, false, false},
		{"a fresh answer", func() { request(http.StatusNotFound, 0) }, true, false},
		{"a report was taken", func() { c.report(fake.Now()) }, true, false},
		{"vouched for the silence before", func() { c.vouch(1) }, true, false},
		{"vouched for this one", func() { c.vouch(c.silence()) }, true, true},
		{"answers go on", func() {
			for range 100 {
				pass(5 * time.Second)
				request(http.StatusOK, 0)
				c.report(fake.Now())
			}
		}, true, true},
		{"an hour without an answer", func() { pass(time.Hour) }, false, false},
	}
	for _, s := range steps {
		s.do()
		if got := c.inside(); got != s.inside {
			t.Errorf("%s: inside = %t, want %t", s.name, got, s.inside)
		}
		if got := c.cachesHold(); got != s.hold {
			t.Errorf("%s: cachesHold = %t, want %t", s.name, got, s.hold)
		}
	}
}

// TestJudged proves that what is attached has to be compared with the API after each long silence, and not after a short one (R-G7).
func TestJudged(t *testing.T) {
	fake := testingclock.NewFakePassiveClock(now)
	returns := 0
	c := &contact{clock: fake, window: 20 * time.Second, returned: func(bool) { returns++ }}
	answer := func(after time.Duration) {
		fake.SetTime(fake.Now().Add(after))
		c.note(fake.Now())
	}
	steps := []struct {
		name string
		do   func()
		want bool
	}{
		{"at the start", func() {}, false},
		{"an answer", func() { answer(0) }, false},
		{"judged", func() { c.judge(c.silence()) }, true},
		{"a short silence", func() { answer(20 * time.Second) }, true},
		{"a long one", func() { fake.SetTime(fake.Now().Add(21 * time.Second)) }, false},
		{"is over", func() { answer(0) }, false},
		{"judged for the one before", func() { c.judge(c.silence() - 1) }, false},
		{"judged for this one", func() { c.judge(c.silence()) }, true},
	}
	for _, s := range steps {
		s.do()
		if got := c.isJudged(); got != s.want {
			t.Errorf("%s: isJudged = %t, want %t", s.name, got, s.want)
		}
	}
	if returns != 2 {
		t.Errorf("the API returned %d times, want 2", returns)
	}
}
