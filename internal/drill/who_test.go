// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/ledger"
)

// clearance is how long a state must last so that it can be asked for in its middle: objects have whole seconds.
const clearance = 2200 * time.Millisecond

// entry is what the test itself knows of an address: from and until when this pod had it for sure, or, without a pod, nobody.
type entry struct {
	ip          string
	pod, node   string
	from, until time.Time
}

// TestWhoAcrossRestarts: who had an address at a time is told from the objects as the test has written it down, although manager, agents, API
// server and etcd were all restarted under the pods that had it.
func TestWhoAcrossRestarts(t *testing.T) {
	w := newWorld(t, 2)
	d := newDrill(t, w, 4, small)
	restarts := []struct {
		what string
		do   func()
	}{
		{"the manager", func() { w.stopManager(); w.startManager() }},
		{"the agents", w.restartAgents},
		{"etcd and the API server", func() { w.plane.stop(); w.plane.start() }},
		{"all of them", func() {
			w.stopManager()
			w.plane.stop()
			w.plane.start()
			w.restartAgents()
			w.startManager()
		}},
	}
	var diary []entry
	for i, restart := range restarts {
		t.Log("restarting ", restart.what)
		free := time.Now()
		begun := d.beginRound(i)
		restart.do()
		if err := sleep(t.Context(), clearance); err != nil {
			t.Fatal(err)
		}
		until := time.Now()
		for j := range diary { // what the pods before have left was nobody's until then
			if e := &diary[j]; e.pod == "" && e.until.IsZero() {
				e.until = free
			}
		}
		for _, p := range d.pods {
			diary = append(diary, entry{ip: begun[p].ip, pod: p.name, node: p.node.name, from: begun[p].from, until: until})
		}
		d.endRound()
		for _, p := range begun {
			diary = append(diary, entry{ip: p.ip, from: time.Now()})
		}
		if err := sleep(t.Context(), clearance); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	objects, err := ledger.Read(t.Context(), w.Client)
	w.must(err)
	s := ledger.New(objects, now)
	for _, e := range diary {
		if e.until.IsZero() {
			e.until = now
		}
		e.check(t, s, d.tight)
	}
	d.close()
}

func (w *world) restartAgents() {
	w.t.Helper()
	for _, n := range w.nodes {
		n.stop()
		n.start()
	}
}

// beginRound attaches two pods of a set and a bare one, each time on other nodes, and returns what they have and since when at the latest.
func (d *drill) beginRound(i int) map[*pod]entry {
	d.t.Helper()
	begun := map[*pod]entry{}
	for j, name := range []string{"db-0", "db-1", fmt.Sprintf("job-%d", i)} {
		set := "db"
		if j == 2 {
			set = ""
		}
		p, err := d.newPod(d.t.Context(), name, set, d.w.nodes[(i+j)%len(d.w.nodes)], d.tight, false)
		d.w.must(err)
		d.w.must(d.attach(d.t.Context(), p))
		d.pods = append(d.pods, p)
		begun[p] = entry{ip: d.addressOf(p), from: time.Now()}
	}
	return begun
}

// endRound ends them, and waits until no claim has a holder any more.
func (d *drill) endRound() {
	d.t.Helper()
	for _, p := range d.pods {
		d.w.must(d.remove(d.t.Context(), p))
	}
	d.pods = nil
	d.eventually("all holders to be cleared", func(ctx context.Context) error {
		var claims v1alpha1.MacClaimList
		if err := d.w.List(ctx, &claims, client.InNamespace(d.ns)); err != nil {
			return err
		}
		for _, c := range claims.Items {
			if c.Status.Holder != nil {
				return fmt.Errorf("claim %s is held by %s", c.Name, c.Status.Holder.PodName)
			}
		}
		return nil
	})
}

func (d *drill) addressOf(p *pod) (ip string) {
	d.t.Helper()
	d.eventually("the claim of "+p.key(), func(ctx context.Context) error {
		var claims v1alpha1.MacClaimList
		if err := d.w.List(ctx, &claims, client.InNamespace(d.ns)); err != nil {
			return err
		}
		for _, c := range claims.Items {
			if h := c.Status.Holder; h != nil && h.PodUID == p.uid {
				ip = c.Status.IPs[0]
				return nil
			}
		}
		return fmt.Errorf("none is held by it")
	})
	return ip
}

// check asks who had the address in the middle of the entry's time.
func (e entry) check(t *testing.T, s *ledger.Snapshot, segment string) {
	t.Helper()
	at := e.from.Add(e.until.Sub(e.from) / 2)
	for _, a := range s.Find(ledger.Query{IP: netip.MustParseAddr(e.ip)}) {
		if a.Name.Segment != segment {
			continue
		}
		m := s.At(a, at)
		switch {
		case e.pod == "":
			for _, tenure := range m.Tenures {
				if tenure.Grade == ledger.Held {
					t.Errorf("%s at %s was held by nobody, and not by %+v", e.ip, at, tenure)
				}
			}
		case len(m.Tenures) != 1 || m.Tenures[0].PodName != e.pod || m.Tenures[0].NodeName != e.node:
			t.Errorf("%s at %s was had by %s on %s, and not so: %+v", e.ip, at, e.pod, e.node, m)
		}
		return
	}
	t.Errorf("nothing is known of %s", e.ip)
}
