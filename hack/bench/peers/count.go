// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/macpool/macpool/e2e/lab"
	"github.com/macpool/macpool/hack/bench/measure"
	"github.com/macpool/macpool/hack/bench/rig"
)

// cost is what the API server had to do.
type cost struct {
	// requests are all but watches, of whoever works for the plugin.
	requests int
	// octets went over the node's line to the API server, both ways, with what TLS and watches add.
	octets int64
}

// meter tells what a phase has cost.
type meter struct {
	node  *lab.Node
	log   *rig.AuditLog
	users []string
	// line is how much had gone over the line when the log was read last.
	line int64
}

// take is what was done since the last time.
func (m *meter) take() (cost, error) {
	requests, err := m.log.Next()
	if err != nil {
		return cost{}, err
	}
	var c cost
	for _, r := range requests {
		if slices.Contains(m.users, r.User) {
			c.requests++
		}
	}
	sent, received := m.node.API.Bytes()
	c.octets = sent + received - m.line
	m.line = sent + received
	return c, nil
}

// settled is how long what a call has set off may take to be done.
const settled = 2 * time.Second

// The phases of an attachment whose cost is told apart.
var phases = []string{"before", "ADD", "DEL", "after"}

// count repeats the calls of one caller, and of fifty, in a second cluster, whose API server keeps an audit log. Nothing is timed there, and who
// asks nobody is left out.
func count(ctx context.Context, r *rig.Rig, first *lab.Lab, timed []*contender) (measure.Table, []*measure.Series, error) {
	table := measure.Table{
		Title: "What the API server has to do for one attachment: requests without watches, and octets on the line between it and the node. " +
			"Before the ADD is from the pod's creation, after the DEL until all is cleaned up",
		Header: []string{"callers", "plugin"},
	}
	for _, phase := range phases {
		table.Header = append(table.Header, "requests, "+phase)
	}
	table.Header = append(table.Header, "in all", "octets, ADD", "octets, in all")
	audit := filepath.Join(r.Disk, "audit.log")
	r.Say("counting requests")
	l, err := first.Beside("counted", func(o *lab.Options) { o.AuditLog = audit })
	if err != nil {
		return table, nil, err
	}
	all, err := gather(ctx, r, l, "node-b")
	if err != nil {
		return table, nil, err
	}
	var series []*measure.Series
	for _, of := range []level{levels[0], levels[len(levels)-1]} {
		for i, c := range all {
			if len(c.asks) == 0 {
				continue
			}
			row := []string{strconv.Itoa(of.callers), c.name}
			if timed[i].gaveUp != "" {
				table.Rows = append(table.Rows, append(row, slices.Repeat([]string{"–"}, len(table.Header)-len(row))...))
				continue
			}
			r.Say("counting requests of %s, callers: %d", c.name, of.callers)
			costs, err := c.count(ctx, audit, of)
			if err != nil {
				return table, nil, err
			}
			var total cost
			for k, phase := range phases {
				each := &measure.Series{Name: fmt.Sprintf("%s, callers: %d, requests, %s", c.name, of.callers, phase), Unit: "requests of all attachments"}
				each.Add(0, float64(costs[k].requests))
				octets := &measure.Series{Name: fmt.Sprintf("%s, callers: %d, octets, %s", c.name, of.callers, phase), Unit: "octets of all attachments"}
				octets.Add(0, float64(costs[k].octets))
				series = append(series, each, octets)
				row = append(row, number(float64(costs[k].requests)/float64(of.calls)))
				total.requests += costs[k].requests
				total.octets += costs[k].octets
			}
			table.Rows = append(table.Rows, append(row, number(float64(total.requests)/float64(of.calls)),
				number(float64(costs[1].octets)/float64(of.calls)), number(float64(total.octets)/float64(of.calls))))
		}
	}
	return table, series, nil
}

// count does the calls once, and says what each phase has cost.
func (c *contender) count(ctx context.Context, audit string, of level) (costs []cost, err error) {
	m := &meter{node: c.world.node, log: &rig.AuditLog{Path: audit}}
	for _, account := range c.asks {
		m.users = append(m.users, "system:serviceaccount:"+lab.Namespace+":"+account)
	}
	if c.alone {
		c.world.lab.Manager.Pause()
		defer c.world.lab.Manager.Resume()
	}
	take := func(err error) error {
		if err != nil {
			return err
		}
		if err := rig.Pause(ctx, settled); err != nil {
			return err
		}
		one, err := m.take()
		costs = append(costs, one)
		return err
	}
	if _, err := m.take(); err != nil { // what was before does not count
		return nil, err
	}
	pods, err := c.world.prepare(ctx, c, fmt.Sprintf("counted-%d", of.callers), of.calls)
	if err := take(err); err != nil {
		return nil, err
	}
	for _, command := range []string{"ADD", "DEL"} {
		b := callAll(ctx, c.world.node.Exec(), c.path, c.conf, command, attachments(pods), of.callers, kubelets)
		if len(b.errs) > 0 && c.kind == "macpool" {
			return nil, fmt.Errorf("counting requests of %s: %w", c.name, b.errs[0])
		}
		if err := take(nil); err != nil {
			return nil, err
		}
	}
	c.world.lab.Manager.Resume()
	return costs, take(c.world.cleanUp(ctx, c, pods))
}
