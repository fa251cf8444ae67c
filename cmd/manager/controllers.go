// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/http"
	"os"

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
	"github.com/macpool/macpool/internal/view"
)

func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	utilruntime.Must(nadv1.AddToScheme(scheme))
	return scheme
}

// addControllers wires the reconcilers. The check that it returns is true once the index knows all leases.
func addControllers(ctx context.Context, mgr ctrl.Manager) (healthz.Checker, error) {
	feed := view.NewFeed()
	wake := make(chan event.TypedGenericEvent[*v1alpha1.MacClaim])
	recorder := mgr.GetEventRecorder("macpool-manager")
	time := clock.RealClock{}
	// What the binder reads back decides what it undoes: no cache.
	live, err := client.New(mgr.GetConfig(), client.Options{Scheme: mgr.GetScheme()})
	if err != nil {
		return nil, fmt.Errorf("making the binder's client: %w", err)
	}
	binder := &binding.Binder{Client: live, Index: feed.Index, Clock: time, Audit: audit.New(os.Stdout)}
	brake := &controllers.Brake{Clock: time, Leased: func(pool string) uint64 { return feed.Index.Count(pool).Leased }}
	for _, c := range []interface {
		SetupWithManager(context.Context, ctrl.Manager) error
	}{
		feed,
		&controllers.MacPoolReconciler{
			Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(), Feed: feed, Clock: time, Wake: wake, Metrics: metrics.Registry,
			Brake: brake,
		},
		&controllers.MacClaimReconciler{
			Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(), Binder: binder, Feed: feed, Recorder: recorder, Clock: time, Wake: wake,
			Brake: brake,
		},
		&controllers.PodReconciler{Client: mgr.GetClient(), Binder: binder, Recorder: recorder, Clock: time},
		&controllers.LeaseReconciler{Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(), Binder: binder, Clock: time, Wake: wake, Brake: brake},
		&controllers.HolderReconciler{
			Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(), Binder: binder, Recorder: recorder, Clock: time,
		},
		&controllers.MacNodeReconciler{Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(), Clock: time},
		&controllers.NADReconciler{Client: mgr.GetClient(), Recorder: recorder},
	} {
		if err := c.SetupWithManager(ctx, mgr); err != nil {
			return nil, fmt.Errorf("adding %T: %w", c, err)
		}
	}
	return func(*http.Request) error { return feed.Synced() }, nil
}
