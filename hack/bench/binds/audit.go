// SPDX-License-Identifier: Apache-2.0

package binds

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/macpool/macpool/e2e/lab"
	"github.com/macpool/macpool/hack/bench/farm"
	"github.com/macpool/macpool/hack/bench/measure"
)

// audited is how many binds are counted.
const audited = 40

// event is what is read of an event of the audit log.
type event struct {
	Verb string `json:"verb"`
	User struct {
		Username string `json:"username"`
	} `json:"user"`
	ObjectRef struct {
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
	} `json:"objectRef"`
	RequestObject  json.RawMessage `json:"requestObject"`
	ResponseObject json.RawMessage `json:"responseObject"`
}

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
	counted := &section{Farm: f, rig: s.rig, result: s.result, series: s.series, sandbox: s.sandbox}
	pool, err := f.Pool(ctx, "audited", poolSize)
	if err != nil {
		return err
	}
	claims := pool.Follow(ctx)
	log := &auditLog{path: path}
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
	if byWho[byManager], err = log.count(":macpool-manager", func() error {
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
	if byWho[byAgents], err = log.count(":macpool-agent", func() error {
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
		s.get(who+": "+request, "requests").Add(0, float64(one.requests))
		s.get(who+": octets of "+request, "octets").Add(0, float64(one.octets))
	}
	s.result.Tables = append(s.result.Tables, table)
}

// auditLog is the API server's.
type auditLog struct{ path string }

// count tells what a user asked while something was done.
func (a *auditLog) count(user string, do func() error) (map[string]sum, error) {
	before, err := os.Stat(a.path)
	if err != nil {
		return nil, fmt.Errorf("looking at the audit log: %w", err)
	}
	if err := do(); err != nil {
		return nil, err
	}
	file, err := os.Open(a.path)
	if err != nil {
		return nil, fmt.Errorf("opening the audit log: %w", err)
	}
	defer func() { _ = file.Close() }()
	if _, err := file.Seek(before.Size(), 0); err != nil {
		return nil, fmt.Errorf("reading the audit log: %w", err)
	}
	sums := map[string]sum{}
	lines := bufio.NewReader(file)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil { // the end, perhaps in the middle of what is being written
			return sums, nil
		}
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("reading the audit log: %w", err)
		}
		if e.Verb == "watch" || !strings.HasSuffix(e.User.Username, user) {
			continue
		}
		name := e.Verb + " " + e.ObjectRef.Resource
		if e.ObjectRef.Subresource != "" {
			name += "/" + e.ObjectRef.Subresource
		}
		one := sums[name]
		one.requests++
		one.octets += len(e.RequestObject) + len(e.ResponseObject)
		sums[name] = one
	}
}
