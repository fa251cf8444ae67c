// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"context"
	"errors"
	"fmt"

	"github.com/macpool/macpool/hack/bench/measure"
	"github.com/macpool/macpool/hack/bench/rig"
)

// level is how many call at a time, and how many calls they make together.
type level struct{ callers, calls int }

var levels = []level{{callers: 1, calls: 20}, {callers: 10, calls: 50}, {callers: 50, calls: 50}}

// contender is an IPAM plugin with a configuration, in a world.
type contender struct {
	// name is what the report calls it, kind the type of its ipam part.
	name, kind string
	path       string
	conf       []byte
	world      *world
	// namespace is where its pods are, networks what they ask for, which is nothing but for macpool.
	namespace, networks string
	// vlan is that of their interfaces.
	vlan int
	// ahead: the manager binds the claim before the ADD, and the VLAN was asked. alone: the manager stands still, and the agent does all.
	ahead, alone bool
	// asks are the service accounts by which it, and what works for it, asks the API server.
	asks []string

	marks   []*marks
	failed  map[string]int // by what was called, in words
	example error
	gaveUp  string
}

// marks are the measurements of a level.
type marks struct {
	level

	add, del, addRate, delRate, failures, twice *measure.Series
}

// enter makes the series of the contender.
func (c *contender) enter() {
	c.failed = map[string]int{}
	for _, l := range levels {
		name := func(what string) string { return fmt.Sprintf("%s, callers: %d, %s", c.name, l.callers, what) }
		c.marks = append(c.marks, &marks{
			level: l,
			add:   &measure.Series{Name: name("ADD"), Unit: "ms"}, del: &measure.Series{Name: name("DEL"), Unit: "ms"},
			addRate: &measure.Series{Name: name("rate of ADD"), Unit: "1/s"}, delRate: &measure.Series{Name: name("rate of DEL"), Unit: "1/s"},
			failures: &measure.Series{Name: name("failures"), Unit: "calls"}, twice: &measure.Series{Name: name("addresses given twice"), Unit: "addresses"},
		})
	}
}

// round does all levels. That a plugin fails is a finding, and no error; one that hangs is not tried again.
func (c *contender) round(r *rig.Rig) func(context.Context, int) error {
	return func(ctx context.Context, round int) (err error) {
		if c.gaveUp != "" {
			r.Say("%s was given up: %s", c.name, c.gaveUp)
			return nil
		}
		if c.alone {
			c.world.lab.Manager.Pause()
			defer c.world.lab.Manager.Resume()
		}
		calls := 0
		for _, l := range levels {
			calls += l.calls
		}
		pods, err := c.world.prepare(ctx, c, fmt.Sprintf("round-%d", round), calls)
		if err != nil {
			return err
		}
		defer func() {
			c.world.lab.Manager.Resume() // it has to clean up
			err = errors.Join(err, c.world.cleanUp(ctx, c, pods))
		}()
		of := attachments(pods)
		for _, m := range c.marks {
			if c.gaveUp != "" {
				return nil
			}
			c.level(ctx, round, m, of[:m.calls])
			of = of[m.calls:]
		}
		return ctx.Err()
	}
}

// level has all ADDs done, and then all DELs.
func (c *contender) level(ctx context.Context, round int, m *marks, of []*attachment) {
	exec := c.world.node.Exec()
	add := callAll(ctx, exec, c.path, c.conf, "ADD", of, m.callers, kubelets)
	del := callAll(ctx, exec, c.path, c.conf, "DEL", of, m.callers, kubelets)
	m.add.Add(round, add.took...)
	m.del.Add(round, del.took...)
	m.addRate.Add(round, add.rate())
	m.delRate.Add(round, del.rate())
	m.failures.Add(round, float64(len(add.errs)+len(del.errs)))
	m.twice.Add(round, float64(add.twice))
	c.note(m.callers, "ADD", add)
	c.note(m.callers, "DEL", del)
}

// note keeps what went wrong, and gives up who hangs or never succeeds.
func (c *contender) note(callers int, command string, b *batch) {
	if len(b.errs) > 0 {
		c.failed[command] += len(b.errs)
		if c.example == nil {
			c.example = b.errs[0]
		}
	}
	switch {
	case c.gaveUp != "":
	case b.slow:
		c.gaveUp = fmt.Sprintf("with %d at a time, a %s took more than %s, or all of them more than %s", callers, command, kubelets.call, kubelets.batch)
	case len(b.took) == 0:
		c.gaveUp = fmt.Sprintf("with %d at a time, no %s succeeded", callers, command)
	}
}

// series are the raw data.
func (c *contender) series() []*measure.Series {
	var all []*measure.Series
	for _, m := range c.marks {
		all = append(all, m.add, m.del, m.addRate, m.delRate, m.failures, m.twice)
	}
	return all
}
