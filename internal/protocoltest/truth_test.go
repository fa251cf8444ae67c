// SPDX-License-Identifier: Apache-2.0

//go:build property

package protocoltest

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/links"
)

// link is an interface that can send frames.
type link struct {
	sandbox *sandbox
	lease   string
	mac     string
	ips     []netip.Addr
	since   time.Time
	// void: the pod has lost the address without its node's word, on evidence that cannot be had better, or because an
	// administrator said so. Its agent removes it as soon as it hears of that. voidSince is when, why is the evidence.
	void      bool
	voidSince time.Time
	why       string
}

func (l *link) String() string {
	return fmt.Sprintf("pod %s/%s (%s) in sandbox %s on %s", l.sandbox.namespace, l.sandbox.pod, l.sandbox.uid, l.sandbox.id, l.sandbox.node.name)
}

// use is who has used an address last, and until when.
type use struct {
	identity string
	until    time.Time
	void     bool
}

// truth is what is really on the nodes, and the judge of what the API says about it. Its methods may be called from any goroutine
// of the bubble.
type truth struct {
	world *world

	mu        sync.Mutex
	sandboxes map[string]*sandbox    // id -> sandbox
	links     map[string]*link       // sandbox id -> its link
	uses      map[string]use         // lease -> who used its address last, while nobody does
	leases    map[string]tenure      // lease -> what is known of its last change of hands
	asks      []ask                  // what nodes have asked the VLAN, the latest last
	reports   map[nodeName]time.Time // when a node's report was written last
	forced    map[hold]bool          // what an administrator has ended
}

// hold is that of an address by a pod.
type hold struct {
	pod   types.UID
	lease string
}

// nodeName is a node as holders name it.
type nodeName struct {
	name string
	uid  types.UID
}

// ask is a question to the VLAN and what came of it.
type ask struct {
	node  string
	ips   []netip.Addr
	at    time.Time
	heard string
}

// tenure is how an address came to whom it was given last.
type tenure struct {
	identity string
	// released is when it was given back, zero while it is leased.
	released time.Time
	reason   v1alpha1.EndReason
	attached bool // it was attached, or held, since it was leased
}

func newTruth(w *world) *truth {
	return &truth{
		world: w, sandboxes: map[string]*sandbox{}, links: map[string]*link{}, uses: map[string]use{}, leases: map[string]tenure{},
		reports: map[nodeName]time.Time{}, forced: map[hold]bool{},
	}
}

func uidOf(text string) types.UID { return types.UID(text) }

func (t *truth) add(s *sandbox) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sandboxes[s.id] = s
	s.node.sandboxes = append(s.node.sandboxes, s)
}

// alive is what the kernel says of a network namespace.
func (t *truth) alive(id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sandboxes[id]
	return s != nil && s.alive
}

// answered is an ADD whose success the plugin has read: the link is up with what it was given, if it is still there.
func (t *truth) answered(c *call, lease *agentapi.Lease) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := c.sandbox
	if s == nil || !s.alive {
		return // there is no link to set up
	}
	if lease == nil {
		t.world.violate("I3", "the ADD of sandbox %s succeeded with nothing", s.id)
		return
	}
	l := &link{sandbox: s, lease: lease.Name, mac: lease.MAC, ips: parseIPs(lease), since: time.Now()}
	if t.forced[hold{s.uid, lease.Name}] {
		l.void, l.voidSince, l.why = true, l.since, "Forced"
	} else {
		t.checkResult(s, lease)
	}
	if known := t.links[s.id]; known != nil {
		if known.lease != lease.Name || known.mac != lease.MAC {
			t.world.violate("R-C2", "%s was given %s, and %s at the next ADD", known, known.lease, lease.Name)
		}
		return
	}
	t.links[s.id] = l
	delete(t.uses, lease.Name)
	t.checkUnique()
}

// down is a link that went, with its sandbox or alone. The lock is not held.
func (t *truth) down(s *sandbox, why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.downLocked(s, why)
}

func (t *truth) downLocked(s *sandbox, why string) {
	l := t.links[s.id]
	if l == nil {
		return
	}
	t.world.logf("%s lost its link: %s", l, why)
	delete(t.links, s.id)
	t.uses[l.lease] = use{identity: s.identity, until: time.Now(), void: l.void}
}

// gone is a network namespace that went.
func (t *truth) gone(s *sandbox, why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.alive = false
	t.downLocked(s, why)
}

// look is what the kernel says of an interface.
func (t *truth) look(id, iface string) links.State {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.links[id]; l != nil && l.sandbox.iface == iface {
		return links.State{MAC: l.mac, Up: true}
	}
	return links.State{}
}

// fenced is a link that the agent removes. It must have lost its address, or be of a sandbox that has ended by the runtime's word, and stand
// in the way of the pod's next one (R-C15).
func (t *truth) fenced(id, iface, mac string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.links[id]
	if l == nil || l.mac != mac || l.sandbox.iface != iface {
		return
	}
	if !l.void && !l.sandbox.ending {
		t.world.violate("I2", "%s was cut off from %s, which is still its own", l, l.lease)
	}
	t.downLocked(l.sandbox, "fenced")
}

// answers is the MAC that answers for an address on the VLAN, as the link of a node hears it.
func (t *truth) answers(by *node, ips []netip.Addr, mac string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	heard := t.heardLocked(by, ips, mac)
	t.asks = append(t.asks, ask{by.name, ips, time.Now(), heard})
	return heard
}

// heardLocked : a node's own sandboxes are macvlans of its link, which that cannot hear.
func (t *truth) heardLocked(by *node, ips []netip.Addr, mac string) string {
	if by.wireCut {
		return ""
	}
	for _, l := range t.sorted() {
		if n := l.sandbox.node; n == by || n.wireCut {
			continue
		}
		if l.mac == mac || slices.ContainsFunc(l.ips, func(ip netip.Addr) bool { return slices.Contains(ips, ip) }) {
			return l.mac
		}
	}
	return ""
}

func (t *truth) sorted() []*link {
	all := make([]*link, 0, len(t.links))
	for _, l := range t.links {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b *link) int { return compare(a.sandbox.id, b.sandbox.id) })
	return all
}

func compare(a, b string) int {
	switch {
	case len(a) != len(b):
		return len(a) - len(b)
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}

// of are the links of a pod with a lease.
func (t *truth) of(uid types.UID, lease string) []*link {
	var all []*link
	for _, l := range t.sorted() {
		if l.sandbox.uid == uid && l.lease == lease {
			all = append(all, l)
		}
	}
	return all
}
