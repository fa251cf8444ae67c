// SPDX-License-Identifier: Apache-2.0

package timeline

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
)

// Gate is closed while the API may be behind what some node knows. It is asked before an address is given out or taken back.
//
// A doubt closes it: the start of the process, and whatever Link reports. The doubt is settled when every MacNode that a
// list, begun after the doubt, has shown was renewed since: its agent has compared the API with what it knows, and has raised its
// timeline if the API is behind. Make one with New. Safe for concurrent use.
type Gate struct {
	reader client.Reader
	clock  clock.PassiveClock
	times  Times

	// doubts counts them. The first is the start.
	doubts atomic.Uint64
	// wentBack is closed when this process itself has seen that the API went back.
	wentBack chan struct{}
	announce sync.Once

	// busy is held by who looks at the API; it guards what follows.
	busy    chan struct{}
	settled uint64 // the latest doubt that is settled
	nodes   nodes
	first   firstLook
	pools   pools
	ahead   bool // the next look at the pools is under way
}

// Times are the Gate's. The zero value of a field means its default.
type Times struct {
	// Silence is how long an agent must have written nothing to count as away; it is not waited for then.
	Silence time.Duration
	// Empty is how long an API without any MacNode is doubted: agents whose MacNodes were lost make them again within it.
	Empty time.Duration
	// Fresh is how long a look at the pools is used, Poll how long one at nodes that are waited for.
	Fresh, Poll time.Duration
	// Crowd makes looks at nodes as rare as it takes where each node looks at all of them: with N nodes one is used for at least N² times this. Zero is
	// for one of few.
	Crowd time.Duration
}

func (t Times) withDefaults() Times {
	for field, value := range map[*time.Duration]time.Duration{
		&t.Silence: 40 * time.Second,
		&t.Empty:   15 * time.Second,
		&t.Fresh:   2 * time.Second,
		&t.Poll:    250 * time.Millisecond,
	} {
		if *field == 0 {
			*field = value
		}
	}
	return t
}

// New makes a gate, which is closed by the doubt of the start. The reader must not read from a cache.
func New(reader client.Reader, clk clock.PassiveClock, times Times) *Gate {
	g := &Gate{
		reader: reader, clock: clk, times: times.withDefaults(), wentBack: make(chan struct{}), busy: make(chan struct{}, 1),
		nodes: nodes{seen: map[string]sighting{}},
	}
	g.doubts.Store(1)
	return g
}

// Doubt closes the gate until all agents have been heard of again. It returns the number of the doubt.
func (g *Gate) Doubt() uint64 { return g.doubts.Add(1) }

// Doubts is the number of the latest doubt.
func (g *Gate) Doubts() uint64 { return g.doubts.Load() }

// Trust settles the doubt of this number, unless there was another since, on the word of who can tell without the others.
func (g *Gate) Trust(ctx context.Context, doubt uint64) error {
	if err := g.enter(ctx); err != nil {
		return err
	}
	defer g.leave()
	g.settled = max(g.settled, doubt)
	return nil
}

// WentBack is closed when this process has seen by itself that the API went back, or has learned it from a timeline that has
// grown. The watches of such a process show what is no more, and will not show what comes: it has to start anew.
func (g *Gate) WentBack() <-chan struct{} { return g.wentBack }

// Unsettled says that nobody knows yet whether the API has gone back. It passes by itself, within seconds.
type Unsettled struct { //nolint:errname // it says what is, and passes
	// Pool is the pool that was asked about, if it was one.
	Pool string
	// Waiting are the nodes whose word is missing.
	Waiting []string
	// After is how long the answer stays what it is: there is no other look before.
	After time.Duration
	why   string
}

// Error says what is waited for.
func (u *Unsettled) Error() string {
	if u.why != "" {
		return u.why
	}
	return "the API server was away, and may know less than before; it is not known yet from " + Names(u.Waiting)
}

// Settle tells whether all agents have been heard of since the latest doubt: nil if so, else an Unsettled or what the API
// answered.
func (g *Gate) Settle(ctx context.Context) error {
	if err := g.enter(ctx); err != nil {
		return err
	}
	defer g.leave()
	return g.settle(ctx)
}

// Check tells whether addresses of the pool may be given out and taken back: nil if so, else AllocationPaused, an Unsettled, or
// what the API answered.
func (g *Gate) Check(ctx context.Context, pool string) error {
	if err := g.enter(ctx); err != nil {
		return err
	}
	defer g.leave()
	looks := g.pools.looks
	if err := g.settle(ctx); err != nil {
		return forPool(err, pool)
	}
	state, known := g.pools.byName[pool]
	if good := known && state.paused == "" && state.timeline == g.nodes.timeline; !good && looks == g.pools.looks &&
		Elapsed(g.clock.Now(), g.pools.at) >= g.times.Poll {
		// It was made since, perhaps, or goes on.
		if err := g.listPools(ctx); err != nil {
			return err
		}
		state, known = g.pools.byName[pool]
	}
	switch {
	case !known && g.pools.highest() == g.nodes.timeline:
		return nil // nobody can give out what it has, and what it had is to be taken back
	case state.paused != "":
		return problem.AllocationPaused.New(pool, state.paused)
	case state.timeline != g.nodes.timeline:
		return problem.AllocationPaused.New(pool, "the API server has gone back in time, and the manager has yet to see it")
	}
	return nil
}

