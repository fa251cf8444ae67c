// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"net/http"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/macpool/macpool/internal/timeline"
)

// contact knows when the API last answered this node. An agent that has heard nothing for the fencing window answers no ADD
// from its caches: others may take from its node what they show. Safe for concurrent use.
type contact struct {
	clock  clock.PassiveClock
	window time.Duration

	mu sync.Mutex
	// last is when the latest request that was answered was sent. Not when the answer came: what it proves is that the API
	// was there after the sending, however long the answer lay in a buffer of a process that was stopped.
	last time.Time
	// reported is when the latest report of this node that the API took was sent.
	reported time.Time
	// silences counts the silences that were longer than the window, the time before the first answer included, and the
	// shorter ones after which the API server may be another one.
	silences int
	// failed: a request was not answered, or not by an API that serves.
	failed bool
	// vouched is the silence after which the caches were last seen to agree with the API.
	vouched int
	// judged is the silence after which all that is attached here was last compared with the API.
	judged int

	// returned, if set, is called when a silence has ended; again: it was not the time before the first answer.
	returned func(again bool)
	// link hears of the API server's going away.
	link *timeline.Link
}

// Wrap makes a transport tell c of every answer. It is a rest.Config's WrapTransport.
func (c *contact) Wrap(next http.RoundTripper) http.RoundTripper {
	if c.link != nil {
		next = c.link.Wrap(next)
	}
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		sent := c.clock.Now()
		resp, err := next.RoundTrip(req)
		if err == nil && proves(resp.StatusCode) {
			c.note(sent)
		} else {
			c.fail()
		}
		return resp, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip is http.RoundTripper's.
func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// proves tells whether an answer shows that the API serves this agent. A server that turns it away, for its token or for
// being busy, has not looked at anything, and the watches that feed the caches are turned away too (F35).
func proves(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests:
		return false
	default:
		return status < http.StatusInternalServerError
	}
}

func (c *contact) note(sent time.Time) {
	if ended, again := c.notes(sent); ended && c.returned != nil {
		c.returned(again)
	}
}

// notes tells whether the answer ended a long silence, and not the first.
func (c *contact) notes(sent time.Time) (ended, again bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.silences == 0 || timeline.Elapsed(sent, c.last) > c.window {
		ended, again = true, c.silences > 0
		c.silences++
	}
	if timeline.Elapsed(sent, c.last) > 0 {
		c.last = sent
	}
	return ended, again
}

func (c *contact) fail() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = true
}

// hasFailed tells whether a request has ever failed.
func (c *contact) hasFailed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}

// back counts, like a long silence, that the API server was away: it may have come back as another one.
func (c *contact) back() {
	c.mu.Lock()
	c.silences++
	c.mu.Unlock()
	if c.returned != nil {
		c.returned(true)
	}
}

// inside tells whether the API has answered within the window.
func (c *contact) inside() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.insideLocked()
}

func (c *contact) insideLocked() bool {
	return c.silences > 0 && timeline.Elapsed(c.clock.Now(), c.last) <= c.window
}

// cachesAgree tells whether the caches show what there is: the API answers, and since the last long silence they were seen
// to agree with it.
func (c *contact) cachesAgree() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.insideLocked() && c.vouched == c.silences
}

// cachesHold tells whether an ADD may be answered from the caches: they agree with the API, and it has taken a report of this node
// within the window. By their reports others judge for how long a node has been silent: one that has contact, but cannot report, may
// have lost what a watch that is stuck still shows.
func (c *contact) cachesHold() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.insideLocked() && c.vouched == c.silences && timeline.Elapsed(c.clock.Now(), c.reported) <= c.window
}

// report notes that the API took a report of this node that was sent then.
func (c *contact) report(sent time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if timeline.Elapsed(sent, c.reported) > 0 {
		c.reported = sent
	}
}

// silence is the number of the last long silence, to be given to vouch or judge.
func (c *contact) silence() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.silences
}

// vouch notes that the caches agreed with the API at some time after the silence of this number.
func (c *contact) vouch(silence int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.vouched = max(c.vouched, silence)
}

// isJudged tells whether all that is attached here was compared with the API since it answers again.
func (c *contact) isJudged() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.insideLocked() && c.judged == c.silences
}

// judge notes that all that is attached was compared with the API at some time after the silence of this number.
func (c *contact) judge(silence int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.judged = max(c.judged, silence)
}
