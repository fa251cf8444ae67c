// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/ledger"
)

// truth is a pod's time with an address, as the test saw it by its own clock.
type truth struct {
	ip, claim, pod string
	uid            types.UID
	from, to       time.Time
}

// diary is a test that has pods come and go, and writes down who had what.
type diary struct {
	*world
	now  *testclock.FakePassiveClock
	ns   string
	pool *v1alpha1.MacPool
	// running are the pods that hold an address, by name -> their entry of past.
	running map[string]int
	past    []truth
	pods    map[string]*corev1.Pod
}

// begin starts a pod, and waits until it has its address.
func (d *diary) begin(name string, change ...func(*corev1.Pod)) {
	d.t.Helper()
	pod := d.pod(d.ns, name, "iot", change...)
	claim := d.held(d.bound(d.ns, name+"."+d.pool.Name+".net1"), pod)
	d.running[name], d.pods[name] = len(d.past), pod
	d.past = append(d.past, truth{ip: claim.Status.IPs[0], claim: claim.Name, pod: name, uid: pod.UID, from: d.now.Now()})
}

// end has a pod go, and its node's agent say so. The claim of a bare pod goes too, and its lease is released.
func (d *diary) end(name string, bare bool) {
	d.t.Helper()
	entry := &d.past[d.running[name]]
	d.remove(d.pods[name])
	claim := d.claimNow(d.ns, entry.claim)
	agent := &binding.Binder{Client: d.Client, Index: binding.NewIndex(), Clock: d.now}
	err := agent.ClearHolder(d.t.Context(), client.ObjectKeyFromObject(claim), entry.uid, claim.Status.Holder.Generation, binding.AgentReport(claim.Status.Holder.NodeName))
	if err != nil {
		d.t.Fatal(err)
	}
	if bare {
		d.gone(claim)
		d.released(claim.Status.LeaseName)
	}
	entry.to = d.now.Now()
	delete(d.running, name)
}

// who is the entry that was true of an address at a time; nil if nobody had it.
func (d *diary) who(ip string, at time.Time) *truth {
	for i := range d.past {
		if e := &d.past[i]; e.ip == ip && !at.Before(e.from) && (e.to.IsZero() || at.Before(e.to)) {
			return e
		}
	}
	return nil
}

// Pods of a StatefulSet and bare pods come and go on a few addresses while the manager is replaced again and again. What the ledger says of
// each address at each time between is what the test has written down, and where the record is too short, it says that and nothing else.
func TestWhoAtAcrossRestarts(t *testing.T) {
	w := newWorld(t)
	d := &diary{world: w, now: testclock.NewFakePassiveClock(time.Now().Truncate(time.Second)), ns: w.namespace(), running: map[string]int{}, pods: map[string]*corev1.Pod{}}
	start := d.now.Now()
	_, stop := w.startManager(managerOptions{clock: d.now})
	d.pool = w.pool("192.168.50.0/24", ranged("192.168.50.100", "192.168.50.103"), cooling(0, 7*24*time.Hour))
	w.network(d.ns, "iot", d.pool.Name)
	nodes := []*corev1.Node{w.node("node-1"), w.node("node-2")}
	set := w.statefulSet(d.ns)
	dice := rand.New(rand.NewPCG(6, 1))

	const steps, step = 36, 10 * time.Minute
	for i := range steps {
		if i%9 == 8 {
			stop()
			_, stop = w.startManager(managerOptions{clock: d.now})
		}
		node := on(nodes[dice.IntN(len(nodes))].Name)
		name := []string{"db-0", "db-1", fmt.Sprintf("job-%d", i)}[dice.IntN(3)]
		_, runs := d.running[name]
		bare := ""
		for other := range d.running {
			if other[:2] != "db" {
				bare = max(bare, other)
			}
		}
		switch {
		case runs:
			d.end(name, false)
		case name[:2] == "db":
			d.begin(name, node, ownedBy(set))
		case bare != "":
			d.end(bare, true)
		default:
			d.begin(name, node)
		}
		d.now.SetTime(d.now.Now().Add(step))
	}
	stop()

	objects, err := ledger.Read(t.Context(), w.Client)
	if err != nil {
		t.Fatal(err)
	}
	s := ledger.New(objects, d.now.Now())
	exact, short := 0, 0
	for last := range byte(4) {
		ip := netip.AddrFrom4([4]byte{192, 168, 50, 100 + last})
		found := s.Find(ledger.Query{IP: ip})
		var address ledger.Address
		for _, a := range found { // other tests' pools are on other API servers
			if a.Name.Segment == binding.SegmentOf(d.pool) {
				address = a
			}
		}
		for at := start.Add(step / 2); at.Before(d.now.Now()); at = at.Add(step) {
			m, want := s.At(address, at), d.who(ip.String(), at)
			switch {
			case m.State == ledger.Unknown && at.Before(s.Reach(address)):
				short++
			case len(m.Tenures) > 1:
				t.Errorf("%s at %s was had by %v", ip, at, m.Tenures)
			case want == nil:
				exact++
				if len(m.Tenures) == 1 && m.Tenures[0].Grade == ledger.Held {
					t.Errorf("%s at %s was nobody's, and not %+v's", ip, at, m.Tenures[0])
				}
			case len(m.Tenures) == 0:
				t.Errorf("%s at %s was %s's, and not nobody's: %+v", ip, at, want.pod, m)
			default:
				got := m.Tenures[0]
				if got.Grade == ledger.ClaimOnly && got.PodName == "" {
					short++
				} else {
					exact++
				}
				if got.Claim != want.claim || got.PodName != "" && got.PodName != want.pod || got.PodUID != "" && got.PodUID != want.uid || got.Grade == ledger.Unheld {
					t.Errorf("%s at %s was %+v's, and not %+v's", ip, at, *want, got)
				}
			}
		}
	}
	t.Logf("%d answers were exact, %d beyond the record, of %d holds", exact, short, len(d.past))
	if exact < 100 || len(d.past) < 12 {
		t.Errorf("%d answers of %d holds were exact: the test has not tried much", exact, len(d.past))
	}
}