func (g *Gate) enter(ctx context.Context) error {
	select {
	case g.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (g *Gate) leave() { <-g.busy }

// settle looks at the API as far as what is known is too old for the answer.
func (g *Gate) settle(ctx context.Context) error {
	now, doubt := g.clock.Now(), g.doubts.Load()
	if g.settled == doubt && g.nodes.listed {
		if age := Elapsed(now, g.pools.at); g.pools.of == doubt && age <= g.times.Fresh {
			if age > g.times.Fresh/4*3 && !g.ahead {
				g.ahead = true
				go g.lookAhead(context.WithoutCancel(ctx))
			}
			return nil
		}
		if err := g.listPools(ctx); err != nil {
			return err
		}
		if g.pools.highest() == g.nodes.timeline {
			return g.verdict(doubt)
		}
		// A timeline has grown. Who is on it?
	}
	if wait := g.turn(now, doubt); wait > 0 {
		if g.nodes.of != doubt {
			return &Unsettled{why: justAway, After: wait}
		}
		return g.verdict(doubt)
	}
	if _, err := g.listNodes(ctx, doubt); err != nil {
		return err
	}
	if err := g.listPools(ctx); err != nil {
		return err
	}
	return g.verdict(g.nodes.of)
}

const justAway = "the API server has just been away"

// verdict is what the last look comes to.
func (g *Gate) verdict(doubt uint64) error {
	if g.settled != doubt {
		waiting, unknown := g.nodes.waitedFor(g.times)
		if len(waiting) > 0 || unknown {
			return &Unsettled{Waiting: waiting, After: g.turn(g.clock.Now(), doubt)}
		}
		g.settled = doubt
	}
	if g.doubts.Load() != doubt {
		return &Unsettled{why: justAway}
	}
	return nil
}

// Nodes lists all MacNodes live, and lets the gate see what they show.
func (g *Gate) Nodes(ctx context.Context) (*v1alpha1.MacNodeList, error) {
	if err := g.enter(ctx); err != nil {
		return nil, err
	}
	defer g.leave()
	return g.listNodes(ctx, g.doubts.Load())
}

// listNodes looks at all MacNodes.
func (g *Gate) listNodes(ctx context.Context, doubt uint64) (*v1alpha1.MacNodeList, error) {
	list := &v1alpha1.MacNodeList{}
	if err := g.reader.List(ctx, list); err != nil {
		return nil, fmt.Errorf("listing MacNodes: %w", err)
	}
	if g.nodes.note(list, doubt, g.clock.Now()) {
		// All are to be heard of again, but not for what is known by this list already.
		g.nodes.rebase(g.doubts.Add(1), g.clock.Now())
		g.announce.Do(func() { close(g.wentBack) })
	}
	return list, nil
}

// aheadTimeout bounds a look that nobody waits for.
const aheadTimeout = 5 * time.Second

// lookAhead looks at the pools before the last look is too old: the API server may take a tenth of a second for it, for which each bind of a storm would
// wait. A look that shows a change is made again by who asks next, with all that follows from it.
func (g *Gate) lookAhead(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, aheadTimeout)
	defer cancel()
	next, err := g.readPools(ctx)
	g.busy <- struct{}{}
	defer g.leave()
	g.ahead = false
	switch {
	case err != nil || next.at.Before(g.pools.at) || next.of != g.pools.of: // they look for themselves
	case next.highest() != g.nodes.timeline:
		g.pools.at = time.Time{}
	default:
		next.looks = g.pools.looks + 1
		g.pools = *next
	}
}

func (g *Gate) listPools(ctx context.Context) error {
	next, err := g.readPools(ctx)
	if err != nil {
		return err
	}
	next.looks = g.pools.looks + 1
	g.pools = *next
	return nil
}

func (g *Gate) readPools(ctx context.Context) (*pools, error) {
	doubt, now := g.doubts.Load(), g.clock.Now()
	var list v1alpha1.MacPoolList
	if err := g.reader.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("listing pools: %w", err)
	}
	byName := make(map[string]poolState, len(list.Items))
	for i := range list.Items {
		pool := &list.Items[i]
		state := poolState{timeline: pool.Status.Timeline}
		if c := apimeta.FindStatusCondition(pool.Status.Conditions, v1alpha1.PoolAllocationPaused); c != nil {
			state.paused = c.Message
			if state.paused == "" {
				state.paused = c.Reason
			}
		}
		byName[pool.Name] = state
	}
	return &pools{byName: byName, at: now, of: doubt}, nil
}

// pools are what the last look at them has shown.
type pools struct {
	byName map[string]poolState
	at     time.Time
	of     uint64 // the latest doubt before it
	looks  int
}

type poolState struct {
	timeline int64
	paused   string // why, empty if it is not
}

func (p *pools) highest() int64 {
	var highest int64
	for _, state := range p.byName {
		highest = max(highest, state.timeline)
	}
	return highest
}

func forPool(err error, pool string) error {
	if u, ok := err.(*Unsettled); ok { //nolint:errorlint // as this package makes it
		named := *u
		named.Pool = pool
		return &named
	}
	return err
}

// namesShown is how many nodes a message names.
const namesShown = 5

// Names lists nodes for people, the first of them if there are many.
func Names(all []string) string {
	all = slices.Sorted(slices.Values(all))
	switch n := len(all) - namesShown; {
	case len(all) == 0:
		return "any node"
	case n > 0:
		return strings.Join(all[:namesShown], ", ") + " and " + strconv.Itoa(n) + " more"
	case len(all) == 1:
		return "node " + all[0]
	default:
		return strings.Join(all, ", ")
	}
}

// Elapsed is the time between two readings of a clock: the monotonic or the wall clock's difference, whichever is longer. A
// machine that was suspended finds its monotonic clock where it was; one whose wall clock was set forward loses a
// few seconds of cache for nothing.
func Elapsed(now, then time.Time) time.Duration {
	return max(now.Sub(then), now.Round(0).Sub(then.Round(0)))
}
