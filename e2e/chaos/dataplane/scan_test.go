// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package dataplane_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/macpool/macpool/e2e/lab"
)

// scanner looks at the interfaces of all sandboxes, ten times a second.
type scanner struct {
	w *world

	mu sync.Mutex
	// up are the sandboxes in which a MAC was up at the last look.
	up map[string][]*lab.PodSandbox
	// lately is when a MAC was up in a sandbox last, some seconds back.
	lately map[string]map[*lab.PodSandbox]time.Time
	// split are identities that may have two holders until then: they are cut off from each other, or were healed a moment ago.
	split map[string]ending

	// twice is when an address was seen last in two sandboxes of one pod, of which its runtime knew one.
	twice map[string]time.Time

	looks, namespaces int64
	forgotten         int64 // looks that saw that
	spent             time.Duration
	apart             int64 // looks that saw two holders in two layer 2 domains
}

// holding is an address at an interface that is up.
type holding struct {
	host    *host
	sandbox *lab.PodSandbox
	iface   lab.Interface
}

func (h holding) String() string {
	return fmt.Sprintf("%s of pod %s/%s, container %.8s on %s", h.iface.Name, h.sandbox.Name, h.sandbox.UID, h.sandbox.ID, h.host.Name)
}

func newScanner(w *world) *scanner {
	return &scanner{w: w, up: map[string][]*lab.PodSandbox{}, lately: map[string]map[*lab.PodSandbox]time.Time{}, split: map[string]ending{}, twice: map[string]time.Time{}}
}

func (s *scanner) run() {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for range ticker.C {
		if s.w.ctx.Err() != nil {
			return
		}
		start := time.Now()
		s.look()
		s.mu.Lock()
		s.looks++
		s.spent += time.Since(start)
		s.mu.Unlock()
	}
}

func (s *scanner) look() {
	holders := map[string][]holding{} // a MAC or an IP -> who has it
	up := map[string][]*lab.PodSandbox{}
	for _, h := range s.w.everywhere() {
		for _, sandbox := range h.Runtime.Namespaces() {
			interfaces, err := sandbox.Interfaces()
			if err != nil {
				continue // a dump that was interrupted; there is another one soon
			}
			s.namespaces++
			for _, i := range interfaces {
				if !i.Up {
					continue
				}
				has := holding{h, sandbox, i}
				holders[i.MAC] = append(holders[i.MAC], has)
				up[i.MAC] = append(up[i.MAC], sandbox)
				for _, ip := range i.IPs {
					holders[ip.String()] = append(holders[ip.String()], has)
				}
			}
		}
	}
	s.mu.Lock()
	s.up = up
	s.remember(up)
	s.mu.Unlock()
	for address, all := range holders {
		for i, a := range all {
			for _, b := range all[i+1:] {
				s.judge(address, a, b)
			}
		}
	}
}

// remember notes who was up, with the lock held.
func (s *scanner) remember(up map[string][]*lab.PodSandbox) {
	const long = 5 * time.Second
	now := time.Now()
	for mac, all := range up {
		if s.lately[mac] == nil {
			s.lately[mac] = map[*lab.PodSandbox]time.Time{}
		}
		for _, sandbox := range all {
			s.lately[mac][sandbox] = now
		}
	}
	for mac, all := range s.lately {
		for sandbox, at := range all {
			if now.Sub(at) > long {
				delete(all, sandbox)
			}
		}
		if len(all) == 0 {
			delete(s.lately, mac)
		}
	}
}

// count is how many looks were made.
func (s *scanner) count() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.looks
}

// wasUp tells whether a MAC was up in a sandbox a moment ago.
func (s *scanner) wasUp(mac string, sandbox *lab.PodSandbox) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.lately[mac][sandbox].IsZero()
}

