// SPDX-License-Identifier: Apache-2.0

//go:build property

package protocoltest

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/controllers"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/memapi"
	"github.com/macpool/macpool/internal/timeline"
	"github.com/macpool/macpool/internal/view"
)

// manager is a replica of the manager.
type manager struct {
	*process

	view   *viewOf
	cancel context.CancelFunc
	done   chan struct{}
	// failure is why it ended by itself.
	failure atomic.Pointer[error]
}

// startManager starts a replica, wired as cmd/manager does.
func (w *world) startManager(wrong time.Duration) *manager {
	w.t.Helper()
	m := &manager{process: &process{name: w.name("manager-")}, done: make(chan struct{})}
	clk := processClock{off: wrong}
	live := w.server.Client(m.name, w.net.transport(m.process))
	cache := w.server.Cache(view.CacheOptions())
	m.view = newView(m.process, w.server, cache)
	mgr := memapi.NewManager(live, cache, logr.Discard())
	feed := view.NewFeed()
	gate := timeline.New(live, clk, timeline.Times{})
	m.view.relisted = func() { gate.Doubt() }
	binder := &binding.Binder{Client: live, Index: feed.Index, Clock: clk, Gate: gate.Check}
	recovery := &controllers.Recovery{Client: mgr.GetClient(), Reader: live, Binder: binder, Gate: gate, Recorder: noEvents{}, Clock: clk}
	brake := &controllers.Brake{Clock: clk, Leased: func(pool string) uint64 { return feed.Index.Count(pool).Leased }}
	wake := make(chan event.TypedGenericEvent[*v1alpha1.MacClaim])
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	for _, c := range []interface {
		SetupWithManager(context.Context, ctrl.Manager) error
	}{
		feed,
		recovery,
		&controllers.MacPoolReconciler{
			Client: mgr.GetClient(), APIReader: live, Feed: feed, Clock: clk, Wake: wake, Brake: brake, Recovery: recovery,
		},
		&controllers.MacClaimReconciler{
			Client: mgr.GetClient(), APIReader: live, Binder: binder, Feed: feed, Recorder: noEvents{}, Clock: clk, Wake: wake, Brake: brake,
			Gate: gate.Check,
		},
		&controllers.PodReconciler{Client: mgr.GetClient(), APIReader: live, Binder: binder, Recorder: noEvents{}, Clock: clk, Gate: gate.Check},
		&controllers.LeaseReconciler{
			Client: mgr.GetClient(), APIReader: live, Binder: binder, Clock: clk, Wake: wake, Brake: brake, Gate: gate.Check,
			// A lease whose taker's clock was an hour late looks restored. That must end within what the test calls for ever.
			RestoreGrace: 10 * time.Minute,
		},
		&controllers.HolderReconciler{
			Client: mgr.GetClient(), APIReader: live, Binder: binder, Recorder: noEvents{}, Clock: clk, Gate: gate.Check,
		},
		&controllers.MacNodeReconciler{Client: mgr.GetClient(), APIReader: live, Clock: clk},
		&controllers.NADReconciler{Client: mgr.GetClient(), Recorder: noEvents{}},
	} {
		w.must(c.SetupWithManager(ctx, mgr))
	}
	go func() {
		defer close(m.done)
		if err := mgr.Start(ctx); err != nil {
			m.failure.Store(&err)
		}
	}()
	w.managers = append(w.managers, m)
	return m
}

// restartFailed starts replicas again that have ended by themselves, as one does that has not heard of the API for two minutes after its
// start.
func (w *world) restartFailed() {
	for _, m := range slices.Clone(w.managers) {
		if failure := m.failure.Load(); failure != nil {
			w.logf("%s ended: %v", m.name, *failure)
			w.crashManager(m)
			w.startManager(0)
		}
	}
}

// kill ends the process at once: what it has sent may arrive, and nothing else of it.
func (m *manager) kill() {
	m.dead.Store(true)
	m.cancel()
}

// noEvents drops events.
type noEvents struct{}

func (noEvents) Eventf(runtime.Object, runtime.Object, string, string, string, string, ...any) {}
