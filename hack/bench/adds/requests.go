// SPDX-License-Identifier: Apache-2.0

package adds

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/macpool/macpool/e2e/lab"
	"github.com/macpool/macpool/hack/bench/measure"
	"github.com/macpool/macpool/hack/bench/rig"
)

const aboutRequests = "Requests to the API server by macpool's own accounts for a pod that is attached and detached, from the audit log, in a laboratory of its own " +
	"in which no time is taken: the log slows the API server. Left out are watches, and what is asked every some seconds however many pods there are. Octets are those of the objects as JSON. " +
	"The node's connection is all that goes between the agent and the API server, with TLS, watches and heartbeats, while the pods are attached."

// audited is how many pods are counted.
const audited = 50

// The parts of a pod's life, in order.
var parts = []string{"before ADD", "during ADDs", "within 5 s after", "during DELs", "until all is removed"}

// life is what was asked in each part of the lives of all pods of a kind.
type life struct {
	kind string
	of   []map[request]asked // as parts
	// up and down are the octets on the node's connection during the ADDs.
	up, down int64
}

// Requests is the section of the requests.
func Requests(ctx context.Context, r *rig.Rig) (*measure.Result, error) {
	log := &rig.AuditLog{Path: filepath.Join(r.Disk, "audit.log")}
	r.Options.AuditLog = log.Path
	w, err := newWorld(ctx, r)
	if err != nil {
		return nil, err
	}
	kinds, err := w.kinds(ctx)
	if err != nil {
		return nil, err
	}
	result := &measure.Result{About: aboutRequests}
	for i := range kinds {
		k := &kinds[i]
		if k.name != prebound && k.name != unboundProbe {
			continue
		}
		r.Say("%s: warming up", k.name)
		if _, err := w.live(ctx, k, log, 2); err != nil {
			return nil, err
		}
		r.Say("%s: %d pods", k.name, audited)
		l, err := w.live(ctx, k, log, audited)
		if err != nil {
			return nil, err
		}
		result.Tables = append(result.Tables, l.table())
		for j, part := range parts {
			s := &measure.Series{Name: fmt.Sprintf("%s, requests of the agent, %s", k.name, part), Unit: "per pod"}
			s.Add(0, l.requests(j)/audited)
			result.Series = append(result.Series, s)
		}
		if k.name == prebound {
			result.Targets = append(result.Targets, measure.Target{
				Name: "API requests on the path of a pre-bound ADD", Value: l.requests(1) / audited, Bound: 0, Unit: "requests",
			})
		}
	}
	return result, nil
}

// live attaches and detaches pods of a kind, and reads the log at each step.
func (w *world) live(ctx context.Context, k *kind, log *rig.AuditLog, pods int) (*life, error) {
	l := &life{kind: k.name}
	if _, err := next(log); err != nil {
		return nil, err
	}
	jobs, err := k.prepare(ctx, pods)
	if err != nil {
		return nil, err
	}
	attachments := make([]*lab.Attachment, pods)
	for _, step := range []func() error{
		func() error { return nil },
		func() error {
			up, down := w.node.API.Bytes()
			err := crowd(10, pods, func(i int) (err error) {
				attachments[i], err = w.spaces[i].Reuse(jobs[i].pod).Attach(ctx, jobs[i].net)
				return err
			})
			l.up, l.down = w.node.API.Bytes()
			l.up, l.down = l.up-up, l.down-down
			return err
		},
		func() error { return rig.Pause(ctx, 5*time.Second) },
		func() error { return crowd(10, pods, func(i int) error { return attachments[i].Detach(ctx) }) },
		func() error { return k.finish(ctx, jobs) },
	} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("%s: %w", k.name, err)
		}
		asked, err := next(log)
		if err != nil {
			return nil, err
		}
		l.of = append(l.of, asked)
	}
	return l, nil
}

// requests are those of the agent in a part.
func (l *life) requests(part int) (sum float64) {
	for r, a := range l.of[part] {
		if r.who == "macpool-agent" {
			sum += a.count
		}
	}
	return sum
}

func (l *life) table() measure.Table {
	t := measure.Table{
		Title:  fmt.Sprintf("%s: requests per pod (octets sent/received each); on the node's connection, per ADD: %d octets up, %d down", l.kind, l.up/audited, l.down/audited),
		Header: append([]string{"who", "request"}, parts...),
	}
	all := map[request]bool{}
	for _, part := range l.of {
		for r := range part {
			all[r] = true
		}
	}
	for _, r := range slices.SortedFunc(maps.Keys(all), func(a, b request) int {
		return cmp.Or(strings.Compare(a.who, b.who), strings.Compare(a.what, b.what))
	}) {
		row := []string{r.who, r.what}
		for _, part := range l.of {
			a, ok := part[r]
			if !ok {
				row = append(row, "")
				continue
			}
			row = append(row, fmt.Sprintf("%.2f (%.0f/%.0f)", a.count/audited, a.sent/a.count, a.received/a.count))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}
