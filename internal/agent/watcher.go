// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"cmp"
	"context"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
	"github.com/macpool/macpool/internal/wire"
)

const (
	// lookForLinks is the time between two looks at what is to be listened to, hearAgain after which a link is tried again that
	// could not be.
	lookForLinks, hearAgain = time.Second, 5 * time.Second
	// strangerRest is the least time between two words about one stranger, strangerLife how long after it was heard last it
	// stands in the node's report.
	strangerRest, strangerLife = time.Minute, 10 * time.Minute
)

// watcher listens to the links on which pods of this node hang, and on which the VLAN was asked for addresses. A stranger who uses an
// attached address is reported, and nothing is taken from the pod (R-L4). One who uses an address that is about to be given
// out, or asks for it, has it asked for again.
type watcher struct {
	*Agent

	total atomic.Int64 // how often a stranger was reported

	mu      sync.Mutex
	targets map[string]map[netip.Addr]attempt // link -> address -> whose it is
	ears    map[string]*listening
	heard   map[string]*stranger // lease -> who uses its address
}

// listening is a link that is listened to, or is to be.
type listening struct {
	ear   Ear // nil while it cannot be
	again time.Time
}

// stranger is a stranger as it was heard.
type stranger struct {
	v1alpha1.Stranger

	last, said time.Time
}

func newWatcher(a *Agent) *watcher {
	return &watcher{Agent: a, ears: map[string]*listening{}, heard: map[string]*stranger{}}
}

// hear listens on a real link, hasLink knows those that the node has.
func hear(link string) (Ear, error) { return wire.NewListener(link) }

func hasLink(name string) bool {
	_, err := net.InterfaceByName(name)
	return err == nil
}

func (w *watcher) run(ctx context.Context) error {
	select {
	case <-w.ready:
	case <-ctx.Done():
		return nil
	}
	var running sync.WaitGroup
	defer running.Wait()
	defer w.stop()
	return w.every(lookForLinks, func(ctx context.Context) { w.look(ctx, &running) })(ctx)
}

// stop ends all listening.
func (w *watcher) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.ears {
		if l.ear != nil {
			l.ear.Close()
		}
	}
}

// look listens where that is needed now, and nowhere else.
func (w *watcher) look(ctx context.Context, running *sync.WaitGroup) {
	targets := w.attachedByLink(ctx)
	wanted := w.verdicts.awaited()
	for link, addresses := range targets {
		wanted[link] = append(wanted[link], slices.Collect(maps.Keys(addresses))...)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.targets = targets
	for link, l := range w.ears {
		if _, ok := wanted[link]; !ok {
			if l.ear != nil {
				l.ear.Close()
			}
			delete(w.ears, link)
		}
	}
	now := w.clock.Now()
	for link, addresses := range wanted {
		l := w.ears[link]
		if l == nil {
			l = &listening{}
			w.ears[link] = l
		}
		if l.ear == nil && !now.Before(l.again) {
			w.open(link, l, running)
		}
		if l.ear == nil {
			continue
		}
		for _, ip := range addresses {
			if err := l.ear.Join(ip); err != nil {
				w.log.V(1).Info("Not all that concerns an address will be heard", "link", link, "ip", ip, "error", err.Error())
			}
		}
	}
}

// open begins to listen on a link. The lock is held.
func (w *watcher) open(link string, l *listening, running *sync.WaitGroup) {
	l.again = w.clock.Now().Add(hearAgain)
	ear, err := w.hear(link)
	if err != nil {
		w.log.V(1).Info("A link is not listened to", "link", link, "error", err.Error())
		return
	}
	l.ear = ear
	running.Go(func() {
		err := ear.Run(func(h wire.Heard) { w.take(link, h) })
		w.mu.Lock()
		defer w.mu.Unlock()
		if err != nil {
			w.log.V(1).Info("A link is not listened to any more", "link", link, "error", err.Error())
		}
		ear.Close()
		l.ear = nil
	})
}

// attachedByLink are the addresses that are attached, of pools that want it.
func (w *watcher) attachedByLink(ctx context.Context) map[string]map[netip.Addr]attempt {
	all := map[string]map[netip.Addr]attempt{}
	pools := map[string]bool{}
	for _, entry := range w.journal.in(attached) {
		if entry.Link == "" || entry.Lease == nil {
			continue
		}
		on, known := pools[entry.Pool]
		if !known {
			pool := &v1alpha1.MacPool{}
			err := w.cluster.cache.Get(ctx, types.NamespacedName{Name: entry.Pool}, pool)
			on = err == nil && pool.Spec.ConflictMode() != v1alpha1.ConflictOff
			pools[entry.Pool] = on
		}
		if !on {
			continue
		}
		if all[entry.Link] == nil {
			all[entry.Link] = map[netip.Addr]attempt{}
		}
		for _, ip := range entry.Lease.IPs {
			all[entry.Link][ip.Address.Addr()] = entry
		}
	}
	return all
}

// take judges what was heard on a link. The leased MAC is never a stranger's: it is the pod's own, or that of a holder before it, with
// which the fence deals.
func (w *watcher) take(link string, h wire.Heard) {
	w.verdicts.refute(link, h)
	if h.Probe {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	entry, ok := w.targets[link][h.IP]
	if !ok || entry.Lease.MAC == h.MAC {
		return
	}
	now := w.clock.Now()
	s := w.heard[entry.Lease.Name]
	if s == nil || s.MAC != h.MAC || now.Sub(s.last) >= strangerLife {
		s = &stranger{Stranger: v1alpha1.Stranger{
			LeaseName: entry.Lease.Name, PoolName: entry.Pool, IP: v1alpha1.IPAddress(h.IP.String()), MAC: h.MAC, SeenAt: metav1.NewTime(now),
		}}
		w.heard[entry.Lease.Name] = s
	}
	s.last = now
	if !s.said.IsZero() && now.Sub(s.said) < strangerRest {
		return
	}
	s.said = now
	w.total.Add(1)
	trouble := problem.StrangerHeard.New(h.MAC, h.IP, entry.Claim.Namespace, entry.Claim.Name, entry.Pod.Name, w.nodeName)
	w.log.Info("A stranger uses an address of a pod", "pod", entry.Pod, "claim", entry.Claim, "ip", h.IP, "mac", h.MAC, "link", link)
	w.says.onPod(entry.Pod, trouble)
	w.says.onClaim(entry.Claim, trouble)
	w.reporter.kick()
}

// strangers are those of attached addresses that were heard lately, latest first.
func (w *watcher) strangers() []v1alpha1.Stranger {
	w.mu.Lock()
	defer w.mu.Unlock()
	attachedHere := map[string]bool{}
	for _, addresses := range w.targets {
		for _, entry := range addresses {
			attachedHere[entry.Lease.Name] = true
		}
	}
	now := w.clock.Now()
	maps.DeleteFunc(w.heard, func(lease string, s *stranger) bool { return now.Sub(s.last) >= strangerLife || !attachedHere[lease] })
	var all []v1alpha1.Stranger
	for _, s := range w.heard {
		all = append(all, s.Stranger)
	}
	slices.SortFunc(all, func(a, b v1alpha1.Stranger) int {
		return cmp.Or(b.SeenAt.Compare(a.SeenAt.Time), cmp.Compare(a.LeaseName, b.LeaseName))
	})
	return all[:min(len(all), maxStrangers)]
}
