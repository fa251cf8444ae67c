// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/wire"
)

// vlans are the links of a node, as its agent finds them.
type vlans struct {
	mu     sync.Mutex
	links  map[string]string // link -> who answers there
	asked  []string
	failed error // what else is wrong with every link
}

func (v *vlans) ask(_ context.Context, link string, q wire.Query) (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked = append(v.asked, fmt.Sprintf("%s %v %s %d %t", link, q.IPs, q.MAC, q.Rounds, q.Question))
	if v.failed != nil {
		return "", v.failed
	}
	by, ok := v.links[link]
	if !ok {
		return "", fmt.Errorf("asking on link %s: %w", link, wire.ErrNoLink)
	}
	if by == "down" {
		return "", fmt.Errorf("asking on link %s: %w", link, wire.ErrLinkDown)
	}
	return by, nil
}

func (v *vlans) set(change func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	change()
}

func (v *vlans) requests() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]string(nil), v.asked...)
}

// question is about an address of the fixture's pool.
func (f *fixture) question(lease string, askedAt time.Time, links ...string) v1alpha1.WireQuestion {
	return v1alpha1.WireQuestion{
		LeaseName: lease, AskedAt: metav1.NewTime(askedAt), PodUID: "u-1", MAC: "02:32:00:a8:32:08",
		IPs: []v1alpha1.IPAddress{"192.168.50.8", "fd00:50::8"}, Links: links,
	}
}

// asks has the pool ask this and nothing else, until the test ends.
func (f *fixture) asks(t *testing.T, questions ...v1alpha1.WireQuestion) {
	t.Helper()
	ask := func(ctx context.Context, questions []v1alpha1.WireQuestion) {
		f.must(t, f.Get(ctx, types.NamespacedName{Name: f.pool.Name}, f.pool))
		f.pool.Status.Questions = questions
		f.must(t, f.Status().Update(ctx, f.pool))
	}
	if len(f.pool.Status.Questions) == 0 { // the agents of other tests see all pools
		t.Cleanup(func() { ask(context.WithoutCancel(t.Context()), nil) })
	}
	ask(t.Context(), questions)
}

// answers are what the node has reported.
func (f *fixture) answers(t *testing.T, n *node) map[string]v1alpha1.WireAnswer {
	t.Helper()
	node := &v1alpha1.MacNode{}
	f.must(t, f.Get(t.Context(), types.NamespacedName{Name: n.name}, node))
	all := map[string]v1alpha1.WireAnswer{}
	for _, a := range node.Status.Answers {
		all[a.LeaseName] = a
	}
	return all
}

