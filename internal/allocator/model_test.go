// SPDX-License-Identifier: Apache-2.0

package allocator_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/mac"
)

const (
	// recountEvery is how often all counts and look-ups are compared, and settleEvery how often the world holds still until all of its
	// events have arrived.
	recountEvery, settleEvery = 1000, 20_000
)

// TestModel : R-A2, R-A3, R-A9, I7, R-P1. A world of leases changes by the hands of this process and of others; the index and a naive
// index hear of it late. At every step the index must answer as the naive one does; whenever all events have arrived it must know what
// is in the world, whatever it was told before.
func TestModel(t *testing.T) {
	const seed = 20261124
	m := newModel(t, seed)
	for step := range modelSteps {
		m.step()
		if step%recountEvery == 0 {
			m.checkAll()
		}
		if step%settleEvery == settleEvery-1 {
			m.settle()
		}
		if t.Failed() {
			t.Fatalf("seed %d, step %d", seed, step)
		}
	}
	for what, n := range m.did {
		if n < modelSteps/2000 {
			t.Errorf("%s happened %d times: the walk does not get there", what, n)
		}
	}
	t.Logf("%d steps: %v", modelSteps, m.did)
}

// model is the world, the index under test and the naive one.
type model struct {
	*testing.T

	r     *rand.Rand
	now   time.Time
	world *world
	index *allocator.Allocator
	naive *naiveIndex

	configs  map[string][]*modelPool // pool -> what it may be edited to
	ids      []allocator.Identity
	attempts []attempt
	did      map[string]int
}

// attempt is one that Pick or Reserve began. written is set while the answer to its write is on the way.
type attempt struct {
	name    mac.Name
	pool    string
	id      allocator.Identity
	written *allocator.Lease
}

func newModel(t *testing.T, seed uint64) *model {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 0))
	m := &model{
		T: t, r: r, now: start, world: newWorld(), index: allocator.New(), naive: newNaiveIndex(),
		configs: map[string][]*modelPool{}, did: map[string]int{},
	}
	for _, pool := range modelPools { // sorted: the walk must be the same at every run
		subnets := modelSubnets[pool]
		for range 24 {
			m.configs[pool] = append(m.configs[pool], newModelPool(t, r, subnets.segment, subnets.cidrs))
		}
	}
	for i := range 40 {
		m.ids = append(m.ids, allocator.Identity{Namespace: fmt.Sprint("ns-", i%3), Name: fmt.Sprintf("db-%d.iot.net1", i)})
	}
	return m
}

// step does one random thing.
func (m *model) step() {
	m.now = m.now.Add(time.Duration(m.r.IntN(200)) * time.Millisecond)
	switch x := m.r.IntN(1000); {
	case x < 150:
		m.pick()
	case x < 170:
		m.reserve()
	case x < 330:
		m.finish()
	case x < 640:
		m.others()
	case x < 950:
		m.deliver()
	case x < 980:
		m.replay()
	case x < 998:
		m.setPool()
	default:
		m.removePool()
	}
}

func (m *model) pick() {
	pool, id := m.poolName(), m.ids[m.r.IntN(len(m.ids))]
	want, known, wantErr := m.naive.pick(pool, id, m.now)
	got, err := m.index.Pick(pool, id, m.now)
	if !errors.Is(err, wantErr) || err == nil && (got.Name != want || got.Known != known) {
		m.Errorf("%s for %s: picked %s, known %t, %v, want %s, %t, %v", pool, id.Name, got.Name, got.Known, err, want, known, wantErr)
	}
	if err != nil {
		m.did["pick: "+wantErr.Error()]++
		return
	}
	m.did[fmt.Sprint("pick, known ", known)]++
	m.attempts = append(m.attempts, attempt{name: got.Name, pool: pool, id: id})
	m.checkSum(pool)
}

func (m *model) reserve() {
	n := m.anyName()
	if len(m.attempts) > 0 && m.r.IntN(4) == 0 {
		n = m.attempts[m.r.IntN(len(m.attempts))].name
	}
	want := m.naive.reserve(n)
	if got := m.index.Reserve(n, m.now); got != want {
		m.Errorf("reserve %s: %t, want %t", n, got, want)
	}
	m.did[fmt.Sprint("reserve ", want)]++
	if want {
		m.attempts = append(m.attempts, attempt{name: n, pool: m.poolName(), id: m.ids[m.r.IntN(len(m.ids))]})
	}
}

