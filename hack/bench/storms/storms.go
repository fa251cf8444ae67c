// SPDX-License-Identifier: Apache-2.0

// Package storms measures what happens when a whole cluster attaches at once: a thousand pods on fifty nodes in a pool with exactly a thousand
// addresses, first, again under the same identities, and after a power cycle; and pods with many interfaces on two nodes. The same execs of
// the static plugin are the floor.
package storms

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/macpool/macpool/hack/bench/farm"
	"github.com/macpool/macpool/hack/bench/measure"
	"github.com/macpool/macpool/hack/bench/rig"
)

// The size of the storm.
const (
	nodes = 50
	pods  = 1000

	wideNodes      = 2
	widePods       = 128
	wideInterfaces = 16
	// namespaces is how many the sandboxes share, as many as a node has with as many pods. What a process pays for /proc/sys grows with the number
	// that the kernel has (it keeps all their entries under one hash), and a thousand are on no node.
	namespaces = 64

	// wideRounds bounds the rounds with many interfaces, which take longest.
	wideRounds = 2
	// unboundRounds bounds those without a manager.
	unboundRounds = 2
)

const about = "1,000 pods on 50 nodes, each with an agent of its own, in a pool with exactly 1,000 addresses. The IPAM calls of all pods begin at once: neither " +
	"kubelet nor containerd or CRI-O bound how many sandboxes they make at a time; a node's runtime starts one plugin after the other, and they run side by side. " +
	"static is the floor: the same execs with the static plugin. The storm, on which the target is judged, is the real case: the manager runs, pods were made and scheduled, " +
	"which the controllers and the scheduler of a cluster do more slowly than here, and the sandboxes come after. How far the manager is behind the last pod is a row of its own. " +
	"An ADD that fails because it may work later is tried again in a new sandbox, as kubelet does; how often is told. In the unbound storm there is no manager, and the agents bind. After the power cycle all agents start at once, with what they have on disk."

// section is a run.
type section struct {
	*farm.Farm

	rig       *rig.Rig
	result    *measure.Result
	sandboxes *farm.Sandboxes
	runtimes  map[string]*farm.Runtime // by node
	// macpool and static are the plugins.
	macpool, static string
	duplicates      int
	curves          []measure.Line
}

// Run measures.
func Run(ctx context.Context, r *rig.Rig) (*measure.Result, error) {
	r.Options.State = r.Disk
	l, err := r.Lab(ctx)
	if err != nil {
		return nil, err
	}
	r.Say("starting the manager and %d agents", nodes)
	f, err := farm.New(ctx, l, "node", nodes)
	if err != nil {
		return nil, err
	}
	s := &section{
		Farm: f, rig: r, result: &measure.Result{About: about}, runtimes: map[string]*farm.Runtime{},
		macpool: filepath.Join(r.Options.Bin, "macpool"), static: filepath.Join(r.Options.CNI, "static"),
	}
	for _, n := range f.Nodes {
		s.runtimes[n.Name] = farm.NewRuntime(n)
		defer s.runtimes[n.Name].Close()
	}
	if s.sandboxes, err = farm.MakeSandboxes(f.Nodes[0], namespaces, wideInterfaces); err != nil {
		return nil, err
	}
	candidates := []measure.Candidate{
		{Name: "static", Round: s.floor},
		{Name: "macpool", Round: s.storm},
		{Name: "macpool without a manager", Round: s.unbound},
		{Name: "many interfaces", Round: s.wide},
	}
	if err := measure.InTurn(ctx, r.Rounds, candidates, r.Say); err != nil {
		return nil, err
	}
	s.conclude()
	return s.result, nil
}

// add keeps how long all of a wave took together, and each.
func (s *section) add(round int, name string, w *farm.Wave) error {
	if len(w.Failed) > 0 {
		return fmt.Errorf("%s: %d of %d failed, the first: %w", name, len(w.Failed), len(w.Each), w.Failed[0])
	}
	s.seconds(round, name, w.Took.Seconds())
	each := s.result.Get(name+": each", "ms")
	for _, took := range w.Each {
		each.Add(round, float64(took.Microseconds())/1000)
	}
	return nil
}

// seconds keeps how long something took.
func (s *section) seconds(round int, name string, value float64) {
	s.result.Get(name, "s").Add(round, value)
	s.rig.Say("  %s: %.2f s", name, value)
}