func (f *fixture) awaitAnswers(t *testing.T, n *node, want ...v1alpha1.WireAnswer) {
	t.Helper()
	wanted := map[string]v1alpha1.WireAnswer{}
	for _, a := range want {
		wanted[a.LeaseName] = a
	}
	eventually(t, "the answers", func() error {
		if diff := cmp.Diff(wanted, f.answers(t, n)); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
}

func answerTo(q v1alpha1.WireQuestion, by string) v1alpha1.WireAnswer {
	return v1alpha1.WireAnswer{LeaseName: q.LeaseName, AskedAt: q.AskedAt, Rounds: 3, AnsweredBy: by}
}

// R-G4: a node that was deleted is asked about on the VLAN, once for each question, by the first link that can be asked.
func TestQuestionsAreAnswered(t *testing.T) {
	f := newFixture(t)
	v := &vlans{links: map[string]string{"eth0.50": "", "eth0.51": "02:00:00:00:00:66", "eth0.52": "down"}}
	n := newNode(t)
	n.vlan = v.ask
	n.start(t)
	n.awaitReady(t)
	at := time.Unix(1_800_000_000, 0)
	silent, heard := f.question("silent", at, "eth0.40", "eth0.52", "eth0.50", "eth0.51"), f.question("heard", at, "eth0.51", "eth0.50")
	f.asks(t, silent, heard)
	f.awaitAnswers(t, n, answerTo(silent, ""), answerTo(heard, "02:00:00:00:00:66"))

	again := f.question("silent", at.Add(time.Minute), "eth0.50")
	before := len(v.requests())
	if before != 4 {
		t.Errorf("asked %q", v.requests())
	}
	f.asks(t, again)
	f.awaitAnswers(t, n, answerTo(again, "")) // and the other is forgotten
	const want = "eth0.50 [192.168.50.8 fd00:50::8] 02:32:00:a8:32:08 3 true"
	if got := v.requests()[before:]; len(got) != 1 || got[0] != want {
		t.Errorf("asked %q, want %q", got, want)
	}
	f.asks(t)
	eventually(t, "no answers", func() error {
		n.agent.reporter.kick()
		if got := f.answers(t, n); len(got) > 0 {
			return fmt.Errorf("answers %v", got)
		}
		return nil
	})
}

// A node that has none of the links, or cannot ask, does not answer: its silence would be believed. It tries again.
func TestQuestionsThatCannotBeAsked(t *testing.T) {
	f := newFixture(t)
	v := &vlans{links: map[string]string{"eth0.50": "", "eth0.60": "down"}}
	n := newNode(t)
	n.vlan = v.ask
	n.start(t)
	n.awaitReady(t)
	at := time.Unix(1_800_000_000, 0)
	none, later, other := f.question("none", at, "eth0.40"), f.question("later", at, "eth0.60"), f.question("other", at, "eth0.50")
	f.asks(t, none, later, other)
	f.awaitAnswers(t, n, answerTo(other, ""))
	eventually(t, "all three", func() error {
		if got := v.requests(); len(got) < 3 {
			return fmt.Errorf("asked %q", got)
		}
		return nil
	})
	v.set(func() { v.links["eth0.60"] = "" })
	eventually(t, "the answer by the link that has come up", func() error {
		n.clock.ahead.Add(int64(askAgain))
		n.agent.reporter.kick()
		got := f.answers(t, n)
		if len(got) != 2 || !cmp.Equal(got["later"], answerTo(later, "")) {
			return fmt.Errorf("answers %v", got)
		}
		return nil
	})

	v.set(func() { v.failed = errors.New("operation not permitted") })
	forbidden := f.question("forbidden", at, "eth0.50")
	f.asks(t, forbidden)
	before := len(v.requests())
	eventually(t, "two tries", func() error {
		n.clock.ahead.Add(int64(askAgain))
		if got := v.requests()[before:]; len(got) < 2 {
			return fmt.Errorf("asked %q", got)
		}
		return nil
	})
	if got := f.answers(t, n); got["forbidden"].LeaseName != "" {
		t.Errorf("answered without asking: %v", got)
	}
}

// The link of a node does not hear the pods that hang on it: the journal knows them (R-G4).
func TestQuestionAboutAnAttachedAddress(t *testing.T) {
	f := newFixture(t)
	v := &vlans{links: map[string]string{"eth0.50": ""}}
	n := newNode(t)
	n.vlan = v.ask
	n.start(t)
	n.awaitReady(t)
	pod := f.newPod(t, "db-0", n.name, "db")
	lease := f.add(t, n, "c1", pod)
	q := f.question(lease.Name, time.Unix(1_800_000_000, 0), "eth0.50")
	f.asks(t, q)
	f.awaitAnswers(t, n, answerTo(q, lease.MAC))
	if got := v.requests(); len(got) > 0 {
		t.Errorf("asked %q", got)
	}

	// It is attached while the VLAN is asked.
	del(t, n, "c1")
	started, attach := make(chan struct{}), make(chan struct{})
	n.vlan = func(context.Context, string, wire.Query) (string, error) {
		close(started)
		<-attach
		return "", nil
	}
	q.AskedAt = metav1.NewTime(q.AskedAt.Add(time.Minute))
	f.asks(t, q)
	<-started
	if again := f.add(t, n, "c2", pod); again.Name != lease.Name {
		t.Errorf("attached with lease %s, want %s", again.Name, lease.Name)
	}
	close(attach)
	f.awaitAnswers(t, n, answerTo(q, lease.MAC))
}

// However long VLANs are asked, few are at a time, and ADD and DEL do not wait.
func TestQuestionsDoNotBlock(t *testing.T) {
	f := newFixture(t)
	n := newNode(t)
	var asking, most atomic.Int32
	release := make(chan struct{})
	n.vlan = func(ctx context.Context, _ string, _ wire.Query) (string, error) {
		now := asking.Add(1)
		defer asking.Add(-1)
		for seen := most.Load(); now > seen && !most.CompareAndSwap(seen, now); seen = most.Load() {
			continue
		}
		select {
		case <-release:
			return "", nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	n.start(t)
	n.awaitReady(t)
	var questions []v1alpha1.WireQuestion
	var want []v1alpha1.WireAnswer
	for i := range 5 {
		q := f.question(fmt.Sprintf("lease-%d", i), time.Unix(1_800_000_000, 0), "eth0.50")
		questions, want = append(questions, q), append(want, answerTo(q, ""))
	}
	f.asks(t, questions...)
	eventually(t, "two at a time", func() error {
		if now := asking.Load(); now != maxAsking {
			return fmt.Errorf("%d are asked", now)
		}
		return nil
	})
	f.add(t, n, "c1", f.newPod(t, "web-0", n.name, "web"))
	del(t, n, "c1")
	close(release)
	f.awaitAnswers(t, n, want...)
	if most.Load() != maxAsking {
		t.Errorf("%d were asked at a time", most.Load())
	}
}

// An agent that ends does not wait for VLANs.
func TestQuestionsEndWithTheAgent(t *testing.T) {
	f := newFixture(t)
	n := newNode(t)
	started := make(chan struct{})
	once := sync.OnceFunc(func() { close(started) })
	n.vlan = func(ctx context.Context, _ string, _ wire.Query) (string, error) {
		once()
		<-ctx.Done()
		return "", context.Cause(ctx)
	}
	n.start(t)
	n.awaitReady(t)
	f.asks(t, f.question("lease", time.Unix(1_800_000_000, 0), "eth0.50"))
	<-started
	n.stop()
	if got := f.answers(t, n); len(got) > 0 {
		t.Errorf("answered %v", got)
	}
}
