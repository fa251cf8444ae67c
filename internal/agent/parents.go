// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/mac"
	"github.com/macpool/macpool/internal/problem"
	"github.com/macpool/macpool/internal/wire"
)

const (
	// maxParents is what the API server takes of a MacNode's parents.
	maxParents = 256
	// silentLooks is how many looks in a row a gateway that has answered must be silent for. A router that is busy, or is started anew,
	// is not to empty the node.
	silentLooks = 2
)

// parents looks at the links by which this node's pods reach the VLANs of the pools, and asks for the gateways there, for the report
// of the node.
type parents struct {
	*Agent

	// usable tells why a link cannot be asked, nil if it can.
	usable func(link string) error

	mu sync.Mutex
	// found : pool -> what was found last.
	found map[string]v1alpha1.NodeParent
	// silences : pool -> for how many looks in a row a gateway has been silent. The run's alone.
	silences map[string]int
}

func newParents(a *Agent, usable func(string) error) *parents {
	if usable == nil {
		usable = wire.Usable
	}
	return &parents{Agent: a, usable: usable, found: map[string]v1alpha1.NodeParent{}, silences: map[string]int{}}
}

// parentOf is the link that the pool names for this node, empty if it names none; an error if that depends on labels that are
// not known.
func (a *Agent) parentOf(pool *v1alpha1.MacPool) (string, error) {
	own := a.nodeLabels.Load()
	for _, p := range pool.Spec.Parents {
		if p.NodeSelector == nil {
			return p.Link, nil
		}
		if own == nil {
			return "", fmt.Errorf("node %s, whose labels are not known yet", a.nodeName)
		}
		selector, err := metav1.LabelSelectorAsSelector(p.NodeSelector)
		if err == nil && selector.Matches(labels.Set(*own)) {
			return p.Link, nil
		}
	}
	return "", nil
}

// setParent finds the link for a network that names none (R-C14: not that of the node's default route, which is another network).
func (t *addition) setParent(ctx context.Context) error {
	if !t.req.NeedsParent {
		return nil
	}
	link, err := t.parentOf(t.pool)
	if err != nil {
		t.readNode(ctx)
		link, err = t.parentOf(t.pool)
	}
	switch {
	case err != nil:
		return problem.ParentUnknown.New(t.req.Network, t.pool.Name, err).WithCause(err)
	case link == "":
		return problem.ParentUnknown.New(t.req.Network, t.pool.Name, "node "+t.nodeName)
	case !t.hasLink(link):
		return problem.ParentMissing.New(link, t.nodeName, t.pool.Name)
	}
	t.parent, t.req.Link = link, link
	return nil
}

func (p *parents) run(ctx context.Context) error {
	select {
	case <-p.ready:
	case <-ctx.Done():
		return nil
	}
	return p.every(p.times.Parents, p.look)(ctx)
}

// look looks at all links. What is new is reported at once.
func (p *parents) look(ctx context.Context) {
	var pools v1alpha1.MacPoolList
	if err := p.cluster.cache.List(ctx, &pools); err != nil {
		p.log.V(1).Info("The parents of pools were not looked at", "error", err.Error())
		return
	}
	found := map[string]v1alpha1.NodeParent{}
	for i := range pools.Items {
		pool := &pools.Items[i]
		link := p.linkOf(pool)
		if link == "" {
			continue
		}
		state, why := p.stateOf(ctx, pool, link)
		if ctx.Err() != nil {
			return
		}
		found[pool.Name] = v1alpha1.NodeParent{PoolName: pool.Name, Link: link, State: state}
		if before := p.of(pool.Name); before.State != state || before.Link != link {
			p.log.Info("The way to a VLAN has changed", "pool", pool.Name, "link", link, "state", state, "reason", fmt.Sprint(why))
		}
	}
	maps.DeleteFunc(p.silences, func(pool string, _ int) bool { return found[pool].PoolName == "" })
	p.mu.Lock()
	changed := !maps.Equal(p.found, found)
	p.found = found
	p.mu.Unlock()
	if changed {
		p.reporter.kick()
	}
}

// linkOf is the link by which this node's pods reach the pool's VLAN: that which the pool names, or the first which its networks
// name and the node has.
func (p *parents) linkOf(pool *v1alpha1.MacPool) string {
	if len(pool.Spec.Parents) > 0 {
		link, err := p.parentOf(pool)
		if err != nil {
			return p.of(pool.Name).Link
		}
		return link
	}
	for _, link := range pool.Status.Links {
		if p.hasLink(link) {
			return link
		}
	}
	if len(pool.Status.Links) > 0 {
		return pool.Status.Links[0]
	}
	return ""
}

// stateOf looks at one link, and asks for the gateways of a pool there.
func (p *parents) stateOf(ctx context.Context, pool *v1alpha1.MacPool, link string) (v1alpha1.ParentState, error) {
	if err := p.usable(link); err != nil {
		return stateFor(err), err
	}
	if pool.Spec.ConflictMode() == v1alpha1.ConflictOff {
		return v1alpha1.ParentReady, nil
	}
	for _, s := range pool.Spec.Subnets {
		gateway := gatewayOf(s)
		prefix, err := mac.ParsePrefix(pool.Status.MACPrefix)
		if !gateway.IsValid() || err != nil {
			continue
		}
		// The MAC that an interface with the gateway's address would have is leased to nobody.
		by, err := p.ask(ctx, link, wire.Query{IPs: []netip.Addr{gateway}, MAC: prefix.For(gateway).String(), Rounds: probeRounds, Question: true})
		if err != nil && !errors.Is(err, wire.ErrFramesLost) {
			return stateFor(err), err
		}
		if by != "" {
			continue
		}
		p.silences[pool.Name]++
		if before := p.of(pool.Name); before.Link == link && before.State == v1alpha1.ParentReady && p.silences[pool.Name] < silentLooks {
			return v1alpha1.ParentReady, nil
		}
		return v1alpha1.ParentSilent, fmt.Errorf("gateway %s does not answer", gateway)
	}
	p.silences[pool.Name] = 0
	return v1alpha1.ParentReady, nil
}

func stateFor(err error) v1alpha1.ParentState {
	if errors.Is(err, wire.ErrNoLink) || errors.Is(err, wire.ErrNotEthernet) {
		return v1alpha1.ParentMissing
	}
	return v1alpha1.ParentDown
}

// of is what was found last of a pool's link.
func (p *parents) of(pool string) v1alpha1.NodeParent {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.found[pool]
}

// report is what was found, for the MacNode.
func (p *parents) report() []v1alpha1.NodeParent {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []v1alpha1.NodeParent
	for _, pool := range slices.Sorted(maps.Keys(p.found)) {
		all = append(all, p.found[pool])
	}
	return all[:min(len(all), maxParents)]
}
