// SPDX-License-Identifier: Apache-2.0

package binds

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/macpool/macpool/e2e/lab"
	"github.com/macpool/macpool/hack/bench/farm"
	"github.com/macpool/macpool/hack/bench/measure"
	"github.com/macpool/macpool/hack/bench/rig"
)

// audited is how many binds are counted.
const audited = 40

// sum is how many requests of a kind there were, and how long their objects are together.
type sum struct{ requests, octets int }

// audit counts what a bind asks of the API server: in a cluster of its own, since its log slows an API server down.
func (s *section) audit(ctx context.Context) error {
	s.rig.Say("counting requests, in a cluster of its own")
	path := filepath.Join(s.rig.Disk, "audit.log")
	l, err := s.Beside("audited", func(o *lab.Options) { o.AuditLog = path })
	if err != nil {
		return err
	}
	f, err := farm.New(ctx, l, "audited", 1)
	if err != nil {
		return err
	}
	counted := &section{Farm: f, rig: s.rig, result: s.result, sandbox: s.sandbox}
	pool, err := f.Pool(ctx, "audited", poolSize)
	if err != nil {
		return err
	}
	claims := pool.Follow(ctx)
	log := &rig.AuditLog{Path: path}
	if err := f.Create(ctx, pool.Plain("first", "net", 1)); err != nil {
		return err
	}
	if err := claims.Await(ctx, 1, "bound", farm.Held); err != nil {
		return err
	}
	byWho := map[string]map[string]sum{}
	if err := counted.settle(ctx); err != nil {
		return err
	}
	if byWho[byManager], err = count(log, ":macpool-manager", func() error {
		if err := f.Create(ctx, pool.Plain("managed", "net", audited)); err != nil {
			return err
		}
		if err := claims.Await(ctx, 1+audited, "bound", farm.Held); err != nil {
			return err
		}
		return counted.settle(ctx)
	}); err != nil {
		return err
	}
	if err := f.Manager.Stop(ctx); err != nil {
		return err
	}
	pods := pool.Plain("unbound", "net", audited)
	if err := f.Create(ctx, pods); err != nil {
		return err
	}
	time.Sleep(age)
	if byWho[byAgents], err = count(log, ":macpool-agent", func() error {
		w := farm.AtOnce(audited, func(i int) error { return counted.ask(ctx, pool, pods[i], f.NodeOf(i), fmt.Sprintf("audited-%d", i)) })
		if len(w.Failed) > 0 {
			return w.Failed[0]
		}
		return nil
	}); err != nil {
		return err
	}
	for _, who := range []string{byManager, byAgents} {
		s.tell(who, byWho[who])
	}
	return nil
}

func (s *section) tell(who string, sums map[string]sum) {
	table := measure.Table{Title: fmt.Sprintf("Requests per bind, of %d at once: %s", audited, who), Header: []string{"request", "per bind", "octets of objects per bind"}}
	for _, request := range slices.Sorted(maps.Keys(sums)) {
		one := sums[request]
		table.Rows = append(table.Rows, []string{
			request, fmt.Sprintf("%.2f", float64(one.requests)/audited), fmt.Sprintf("%.0f", float64(one.octets)/audited),
		})
		s.result.Get(who+": "+request, "requests").Add(0, float64(one.requests))
		s.result.Get(who+": octets of "+request, "octets").Add(0, float64(one.octets))
	}
	s.result.Tables = append(s.result.Tables, table)
}

// count tells what a user asked while something was done.
func count(log *rig.AuditLog, user string, do func() error) (map[string]sum, error) {
	if _, err := log.Next(); err != nil { // what was before does not count
		return nil, err
	}
	if err := do(); err != nil {
		return nil, err
	}
	requests, err := log.Next()
	if err != nil {
		return nil, err
	}
	sums := map[string]sum{}
	for _, r := range requests {
		if !strings.HasSuffix(r.User, user) {
			continue
		}
		name := r.Verb + " " + r.Resource
		one := sums[name]
		one.requests++
		one.octets += r.Sent + r.Received
		sums[name] = one
	}
	return sums, nil
}
