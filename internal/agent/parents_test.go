// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
	"github.com/macpool/macpool/internal/wire"
)

// linksOfNode are the links of a node as a test wants them.
type linksOfNode struct {
	mu sync.Mutex
	// wrong : link -> why it cannot be asked; what is not there is missing.
	wrong map[string]error
	// gateway answers on the links.
	gateway bool
	asked   int
}

func (l *linksOfNode) set(link string, wrong error, gateway bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrong, l.gateway = map[string]error{link: wrong}, gateway
}

func (l *linksOfNode) has(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.wrong[name]
	return ok
}

func (l *linksOfNode) usable(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if wrong, ok := l.wrong[name]; ok {
		return wrong
	}
	return wire.ErrNoLink
}

func (l *linksOfNode) ask(_ context.Context, link string, q wire.Query) (string, error) {
	if err := l.usable(link); err != nil {
		return "", err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	if l.gateway && q.IPs[0] == netip.MustParseAddr("192.168.50.1") {
		return "0a:00:00:00:00:01", nil
	}
	return "", nil
}

// nodeOn starts a node of these labels and links.
func nodeOn(t *testing.T, f *fixture, labels map[string]string, l *linksOfNode) *node {
	t.Helper()
	n := newNode(t, func(o *Options) { o.Times.Parents = 50 * time.Millisecond })
	made := f.makeNode(t, n.name)
	made.Labels = labels
	f.must(t, f.Update(t.Context(), made))
	n.vlan = l.ask
	n.equip = func(a *Agent) { a.hasLink, a.parents.usable = l.has, l.usable }
	n.start(t)
	n.awaitReady(t)
	return n
}

func selecting(key, value string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
}

// The parent of a node is the first that matches its labels; a network that names no link gets that one, or no address.
func TestParentOfNode(t *testing.T) {
	f := newFixture(t)
	spec := v1alpha1.MacPoolSpec{
		Subnets: []v1alpha1.Subnet{{CIDR: "192.168.50.0/24"}},
		Parents: []v1alpha1.Parent{{NodeSelector: selecting("nic", "bond"), Link: "bond0.50"}, {NodeSelector: selecting("nic", "single"), Link: "eth0.50"}},
	}
	f.pool = f.newPool(t, spec)
	f.setReady(t, f.pool)
	for name, tc := range map[string]struct {
		labels map[string]string
		has    string
		want   string
		kind   *problem.Kind
	}{
		"the first":  {labels: map[string]string{"nic": "bond"}, has: "bond0.50", want: "bond0.50"},
		"the second": {labels: map[string]string{"nic": "single"}, has: "eth0.50", want: "eth0.50"},
		"none":       {labels: map[string]string{"nic": "wifi"}, has: "eth0.50", kind: problem.ParentUnknown},
		"no link":    {labels: map[string]string{"nic": "bond"}, has: "eth0.50", kind: problem.ParentMissing},
	} {
		t.Run(name, func(t *testing.T) {
			l := &linksOfNode{}
			l.set(tc.has, nil, false)
			n := nodeOn(t, f, tc.labels, l)
			pod := f.newPod(t, "pod-"+n.name, n.name, "")
			req := f.addition("c1", pod)
			req.NeedsParent = true
			resp := n.ask(t, req)
			if tc.kind != nil {
				wantProblem(t, resp, tc.kind)
				if claim := f.claimOf(t, pod); claim != nil {
					t.Errorf("there is a claim: %+v", claim.Status)
				}
				return
			}
			if resp.Error != nil || resp.Lease.Parent != tc.want {
				t.Fatalf("got %+v, %+v", resp.Error, resp.Lease)
			}
			if entry, _ := n.agent.journal.get(attemptKey{"c1", "net1"}); entry.Link != tc.want {
				t.Errorf("the journal has link %q", entry.Link)
			}
			other := f.newPod(t, "other-"+n.name, n.name, "")
			if lease := f.add(t, n, "c2", other); lease.Parent != "" {
				t.Errorf("a network that needs none got parent %q", lease.Parent)
			}
		})
	}
}

// What a node reports of its way to the VLAN: the link that the pool names, or one that a network names; a gateway must be silent twice
// before a node that was ready is not.
func TestParentsReport(t *testing.T) {
	f := newFixture(t)
	f.pool = f.newPool(t, v1alpha1.MacPoolSpec{
		Subnets: []v1alpha1.Subnet{{CIDR: "192.168.50.0/24", Gateway: "192.168.50.1"}},
		Parents: []v1alpha1.Parent{{Link: "eth0.50"}},
	})
	f.pool.Status.MACPrefix = "02:32:00"
	f.setReady(t, f.pool)
	named := f.newPool(t, v1alpha1.MacPoolSpec{
		Subnets:           []v1alpha1.Subnet{{CIDR: "192.168.50.0/24", Gateway: "192.168.50.1"}},
		ConflictDetection: &v1alpha1.ConflictDetection{Mode: v1alpha1.ConflictOff},
	})
	named.Status.Links = []string{"br50", "eth0.50"}
	f.setReady(t, named)
	l := &linksOfNode{}
	n := nodeOn(t, f, nil, l)
	report := func(pool string) v1alpha1.NodeParent {
		node := &v1alpha1.MacNode{}
		f.must(t, f.Get(t.Context(), types.NamespacedName{Name: n.name}, node))
		for _, p := range node.Status.Parents {
			if p.PoolName == pool {
				return p
			}
		}
		return v1alpha1.NodeParent{}
	}
	await := func(pool *v1alpha1.MacPool, link string, state v1alpha1.ParentState) {
		t.Helper()
		want := v1alpha1.NodeParent{PoolName: pool.Name, Link: link, State: state}
		eventually(t, "the report", func() error {
			if got := report(pool.Name); got != want {
				return fmt.Errorf("it is %+v, want %+v", got, want)
			}
			return nil
		})
	}
	await(f.pool, "eth0.50", v1alpha1.ParentMissing)
	await(named, "br50", v1alpha1.ParentMissing)
	l.set("eth0.50", wire.ErrLinkDown, true)
	await(f.pool, "eth0.50", v1alpha1.ParentDown)
	await(named, "eth0.50", v1alpha1.ParentDown)
	l.set("eth0.50", nil, false)
	await(f.pool, "eth0.50", v1alpha1.ParentSilent)
	await(named, "eth0.50", v1alpha1.ParentReady) // which is not asked
	l.set("eth0.50", nil, true)
	await(f.pool, "eth0.50", v1alpha1.ParentReady)
	l.set("eth0.50", nil, false)
	await(f.pool, "eth0.50", v1alpha1.ParentSilent)
}

// One silent look does not make a node unready.
func TestGatewayMayBeBusy(t *testing.T) {
	l := &linksOfNode{}
	l.set("eth0.50", nil, true)
	p := newParents(&Agent{ask: l.ask}, l.usable)
	pool := &v1alpha1.MacPool{ObjectMeta: metav1.ObjectMeta{Name: "iot"}, Spec: v1alpha1.MacPoolSpec{
		Subnets:           []v1alpha1.Subnet{{CIDR: "192.168.50.0/24", Gateway: "192.168.50.1"}},
		ConflictDetection: &v1alpha1.ConflictDetection{Mode: v1alpha1.ConflictProbe},
	}, Status: v1alpha1.MacPoolStatus{MACPrefix: "02:32:00"}}
	for i, step := range []struct {
		gateway bool
		want    v1alpha1.ParentState
	}{{false, v1alpha1.ParentSilent}, {true, v1alpha1.ParentReady}, {false, v1alpha1.ParentReady}, {true, v1alpha1.ParentReady}, {false, v1alpha1.ParentReady}, {false, v1alpha1.ParentSilent}} {
		l.set("eth0.50", nil, step.gateway)
		state, _ := p.stateOf(t.Context(), pool, "eth0.50")
		if state != step.want {
			t.Errorf("step %d: got %s, want %s", i, state, step.want)
		}
		p.found["iot"] = v1alpha1.NodeParent{PoolName: "iot", Link: "eth0.50", State: state}
	}
}