// ofOnePod tells whether the MACs are different ones of a sandbox that has several interfaces: as the scanner has seen them, or as they
// were given to it. Linux answers for all addresses of a host on whichever of its interfaces hears the question (arp_ignore 0), so that
// a pod that is on a VLAN twice answers twice.
func (w *world) ofOnePod(macs []string, at time.Time) bool {
	if slices.Sort(macs); len(slices.Compact(slices.Clone(macs))) != len(macs) {
		return false
	}
	given := w.truth.sandboxesWith(macs, at)
	for _, h := range w.everywhere() {
		for _, sandbox := range h.Runtime.Namespaces() {
			given[sandbox] = append(given[sandbox], "")
		}
	}
	for sandbox, has := range given {
		if !slices.ContainsFunc(macs, func(mac string) bool { return !slices.Contains(has, mac) && !w.scan.wasUp(mac, sandbox) }) {
			return true
		}
	}
	return false
}

// sandboxesWith are those in which an interface may have been up at that time that was given one of the MACs, with the ones that were.
func (t *truth) sandboxesWith(macs []string, at time.Time) map[*lab.PodSandbox][]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := map[*lab.PodSandbox][]string{}
	for _, mac := range macs {
		for _, a := range t.byMAC[mac] {
			if a.mayBeUp(at, teardown) {
				all[a.sandbox] = append(all[a.sandbox], mac)
			}
		}
	}
	return all
}

// judge is called with two holders of an address. The look was not at one moment: they are looked at again, one after the other and
// the first once more, so that both are known to be up at one.
func (s *scanner) judge(address string, a, b holding) {
	if !a.still(address) || !b.still(address) || !a.still(address) {
		return
	}
	identity := ""
	for _, net := range a.sandbox.Networks {
		if net.Interface == a.iface.Name {
			identity = identityOf(a.sandbox, net)
		}
	}
	if sameIdentity(a, b) && s.contested(identity) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if a.host.domain() != b.host.domain() {
			s.apart++
		}
		return
	}
	if sameIdentity(a, b) && a.host == b.host && a.sandbox.UID == b.sandbox.UID && (a.forgotten() || b.forgotten()) {
		// The runtime has lost a sandbox of the pod, whose interface is still up, and has made another (F34). It is one owner. The kernel refuses
		// the second interface on macvlan; nobody does on a bridge.
		s.mu.Lock()
		defer s.mu.Unlock()
		s.forgotten++
		s.twice[address] = time.Now()
		return
	}
	s.w.violate(duplicate, "%s is up twice: %s, and %s (I1)", address, a, b)
}

// forgotten tells whether the runtime knows nothing of the sandbox.
func (h holding) forgotten() bool { return !slices.Contains(h.host.Runtime.Sandboxes(), h.sandbox) }

// twoOfOnePod tells whether the address was just seen up in two sandboxes of one pod, one of them forgotten by its runtime.
func (s *scanner) twoOfOnePod(address string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.twice[address]) < 5*time.Second
}

func sameIdentity(a, b holding) bool {
	return a.sandbox.Name == b.sandbox.Name && a.sandbox.Namespace == b.sandbox.Namespace && a.iface.Name == b.iface.Name
}

// still tells whether the interface is up with the address now.
func (h holding) still(address string) bool {
	interfaces, err := h.sandbox.Interfaces()
	if err != nil {
		return true
	}
	for _, i := range interfaces {
		if i.Name != h.iface.Name || !i.Up {
			continue
		}
		if i.MAC == address {
			return true
		}
		for _, ip := range i.IPs {
			if ip.String() == address {
				return true
			}
		}
	}
	return false
}

// upWith are the sandboxes in which the MAC is up now, in words.
func (w *world) upWith(mac string) []string {
	w.scan.mu.Lock()
	sandboxes := w.scan.up[mac]
	w.scan.mu.Unlock()
	var all []string
	for _, s := range sandboxes {
		interfaces, err := s.Interfaces()
		if err != nil {
			continue
		}
		for _, i := range interfaces {
			if i.MAC == mac && i.Up {
				all = append(all, fmt.Sprintf("%s of pod %s/%s, container %.8s on %s", i.Name, s.Name, s.UID, s.ID, s.Node.Name))
			}
		}
	}
	return all
}

// ours tells whether the MAC is one that a pool makes.
func (w *world) ours(mac string) *network {
	for _, n := range w.nets {
		if strings.HasPrefix(mac, n.prefix) {
			return n
		}
	}
	return nil
}
