// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/controllers"
	"github.com/macpool/macpool/internal/audit"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/metric"
	"github.com/macpool/macpool/internal/timeline"
	"github.com/macpool/macpool/internal/view"
)

// controllerOptions are the reconcilers' settings; zero is their default.
type controllerOptions struct {
	// recoveryGrace is how long nodes that the API has forgotten have to come forward.
	recoveryGrace time.Duration
	// restoreGrace is how long leases that were restored from a backup wait for their claims.
	restoreGrace time.Duration
	// policies : the manager is ready only while they are in force.
	policies bool
}

func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	utilruntime.Must(nadv1.AddToScheme(scheme))
	return scheme
}

// addControllers wires the reconcilers. The check that it returns is true once the index knows all leases. The link hears of the
// API server's going away.
func addControllers(ctx context.Context, mgr ctrl.Manager, link *timeline.Link, o controllerOptions) (healthz.Checker, error) {
	feed := view.NewFeed()
	wake := make(chan event.TypedGenericEvent[*v1alpha1.MacClaim])
	recorder := mgr.GetEventRecorder("macpool-manager")
	clk := clock.RealClock{}
	// What the binder reads back decides what it undoes: no cache.
	live, err := client.New(mgr.GetConfig(), client.Options{Scheme: mgr.GetScheme()})
	if err != nil {
		return nil, fmt.Errorf("making the binder's client: %w", err)
	}
	gate := timeline.New(live, clk, timeline.Times{})
	link.Broken, link.Back = func() { gate.Doubt() }, func() { gate.Doubt() }
	leases := metric.NewLeases(func() ([]string, bool) { return feed.Pools(), feed.Synced() == nil })
	if err := metrics.Registry.Register(leases); err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	binder := &binding.Binder{
		Client: live, Index: feed.Index, Clock: clk, Audit: audit.New(os.Stdout).With(leases.Recorded), Meter: leases, Gate: gate.Check,
	}
	recovery := &controllers.Recovery{
		Client: mgr.GetClient(), Reader: live, Binder: binder, Gate: gate, Recorder: recorder, Clock: clk, Grace: o.recoveryGrace,
	}
	brake := &controllers.Brake{Clock: clk, Leased: func(pool string) uint64 { return feed.Index.Count(pool).Leased }}
	claims := &controllers.MacClaimReconciler{
		Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(), Binder: binder, Feed: feed, Recorder: recorder, Clock: clk, Wake: wake,
		Brake: brake, Gate: gate.Check,
	}
	pods := &controllers.PodReconciler{
		Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(), Binder: binder, Recorder: recorder, Clock: clk, Gate: gate.Check,
	}
	for _, c := range []interface {
		SetupWithManager(context.Context, ctrl.Manager) error
	}{
		feed,
		recovery,
		&controllers.MacPoolReconciler{
			Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(), Feed: feed, Clock: clk, Wake: wake, Metrics: metrics.Registry,
			Brake: brake, Recovery: recovery,
		},
		claims,
		pods,
		&controllers.IPAMClaimReconciler{Client: mgr.GetClient(), Pods: pods, Claims: claims, Clock: clk},
		&controllers.LeaseReconciler{
			Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(), Binder: binder, Clock: clk, Wake: wake, Brake: brake,
			Gate: gate.Check, RestoreGrace: o.restoreGrace, Metrics: metrics.Registry,
		},
		&controllers.HolderReconciler{
			Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(), Binder: binder, Recorder: recorder, Clock: clk, Gate: gate.Check,
		},
		&controllers.MacNodeReconciler{Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(), Clock: clk},
		&controllers.NodeLabelReconciler{Client: mgr.GetClient(), Clock: clk},
		&controllers.NADReconciler{Client: mgr.GetClient(), Recorder: recorder},
	} {
		if err := c.SetupWithManager(ctx, mgr); err != nil {
			return nil, fmt.Errorf("adding %T: %w", c, err)
		}
	}
	return func(*http.Request) error { return feed.Synced() }, nil
}
