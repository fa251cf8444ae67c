// SPDX-License-Identifier: Apache-2.0

package gc

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/cli"
	"github.com/macpool/macpool/internal/invariants"
	"github.com/macpool/macpool/internal/retention"
)

// state is what an item is.
type state string

const (
	ended   state = "Ended"   // a claim whose workload is gone
	suspect state = "Suspect" // a claim whose holder may be gone
	cooling state = "Cooling" // an address that was given back
	record  state = "Record"  // one that anybody may have, with its history
	aside   state = "Aside"   // one that a stranger uses
	orphan  state = "Orphan"  // a lease that no claim has
	paused  state = "Paused"  // a pool that releases nothing for now
)

// item is something that will go.
type item struct {
	State     state  `json:"state"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Pool      string `json:"pool"`
	// Address is the IP, or the MAC of a lease that is one alone.
	Address string `json:"address,omitempty"`
	// Due is when it will be over; left out, nobody knows.
	Due *metav1.Time `json:"due,omitempty"`
	// Then is what happens when it is over, Why why it is so.
	Then string `json:"then"`
	Why  string `json:"why"`
}

// answer is what gc has to say.
type answer struct {
	Items []item `json:"items"`

	now     time.Time
	palette cli.Palette
}

func answerOf(w *invariants.World, namespace string) *answer {
	a := &answer{Items: []item{}, now: w.Now}
	pools := map[string]*v1alpha1.MacPool{}
	for i := range w.Pools {
		pools[w.Pools[i].Name] = &w.Pools[i]
		a.pool(&w.Pools[i])
	}
	for i := range w.Claims {
		if c := &w.Claims[i]; isIn(c.Namespace, namespace) {
			a.claim(c, pools[c.Spec.PoolRef.Name])
		}
	}
	orphans := orphansOf(w)
	for i := range w.Leases {
		if l := &w.Leases[i]; isIn(l.Spec.ClaimRef.Namespace, namespace) {
			a.lease(l, pools[l.Spec.PoolName], orphans[l.Name])
		}
	}
	slices.SortStableFunc(a.Items, func(x, y item) int {
		return cmp.Or(cmp.Compare(x.Pool, y.Pool), cmp.Compare(order(x.State), order(y.State)), compareDue(x.Due, y.Due), cmp.Compare(x.Name, y.Name))
	})
	return a
}

// order puts what a person may want to do something about first.
func order(s state) int {
	return slices.Index([]state{paused, suspect, aside, orphan, ended, cooling, record}, s)
}

func compareDue(a, b *metav1.Time) int {
	if a == nil || b == nil {
		return 0
	}
	return a.Compare(b.Time)
}

// orphansOf are the leases that no claim has: lease -> why.
func orphansOf(w *invariants.World) map[string]string {
	all := map[string]string{}
	for _, v := range invariants.Judge(w).Violations {
		if v.Invariant == "I5" && v.Objects[0].Kind == "MacLease" {
			all[v.Objects[0].Name] = v.Sentence
		}
	}
	return all
}

// pool shows what holds the pool's releases back.
func (a *answer) pool(p *v1alpha1.MacPool) {
	for _, kind := range []string{v1alpha1.PoolReleasesPaused, v1alpha1.PoolAllocationPaused} {
		if c := apimeta.FindStatusCondition(p.Status.Conditions, kind); c != nil && c.Status == metav1.ConditionTrue {
			a.Items = append(a.Items, item{State: paused, Kind: "MacPool", Name: p.Name, Pool: p.Name, Then: "releases go on", Why: c.Message})
		}
	}
}

func (a *answer) claim(c *v1alpha1.MacClaim, pool *v1alpha1.MacPool) {
	it := item{Kind: "MacClaim", Namespace: c.Namespace, Name: c.Name, Pool: c.Spec.PoolRef.Name, Address: c.Status.MAC}
	if len(c.Status.IPs) > 0 {
		it.Address = c.Status.IPs[0]
	}
	if doubt := apimeta.FindStatusCondition(c.Status.Conditions, v1alpha1.ClaimSuspect); doubt != nil && doubt.Status == metav1.ConditionTrue {
		it.State, it.Then, it.Why = suspect, "its holder is cleared, on evidence", doubt.Message
		a.Items = append(a.Items, it)
	}
	if isEnded(c) {
		retain := retention.Retain(c, pool)
		it.State, it.Due, it.Then = ended, dueAfter(retention.EndedAt(c), retain), "deleted"
		it.Why = fmt.Sprintf("%s, and retain is %s", apimeta.FindStatusCondition(c.Status.Conditions, v1alpha1.ClaimEnded).Reason, duration.HumanDuration(retain))
		a.Items = append(a.Items, it)
	}
}

func (a *answer) lease(l *v1alpha1.MacLease, pool *v1alpha1.MacPool, orphaned string) {
	it := item{Kind: "MacLease", Namespace: l.Spec.ClaimRef.Namespace, Name: l.Name, Pool: l.Spec.PoolName, Address: string(l.Spec.MAC)}
	if len(l.Spec.IPs) > 0 {
		it.Address = string(l.Spec.IPs[0])
	}
	last := "its last claim was " + l.Spec.ClaimRef.Namespace + "/" + l.Spec.ClaimRef.Name
	switch {
	case l.Spec.Conflict != nil:
		hold := retention.ConflictHold(pool)
		it.State, it.Due, it.Then = aside, dueAfter(l.Spec.Conflict.SeenAt.Time, hold), "given out again, if nobody answers for it"
		it.Why = fmt.Sprintf("node %s heard %s use it, and the hold is %s", l.Spec.Conflict.NodeName, l.Spec.Conflict.MAC, duration.HumanDuration(hold))
	case orphaned != "":
		it.State, it.Then, it.Why = orphan, "released", orphaned
	case l.Spec.ReleasedAt == nil, binding.IsLock(l):
		return
	case l.Spec.ReusableAt == nil:
		cooldown := retention.Cooldown(l, pool)
		it.State, it.Due, it.Then = cooling, dueAfter(l.Spec.ReleasedAt.Time, cooldown), "anybody's"
		it.Why = fmt.Sprintf("%s, and its cooldown is %s", last, duration.HumanDuration(cooldown))
	default:
		history := retention.History(pool)
		it.State, it.Due, it.Then = record, dueAfter(l.Spec.ReleasedAt.Time, history), "forgotten"
		it.Why = fmt.Sprintf("%s, and the history is %s", last, duration.HumanDuration(history))
	}
	a.Items = append(a.Items, it)
}

// Print implements cli.Answer.
func (a *answer) Print(w io.Writer, wide bool) error {
	if len(a.Items) == 0 {
		_, err := fmt.Fprintln(w, "There is nothing to release or forget.")
		return err
	}
	headings := []string{"POOL", "STATE", "ADDRESS", "NAMESPACE", "NAME", "DUE", "THEN"}
	if wide {
		headings = append(headings, "WHY")
	}
	rows := make([][]string, 0, len(a.Items))
	var reasons []string
	for _, it := range a.Items {
		row := []string{it.Pool, string(it.State), it.Address, it.Namespace, it.Name, a.due(it.Due), it.Then}
		if wide {
			row = append(row, it.Why)
		} else if it.Due == nil {
			reasons = append(reasons, fmt.Sprintf("%s: %s", strings.Trim(it.Namespace+"/"+it.Name, "/"), it.Why))
		}
		rows = append(rows, row)
	}
	if err := cli.Table(w, headings, rows); err != nil {
		return err
	}
	for _, reason := range reasons { // what has no date needs an explanation
		if _, err := fmt.Fprintf(w, "\n%s\n", a.palette.Odd(cli.Line(reason))); err != nil {
			return err
		}
	}
	return nil
}

// due is in how long something is due.
func (a *answer) due(t *metav1.Time) string {
	switch {
	case t == nil:
		return "unknown"
	case !t.After(a.now):
		return "now"
	default:
		return "in " + duration.HumanDuration(t.Sub(a.now))
	}
}

// Names implements cli.Answer.
func (a *answer) Names() []string {
	names := make([]string, 0, len(a.Items))
	for _, it := range a.Items {
		names = append(names, strings.ToLower(it.Kind)+"."+v1alpha1.GroupVersion.Group+"/"+it.Name)
	}
	return names
}

func dueAfter(t time.Time, d time.Duration) *metav1.Time { return new(metav1.NewTime(t.Add(d))) }
