// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"cmp"
	"slices"
	"time"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
)

const (
	// outlookWindow is how far growth is looked back at: a week, in which days of work and of rest are one each.
	outlookWindow = 7 * 24 * time.Hour

	// shortestWindow is what a pool's age must be for its growth to say something.
	shortestWindow = 24 * time.Hour
)

// Outlook is how long a pool will last. The estimate is the plainest that is of use: the addresses that are available, divided by the daily
// growth of the addresses that are not in the last week, or since the pool was made.
type Outlook struct {
	// Available is how many addresses a claim that asks for none in particular could get.
	Available uint64 `json:"available"`
	// Growth is how many more of them were leased at the end of Window than at its beginning.
	Growth int64         `json:"growth"`
	Window time.Duration `json:"-"`
	// Days is how many are left at that rate; nil if the pool does not grow, or is younger than a day.
	Days *float64 `json:"days,omitempty"`
}

// Outlook is that of a pool at the time of its chart.
func (s *Snapshot) Outlook(c *Chart) Outlook {
	available := c.Total()
	o := Outlook{Available: available[Free] + available[Reusable]}
	o.Window = min(outlookWindow, binding.History(c.Pool.MacPool), c.Time.Sub(c.Pool.CreationTimestamp.Time))
	if o.Window < shortestWindow {
		o.Window = 0
		return o
	}
	for _, slot := range c.slots {
		lease := c.marks[slot].lease
		now, _, _ := s.recorded(lease, c.Pool, c.Time)
		then, _, _ := s.recorded(lease, c.Pool, c.Time.Add(-o.Window))
		if then == Unknown {
			continue // in use all the time, or it would have been forgotten
		}
		if now == Leased {
			o.Growth++
		}
		if then == Leased {
			o.Growth--
		}
	}
	if o.Growth > 0 {
		days := float64(o.Available) / (float64(o.Growth) / (o.Window.Hours() / 24))
		o.Days = &days
	}
	return o
}

// Share is how many addresses somebody has.
type Share struct {
	Namespace string `json:"namespace"`
	// Workload is kind/name, or the claim's name if it is for none. Empty: all of the namespace.
	Workload string `json:"workload,omitempty"`
	Leases   int    `json:"leases"`
}

// Namespaces are who has most addresses of the pool, by namespace, at most n of them.
func (c *Chart) Namespaces(n int) []Share {
	return c.shares(n, func(l *v1alpha1.MacLease) Share { return Share{Namespace: l.Spec.ClaimRef.Namespace} })
}

// Workloads are who has most addresses of the pool, by workload, at most n of them.
func (s *Snapshot) Workloads(c *Chart, n int) []Share {
	return c.shares(n, func(l *v1alpha1.MacLease) Share {
		ref := l.Spec.ClaimRef
		share := Share{Namespace: ref.Namespace, Workload: ref.Name}
		if claim := s.Claim(ref.Namespace, ref.Name); claim != nil && claim.Spec.Workload != nil {
			share.Workload = string(claim.Spec.Workload.Kind) + "/" + claim.Spec.Workload.Name
		}
		return share
	})
}

func (c *Chart) shares(n int, of func(*v1alpha1.MacLease) Share) []Share {
	counts := map[Share]int{}
	for _, l := range c.Leases() {
		counts[of(l)]++
	}
	shares := make([]Share, 0, len(counts))
	for share, leases := range counts {
		share.Leases = leases
		shares = append(shares, share)
	}
	slices.SortFunc(shares, func(a, b Share) int {
		return cmp.Or(cmp.Compare(b.Leases, a.Leases), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Workload, b.Workload))
	})
	return shares[:min(n, len(shares))]
}
