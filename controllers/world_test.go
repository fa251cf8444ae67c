// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/event"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/controllers"
	"github.com/macpool/macpool/internal/audit"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/metric"
	"github.com/macpool/macpool/internal/timeline"
	"github.com/macpool/macpool/internal/view"
)

// soon is how long tests wait for what takes a moment: far less than retryProblem, so that what a watch should have woken
// cannot pass by being retried.
const soon = 25 * time.Second

// holdGrace is the time between the two looks that end a hold: short, and long enough for a test to come between them.
const holdGrace = 500 * time.Millisecond

// world is the API server as one test sees it. It is empty at the start, and the test is its administrator, scheduler,
// runtime, node agents and StatefulSet controller.
type world struct {
	t   *testing.T
	api *apiServer
	client.Client
}

// newWorld waits for an API server. Tests that have one run at the same time as others.
func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	api := <-servers
	t.Cleanup(func() { servers <- api })
	c, err := client.New(api.admin, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, api: api, Client: c}
	t.Cleanup(w.wipe)
	return w
}

// wipe removes what a test left, after its managers have stopped.
func (w *world) wipe() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, list := range []client.ObjectList{
		&corev1.PodList{}, &appsv1.StatefulSetList{}, &appsv1.DeploymentList{}, &appsv1.DaemonSetList{}, &nadv1.NetworkAttachmentDefinitionList{},
		&v1alpha1.MacClaimList{}, &v1alpha1.MacLeaseList{}, &v1alpha1.MacPoolList{}, &v1alpha1.MacNodeList{}, &eventsv1.EventList{},
		&corev1.NodeList{},
	} {
		if err := w.List(ctx, list); err != nil {
			w.t.Fatal(err)
		}
		err := apimeta.EachListItem(list, func(item runtime.Object) error {
			object, ok := item.(client.Object)
			if !ok {
				return fmt.Errorf("%T is no object", item)
			}
			if set, ok := object.(*appsv1.DaemonSet); ok && set.Name == "macpool-agent" {
				return nil // to which policies are bound, for all tests
			}
			if claim, ok := object.(*v1alpha1.MacClaim); ok && claim.Status.Holder != nil {
				claim.Status.Holder, claim.Status.Alternate = nil, nil
				if err := w.Status().Update(ctx, claim); client.IgnoreNotFound(err) != nil {
					return err
				}
			}
			if pool, ok := object.(*v1alpha1.MacPool); ok && pool.Status.OwnLeases != nil {
				pool.Status.OwnLeases = nil
				if err := w.Status().Update(ctx, pool); client.IgnoreNotFound(err) != nil {
					return err
				}
			}
			if len(object.GetFinalizers()) > 0 {
				object.SetFinalizers(nil)
				if err := w.Update(ctx, object); client.IgnoreNotFound(err) != nil {
					return err
				}
			}
			return client.IgnoreNotFound(w.Delete(ctx, object, client.GracePeriodSeconds(0)))
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// managerOptions are what tests change about a manager.
type managerOptions struct {
	// clock is the time of cooldowns and retains; time itself if nil.
	clock       clock.PassiveClock
	orphanAfter time.Duration
	metrics     prometheus.Registerer
	// grace, doubt and patience are those of HolderReconciler; short if zero, and longer than any test.
	grace, doubt, patience time.Duration
	// silence is that of MacNodeReconciler; holdGrace if zero.
	silence time.Duration
	// recovery, if not zero, is the grace of a Recovery, by which the gate is closed while the API may be behind.
	recovery time.Duration
	// nodeSilence is that of NodeLabelReconciler, an hour if zero.
	nodeSilence time.Duration
	// restoreGrace is that of LeaseReconciler.
	restoreGrace time.Duration
	// audit gets the manager's audit lines.
	audit io.Writer
	// live wraps what reconcilers read live by, cached what they read from the cache and write by.
	live   func(client.Reader) client.Reader
	cached func(client.Client) client.Client
	// count, if set, is told of each request, answered of each answer.
	count    func(*http.Request)
	answered func(*http.Request, *http.Response)
	change   func(*ctrl.Options)
}

// startManager runs a manager as cmd/manager does, until the test ends or stop is called.
func (w *world) startManager(o managerOptions) (feed *view.Feed, stop func()) {
	w.t.Helper()
	if o.clock == nil {
		o.clock = clock.RealClock{}
	}
	options := ctrl.Options{
		Scheme: scheme, Cache: view.CacheOptions(), Metrics: metricsserver.Options{BindAddress: "0"},
		Controller: ctrlconfig.Controller{SkipNameValidation: new(true)},
	}
	if o.change != nil {
		o.change(&options)
	}
	config := rest.CopyConfig(w.api.manager)
	if o.count != nil || o.answered != nil {
		config.Wrap(func(next http.RoundTripper) http.RoundTripper { return counting{next, o.count, o.answered} })
	}
	mgr, err := ctrl.NewManager(config, options)
	if err != nil {
		w.t.Fatal(err)
	}
	live, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		w.t.Fatal(err)
	}
	feed = view.NewFeed()
	binder := &binding.Binder{Client: live, Index: feed.Index, Clock: o.clock}
	var gate controllers.Gate
	var recovery *controllers.Recovery
	if o.recovery > 0 {
		g := timeline.New(live, clock.RealClock{}, timeline.Times{Silence: time.Second, Empty: time.Second, Fresh: 100 * time.Millisecond})
		binder.Gate, gate = g.Check, g.Check
		recovery = &controllers.Recovery{
			Client: mgr.GetClient(), Reader: live, Binder: binder, Gate: g, Recorder: mgr.GetEventRecorder("macpool-manager"),
			Clock: clock.RealClock{}, Grace: o.recovery,
		}
	}
	if o.audit != nil {
		binder.Audit = audit.New(o.audit)
	}
	if o.metrics != nil {
		leases := metric.NewLeases(func() ([]string, bool) { return feed.Pools(), feed.Synced() == nil })
		o.metrics.MustRegister(leases)
		binder.Audit, binder.Meter = binder.Audit.With(leases.Recorded), leases
	}
	apiReader, cached := mgr.GetAPIReader(), mgr.GetClient()
	if o.live != nil {
		apiReader = o.live(apiReader)
	}
	if o.cached != nil {
		cached = o.cached(cached)
	}
	recorder := mgr.GetEventRecorder("macpool-manager")
	brake := &controllers.Brake{
		Clock: clock.RealClock{}, Leased: func(pool string) uint64 { return feed.Index.Count(pool).Leased },
		Gather: 300 * time.Millisecond, Round: 2 * time.Second,
	}
	wake := make(chan event.TypedGenericEvent[*v1alpha1.MacClaim])
	claims := &controllers.MacClaimReconciler{Client: cached, APIReader: apiReader, Binder: binder, Feed: feed, Recorder: recorder, Clock: o.clock, Wake: wake, Brake: brake, Gate: gate}
	pods := &controllers.PodReconciler{Client: cached, APIReader: apiReader, Binder: binder, Recorder: recorder, Clock: clock.RealClock{}, Gate: gate}
	ctx, cancel := context.WithCancel(context.Background())
	for _, c := range []interface {
		SetupWithManager(context.Context, ctrl.Manager) error
	}{
		feed,
		optional{recovery},
		// Its clock only spaces its writes.
		&controllers.MacPoolReconciler{Client: cached, APIReader: apiReader, Feed: feed, Clock: clock.RealClock{}, Wake: wake, Metrics: o.metrics, Brake: brake, Recovery: recovery},
		claims,
		pods,
		&controllers.IPAMClaimReconciler{Client: cached, Pods: pods, Claims: claims, Clock: clock.RealClock{}, Every: time.Second},
		&controllers.LeaseReconciler{Client: cached, APIReader: apiReader, Binder: binder, Clock: o.clock, Wake: wake, OrphanAfter: o.orphanAfter, Brake: brake, Gate: gate, RestoreGrace: o.restoreGrace, Metrics: o.metrics},
		&controllers.HolderReconciler{
			Client: cached, APIReader: apiReader, Binder: binder, Recorder: recorder, Clock: o.clock,
			Grace: cmp.Or(o.grace, holdGrace), Doubt: cmp.Or(o.doubt, time.Hour), Patience: cmp.Or(o.patience, time.Hour), Gate: gate,
		},
		&controllers.NodeLabelReconciler{Client: cached, Clock: o.clock, Silence: cmp.Or(o.nodeSilence, time.Hour)},
		&controllers.MacNodeReconciler{
			Client: cached, APIReader: apiReader, Clock: o.clock, Silence: cmp.Or(o.silence, holdGrace),
		},
		&controllers.NADReconciler{Client: cached, Recorder: recorder},
	} {
		if err := c.SetupWithManager(ctx, mgr); err != nil {
			w.t.Fatal(err)
		}
	}
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	var stopped atomic.Bool
	stop = func() {
		cancel()
		if stopped.CompareAndSwap(false, true) {
			if err := <-done; err != nil && !errors.Is(err, controllers.ErrWentBack) {
				w.t.Errorf("the manager ended with: %v", err)
			}
		}
	}
	w.t.Cleanup(stop)
	return feed, stop
}

// optional is a Recovery, or none.
type optional struct{ recovery *controllers.Recovery }

func (o optional) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	if o.recovery == nil {
		return nil
	}
	return o.recovery.SetupWithManager(ctx, mgr)
}

type counting struct {
	next     http.RoundTripper
	count    func(*http.Request)
	answered func(*http.Request, *http.Response)
}

func (c counting) RoundTrip(request *http.Request) (*http.Response, error) {
	if c.count != nil {
		c.count(request)
	}
	answer, err := c.next.RoundTrip(request)
	if err == nil && c.answered != nil {
		c.answered(request, answer)
	}
	return answer, err
}
