// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package dataplane_test

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	types100 "github.com/containernetworking/cni/pkg/types/100"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/e2e/lab"
)

// truth is what the test knows by itself: what ADD has answered, what was detached, and which namespaces are gone.
type truth struct {
	w *world

	mu       sync.Mutex
	attempts map[attemptKey]*attempt // those whose namespace is there, and those that went a moment ago
	byMAC    map[string][]*attempt   // those of them that were answered
	given    map[string]*given       // identity -> what it was given first (I4)
	owners   map[netip.Addr]string   // address -> the identity that was given it last
	flights  map[*lab.Call]*attempt  // calls that are under way
	refusals map[string]int64        // code -> how many ADDs failed with it
	ofPod    map[types.UID][]string  // pod -> with what its ADDs failed
	adds     int64
	failed   int64
	dels     int64
	latency  []time.Duration // of ADDs that succeeded
}

type attemptKey struct{ container, iface string }

// attempt is an ADD of a sandbox's network, and what became of it.
type attempt struct {
	host     *lab.Node
	sandbox  *lab.PodSandbox
	net      lab.Network
	identity string // namespace/claim

	began    time.Time
	ended    time.Time // ADD has returned
	answered bool      // with success
	mac      string
	ips      []netip.Addr
	detach   time.Time // the first DEL began
	detached bool      // a DEL succeeded
	gone     time.Time // the namespace went
	fenced   bool      // its interface is to be removed under it
}

// given is what an identity was given.
type given struct {
	mac string
	ips []netip.Addr
}

func newTruth(w *world) *truth {
	return &truth{
		w: w, attempts: map[attemptKey]*attempt{}, byMAC: map[string][]*attempt{}, given: map[string]*given{},
		flights: map[*lab.Call]*attempt{}, owners: map[netip.Addr]string{}, refusals: map[string]int64{}, ofPod: map[types.UID][]string{},
	}
}

// identityOf is the claim that an interface of a pod uses.
func identityOf(s *lab.PodSandbox, net lab.Network) string {
	pool := net.Name[len(load)+1:] // networks are called as their pools are
	return s.Namespace + "/" + s.Name + "." + pool + "." + net.Interface
}

// poolOf is the network of which an attachment is one; nil if it is none of macpool's.
func (w *world) poolOf(net lab.Network) *network {
	for _, n := range w.nets {
		if net.Name == load+"/"+n.name {
			return n
		}
	}
	return nil
}

// Began implements lab.Witness.
func (t *truth) Began(c *lab.Call) func(*types100.Result, error) {
	if t.w.poolOf(c.Network) == nil {
		return func(*types100.Result, error) {}
	}
	now := time.Now()
	key := attemptKey{c.Sandbox.ID, c.Network.Interface}
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.attempts[key]
	switch {
	case c.Command == "ADD" && a == nil:
		a = &attempt{host: c.Sandbox.Node, sandbox: c.Sandbox, net: c.Network, identity: identityOf(c.Sandbox, c.Network), began: now}
		t.attempts[key] = a
	case c.Command == "DEL" && a != nil && a.detach.IsZero():
		a.detach = now
	}
	if a != nil {
		t.flights[c] = a
	}
	return func(result *types100.Result, err error) { t.ended(c, a, result, err) }
}

func (t *truth) ended(c *lab.Call, a *attempt, result *types100.Result, err error) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.flights, c)
	switch c.Command {
	case "ADD":
		if a.ended = now; err != nil {
			t.failed++
			t.refusals[codeOf(err)]++
			t.ofPod[a.sandbox.UID] = append(t.ofPod[a.sandbox.UID], codeOf(err))
			t.w.say("ADD of %s on %s failed after %s: %v", a.identity, a.host.Name, now.Sub(a.began).Round(time.Millisecond), err)
			return
		}
		t.adds++
		t.latency = append(t.latency, now.Sub(a.began))
		t.enter(a, result)
	case "DEL":
		if err == nil {
			t.dels++
		} else {
			t.w.say("DEL of %s/%s on %s failed: %v", c.Sandbox.Name, c.Network.Interface, c.Sandbox.Node.Name, err)
		}
		if a != nil {
			a.detached = a.detached || err == nil
		}
	}
}

