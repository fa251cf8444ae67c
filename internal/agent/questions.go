// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/wire"
)

const (
	// lookForQuestions is the time between two looks at the cached pools.
	lookForQuestions = time.Second
	// askAgain is the time after which a question is tried again whose links could not be asked.
	askAgain = 10 * time.Second
	// spread is over how long the nodes that hear of a question at the same moment spread their frames.
	spread = time.Second
	// maxAsking is how many questions are asked at a time. A VLAN is not to be flooded, and nobody waits.
	maxAsking = 2
)

// asker answers what pools ask about addresses whose node is gone: it asks the VLAN, if this node has a link to it, and
// reports what it has heard. It holds nothing that an ADD could wait for.
type asker struct {
	*Agent

	asking  sync.WaitGroup
	slots   chan struct{}
	mu      sync.Mutex
	settled map[questionKey]time.Time // what is answered or being asked: zero, or when to try again
}

// questionKey tells a question from others, earlier ones about the same lease included.
type questionKey struct {
	lease   string
	askedAt int64
}

func keyOfQuestion(q *v1alpha1.WireQuestion) questionKey {
	return questionKey{q.LeaseName, q.AskedAt.Unix()}
}

// compareQuestions orders questions by age: the oldest has waited longest.
func compareQuestions(a, b questionKey) int {
	return cmp.Or(cmp.Compare(a.askedAt, b.askedAt), cmp.Compare(a.lease, b.lease))
}

func newAsker(a *Agent) *asker {
	return &asker{Agent: a, slots: make(chan struct{}, maxAsking), settled: map[questionKey]time.Time{}}
}

// run asks until ctx ends.
func (k *asker) run(ctx context.Context) error {
	defer k.asking.Wait()
	select {
	case <-k.ready:
	case <-ctx.Done():
		return nil
	}
	return k.every(lookForQuestions, k.look)(ctx)
}

// look begins to ask what is asked and is not settled, as far as there are slots, and forgets what is not asked any more. The
// cache may show a question that has been dropped: an answer to it is of no use to anybody, and does no harm.
func (k *asker) look(ctx context.Context) {
	var pools v1alpha1.MacPoolList
	if err := k.cluster.cache.List(ctx, &pools); err != nil {
		k.log.V(1).Info("The questions of pools were not read", "error", err.Error())
		return
	}
	asked := map[questionKey]*v1alpha1.WireQuestion{}
	for i := range pools.Items {
		questions := pools.Items[i].Status.Questions
		for j := range questions {
			asked[keyOfQuestion(&questions[j])] = &questions[j]
		}
	}
	k.reporter.dropAnswers(func(answer v1alpha1.WireAnswer) bool {
		return asked[questionKey{answer.LeaseName, answer.AskedAt.Unix()}] != nil
	})
	for _, q := range k.due(asked) {
		k.asking.Go(func() {
			defer func() { <-k.slots }()
			k.answer(ctx, q)
		})
	}
}

// due are the questions to begin with now. A slot is taken for each.
func (k *asker) due(asked map[questionKey]*v1alpha1.WireQuestion) []*v1alpha1.WireQuestion {
	k.mu.Lock()
	defer k.mu.Unlock()
	for key := range k.settled {
		if asked[key] == nil {
			delete(k.settled, key)
		}
	}
	var all []*v1alpha1.WireQuestion
	now := k.clock.Now()
	for _, key := range slices.SortedFunc(maps.Keys(asked), compareQuestions) {
		q := asked[key]
		if again, ok := k.settled[key]; ok && (again.IsZero() || now.Before(again)) {
			continue
		}
		select {
		case k.slots <- struct{}{}:
			k.settled[key] = time.Time{}
			all = append(all, q)
		default:
			return all
		}
	}
	return all
}

// answer answers one question, or has it tried again later.
func (k *asker) answer(ctx context.Context, q *v1alpha1.WireQuestion) {
	answer := v1alpha1.WireAnswer{LeaseName: q.LeaseName, AskedAt: q.AskedAt, Rounds: probeRounds, AnsweredBy: k.attachedHere(q)}
	if answer.AnsweredBy == "" {
		by, err := k.askVLAN(ctx, q)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			k.log.V(1).Info("A VLAN was not asked", "lease", q.LeaseName, "links", q.Links, "error", err.Error())
			k.tryAgain(q)
			return
		}
		answer.AnsweredBy = by
		if by == "" { // attached meanwhile
			answer.AnsweredBy = k.attachedHere(q)
		}
	}
	k.log.Info("A VLAN was asked for an address", "lease", q.LeaseName, "mac", q.MAC, "answeredBy", answer.AnsweredBy)
	k.reporter.answered(answer)
}

// attachedHere is the MAC of the interface of this node that has the lease, "" if none has. The node's own link does not hear the
// pods that hang on it.
func (k *asker) attachedHere(q *v1alpha1.WireQuestion) string {
	for _, entry := range k.journal.ofLease(q.LeaseName) {
		return entry.Lease.MAC
	}
	return ""
}

// askVLAN asks on the first of the question's links that this node has, and that is up. A node with none of them has no word.
func (k *asker) askVLAN(ctx context.Context, q *v1alpha1.WireQuestion) (by string, err error) {
	query := wire.Query{MAC: string(q.MAC), Rounds: probeRounds, Question: true}
	for _, text := range q.IPs {
		ip, err := netip.ParseAddr(string(text))
		if err != nil {
			return "", err
		}
		query.IPs = append(query.IPs, ip)
	}
	if err := k.pause(ctx, k.jitter(spread)); err != nil {
		return "", err
	}
	var unusable []error
	for _, link := range q.Links {
		by, err := k.ask(ctx, link, query)
		if !errors.Is(err, wire.ErrNoLink) && !errors.Is(err, wire.ErrLinkDown) && !errors.Is(err, wire.ErrNotEthernet) {
			return by, err
		}
		unusable = append(unusable, err)
	}
	return "", errors.Join(unusable...)
}

// tryAgain lets a question be asked once more, when its link may have come up.
func (k *asker) tryAgain(q *v1alpha1.WireQuestion) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.settled[keyOfQuestion(q)] = k.clock.Now().Add(askAgain)
}