// finish brings one attempt a step on: to its write, or from the write to its answer.
func (m *model) finish() {
	if len(m.attempts) == 0 {
		return
	}
	i := m.r.IntN(len(m.attempts))
	at := m.attempts[i]
	if at.written == nil && m.r.IntN(8) > 0 {
		if l, ok := m.world.take(at); ok {
			m.attempts[i].written = &l
			if m.r.IntN(3) > 0 {
				return // the answer takes its time
			}
			at.written = &l
		}
	} else if at.written == nil {
		m.naive.land(at.name)
		m.index.Release(at.name)
		m.did["release"]++
		m.attempts = slices.Delete(m.attempts, i, i+1)
		return
	}
	m.attempts = slices.Delete(m.attempts, i, i+1)
	if at.written == nil {
		m.naive.taken(at.name, m.now)
		m.index.Taken(at.name, m.now)
		m.did["taken"]++
		return
	}
	m.naive.land(at.name)
	m.naive.report(*at.written)
	m.index.Commit(*at.written)
	m.did["commit"]++
	m.checkSum(at.pool)
}

// others changes the world by other hands: other processes bind, claims end, the manager lets leases cool and deletes them.
func (m *model) others() {
	n := m.anyName()
	m.did["others: "+m.world.change(n, m.poolName(), m.ids[m.r.IntN(len(m.ids))], m.r)]++
}

// deliver lets the next event of some name arrive.
func (m *model) deliver() {
	if e, ok := m.world.nextEvent(m.r); ok {
		m.hear(e)
	}
}

func (m *model) hear(e event) {
	if e.deleted {
		m.naive.forget(e.lease.Name, e.lease.UID)
		m.index.Forget(e.lease.Name, e.lease.UID)
		m.did["forget"]++
	} else {
		m.naive.report(e.lease)
		m.index.Observe(e.lease)
		m.did["observe"]++
	}
	m.checkSum(e.lease.Pool)
}

// replay lets a report arrive that is out of date, as a list that began long ago does.
func (m *model) replay() {
	if e, ok := m.world.oldReport(m.r); ok {
		m.hear(e)
		m.did["replay"]++
	}
}

func (m *model) setPool() {
	name := m.poolName()
	p := m.configs[name][m.r.IntN(len(m.configs[name]))]
	m.naive.pools[name] = p
	m.index.SetPool(name, p.plan)
	m.did["set pool"]++
	m.checkCounts(name)
}

func (m *model) removePool() {
	name := m.poolName()
	delete(m.naive.pools, name)
	m.index.RemovePool(name)
	m.did["remove pool"]++
	m.checkCounts(name)
}

// settle finishes all attempts and lets all events arrive. Then the index knows the world as it is.
func (m *model) settle() {
	for len(m.attempts) > 0 {
		m.finish()
	}
	for e, ok := m.world.nextEvent(m.r); ok; e, ok = m.world.nextEvent(m.r) {
		m.hear(e)
	}
	for _, n := range m.world.names {
		want, exists := m.world.leases[n]
		if got, ok := m.index.Get(n); ok != exists || got != want {
			m.Errorf("settled, %s is %+v, %t, in the index %+v, %t", n, want, exists, got, ok)
		}
	}
	m.checkAll()
}

// checkSum is the invariant of every step that costs little.
func (m *model) checkSum(pool string) {
	if c := m.index.Count(pool); c.Capacity != c.Leased+c.Cooling+c.Conflicted+c.Kept+c.Available {
		m.Errorf("%s: %+v does not add up", pool, c)
	}
}

// checkAll compares everything that can be asked.
func (m *model) checkAll() {
	for pool := range m.configs {
		m.checkCounts(pool)
	}
	for _, n := range m.world.names {
		want, wantOK := m.naive.leases[n]
		if got, ok := m.index.Get(n); ok != wantOK || got != want {
			m.Errorf("%s is %+v, %t, want %+v, %t", n, got, ok, want, wantOK)
		}
		if wantOK {
			wantLease, wantOK := m.naive.byClaim(want.ClaimUID)
			if got, ok := m.index.ByClaim(want.ClaimUID); ok != wantOK || got != wantLease {
				m.Errorf("by claim %s: %+v, %t, want %+v, %t", want.ClaimUID, got, ok, wantLease, wantOK)
			}
		}
	}
	for _, id := range m.ids {
		got := map[mac.Name]allocator.Lease{}
		for _, l := range m.index.ByIdentity("vlan-50", id) {
			got[l.Name] = l
		}
		if diff := cmp.Diff(m.naive.byIdentity("vlan-50", id), got, compareLeases); diff != "" {
			m.Errorf("by identity %s (-want +got):\n%s", id.Name, diff)
		}
	}
}

func (m *model) checkCounts(pool string) {
	if diff := cmp.Diff(m.naive.count(pool), m.index.Count(pool)); diff != "" {
		m.Errorf("counts of %s (-recounted +kept):\n%s", pool, diff)
	}
	if want, got := m.naive.own(pool), m.index.Own(pool); got != want {
		m.Errorf("pool %s has %d leases of its own, recounted %d", pool, got, want)
	}
}

var compareLeases = cmp.Comparer(func(a, b allocator.Lease) bool { return a == b })

func (m *model) poolName() string { return modelPools[m.r.IntN(len(modelPools))] }

func (m *model) anyName() mac.Name { return m.world.names[m.r.IntN(len(m.world.names))] }
