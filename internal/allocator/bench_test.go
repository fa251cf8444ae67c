// SPDX-License-Identifier: Apache-2.0

package allocator_test

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/macpool/macpool/internal/allocator"
)

var start = time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)

func identity(i int) allocator.Identity {
	return allocator.Identity{Namespace: "iot", Name: "db-" + strconv.Itoa(i) + ".iot.net1"}
}

// leaseOf is the lease that the i-th identity makes of its candidate.
func leaseOf(c allocator.Candidate, pool string, i int) allocator.Lease {
	return allocator.Lease{
		Name: c.Name, UID: "lease-" + strconv.Itoa(i), Version: 1, Pool: pool, Claim: identity(i), ClaimUID: "claim-" + strconv.Itoa(i),
	}
}

// fill leases n addresses of the pool iot, each to its own claim in that claim's order of choice.
func fill(tb testing.TB, a *allocator.Allocator, n uint64) {
	tb.Helper()
	for i := range int(n) { //nolint:gosec // G115: no test leases more than an int can count
		c, err := a.Pick("iot", identity(i), start)
		if err != nil {
			tb.Fatalf("pick %d of %d: %v", i, n, err)
		}
		a.Commit(leaseOf(c, "iot", i))
	}
}

// benchPools are the pools of the benchmarks: empty, half full, nearly full, large and sparse.
var benchPools = []struct {
	name   string
	cidrs  []string
	leases func(capacity uint64) uint64
}{
	{"empty-16", []string{"10.1.0.0/16"}, func(uint64) uint64 { return 0 }},
	{"half-full-16", []string{"10.1.0.0/16"}, func(c uint64) uint64 { return c / 2 }},
	{"99%-full-16", []string{"10.1.0.0/16"}, func(c uint64) uint64 { return c / 100 * 99 }},
	{"99%-full-16-dual", []string{"10.1.0.0/16", "fd00:50::/64"}, func(c uint64) uint64 { return c / 100 * 99 }},
	{"sparse-8", []string{"10.0.0.0/8"}, func(uint64) uint64 { return 10_000 }},
	{"sparse-64", []string{"fd00:50::/64"}, func(uint64) uint64 { return 10_000 }},
}

// perPool runs a benchmark of one operation on each pool, with identities that have no lease.
func perPool(b *testing.B, operation func(a *allocator.Allocator, id allocator.Identity) error) {
	b.Helper()
	ids := make([]allocator.Identity, 4096)
	for i := range ids {
		ids[i] = allocator.Identity{Namespace: "bench", Name: "pod-" + strconv.Itoa(i) + ".iot.net1"}
	}
	for _, p := range benchPools {
		b.Run(p.name, func(b *testing.B) {
			a := allocator.New()
			plan := cidrPool(b, p.cidrs...)
			a.SetPool("iot", plan)
			fill(b, a, p.leases(plan.Capacity()))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := operation(a, ids[i%len(ids)]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// pickRelease is an attempt that comes to nothing.
func pickRelease(a *allocator.Allocator, id allocator.Identity) error {
	c, err := a.Pick("iot", id, start)
	a.Release(c.Name)
	return err
}

// reserveRelease is an attempt at a given address that comes to nothing.
func reserveRelease(a *allocator.Allocator, _ allocator.Identity) error {
	n := nameOf("10.1.2.3")
	if !a.Reserve(n, start) {
		return errors.New("in flight")
	}
	a.Release(n)
	return nil
}

// lifeOfALease is picked, committed, seen, released, cooled, deleted.
func lifeOfALease(a *allocator.Allocator, id allocator.Identity) error {
	c, err := a.Pick("iot", id, start)
	if err != nil {
		return err
	}
	// No deletion is remembered without a UID; the graveyard is not what is measured.
	l := allocator.Lease{Name: c.Name, Pool: "iot", Claim: id, ClaimUID: "claim"}
	a.Commit(l)
	a.Observe(l)
	for _, l.State = range []allocator.State{allocator.Cooling, allocator.Reusable} {
		a.Observe(l)
	}
	a.Forget(l.Name, "")
	return nil
}

func BenchmarkPickRelease(b *testing.B) { perPool(b, pickRelease) }

func BenchmarkReserveRelease(b *testing.B) { perPool(b, reserveRelease) }

func BenchmarkLease(b *testing.B) { perPool(b, lifeOfALease) }

// BenchmarkSetPool is an edit of a pool that has leases.
func BenchmarkSetPool(b *testing.B) {
	for _, p := range benchPools {
		b.Run(p.name, func(b *testing.B) {
			a := allocator.New()
			plan := cidrPool(b, p.cidrs...)
			a.SetPool("iot", plan)
			fill(b, a, p.leases(plan.Capacity()))
			b.ReportAllocs()
			for b.Loop() {
				a.RemovePool("iot")
				a.SetPool("iot", plan)
			}
		})
	}
}

// BenchmarkMillionPicks leases a million addresses of an empty /8 and reports the time of each.
func BenchmarkMillionPicks(b *testing.B) {
	const picks = 1_000_000
	plan := cidrPool(b, "10.0.0.0/8")
	for b.Loop() {
		a := allocator.New()
		a.SetPool("iot", plan)
		fill(b, a, picks)
		if got := a.Count("iot").Leased; got != picks {
			b.Fatalf("%d leased", got)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/picks, "ns/pick")
}