var problemCode = regexp.MustCompile(`MP[0-9]{3}`)

// codeOf is the entry of macpool's catalogue that an error is, or what else it is in a word.
func codeOf(err error) string {
	switch code := problemCode.FindString(err.Error()); {
	case code != "":
		return code
	case strings.Contains(err.Error(), "killed"):
		return "killed"
	default:
		return "other"
	}
}

// enter notes what an ADD has answered, and compares it with what the identity had (I4).
func (t *truth) enter(a *attempt, result *types100.Result) {
	for _, i := range result.Interfaces {
		if i.Sandbox != "" {
			a.mac = i.Mac
		}
	}
	for _, ip := range result.IPs {
		if addr, ok := netip.AddrFromSlice(ip.Address.IP); ok {
			a.ips = append(a.ips, addr.Unmap())
		}
	}
	a.answered = true
	if a.mac == "" || len(a.ips) != 2 {
		t.w.violate(other, "ADD of %s has answered %+v", a.identity, result)
		return
	}
	for _, ip := range a.ips {
		t.owners[ip] = a.identity
	}
	t.byMAC[a.mac] = append(t.byMAC[a.mac], a)
	before := t.given[a.identity]
	if before == nil {
		t.given[a.identity] = &given{a.mac, a.ips}
	} else if before.mac != a.mac || !slices.Equal(before.ips, a.ips) {
		t.w.violate(lostLease, "%s had %s %v, and was given %s %v (I4)", a.identity, before.mac, before.ips, a.mac, a.ips)
		t.given[a.identity] = &given{a.mac, a.ips}
	}
	go t.w.leases.confirm(a)
}

// Gone implements lab.Witness.
func (t *truth) Gone(s *lab.PodSandbox) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, net := range s.Networks {
		if a := t.attempts[attemptKey{s.ID, net.Interface}]; a != nil && a.gone.IsZero() {
			a.gone = time.Now()
		}
	}
}

// remembered is for how long an attempt is kept whose namespace is gone: longer than a frame waits to be judged.
const remembered = time.Minute

// forget drops what is long over.
func (t *truth) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, a := range t.attempts {
		if a.gone.IsZero() || time.Since(a.gone) < remembered {
			continue
		}
		delete(t.attempts, key)
		if a.answered {
			left := slices.DeleteFunc(t.byMAC[a.mac], func(b *attempt) bool { return b == a })
			if t.byMAC[a.mac] = left; len(left) == 0 {
				delete(t.byMAC, a.mac)
			}
		}
	}
}

// live tells whether the attempt is answered and nothing has begun to end it.
func (a *attempt) live() bool { return a.answered && a.detach.IsZero() && a.gone.IsZero() }

// mayBeUp tells whether an interface of the attempt may have been up at a moment: from the begin of its ADD until its namespace is
// gone, since an ADD whose caller was killed goes on.
func (a *attempt) mayBeUp(at time.Time, slack time.Duration) bool {
	return !at.Before(a.began.Add(-slack)) && (a.gone.IsZero() || !at.After(a.gone.Add(slack)))
}

// refused is how many ADDs failed with which code.
func (t *truth) refused() map[string]int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.refusals)
}

// snapshot is a copy of the attempts for which keep is true.
func (t *truth) snapshot(keep func(*attempt) bool) []attempt {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []attempt
	for _, a := range t.attempts {
		if keep(a) {
			all = append(all, *a)
		}
	}
	return all
}

func (a *attempt) String() string {
	return fmt.Sprintf("%s in container %.8s of pod %s on %s", a.identity, a.sandbox.ID, a.sandbox.UID, a.host.Name)
}
