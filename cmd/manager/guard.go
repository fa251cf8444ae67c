// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/macpool/macpool/internal/guard"
	"github.com/macpool/macpool/internal/view"
)

// withCaches makes the guard start when the caches do. What is started after them comes when they are full, at the same time as the reconcilers,
// which then look at the whole cluster: among these the guard would have its answers late.
type withCaches struct {
	manager.Runnable

	caches cache.Cache
}

// GetCache is by what controller-runtime tells what it starts with the caches.
func (w withCaches) GetCache() cache.Cache { return w.caches }

// addGuard makes the manager ready only while the admission policies are in force.
func addGuard(mgr ctrl.Manager) error {
	// A client of its own, by whose name an audit log tells what the manager was refused on purpose.
	config := rest.AddUserAgent(rest.CopyConfig(mgr.GetConfig()), guard.UserAgent)
	live, err := client.New(config, client.Options{Scheme: mgr.GetScheme()})
	if err != nil {
		return fmt.Errorf("making the client that asks for the policies: %w", err)
	}
	g := &guard.Guard{
		Live: live, Cache: view.Sampler{Reader: mgr.GetClient(), Cache: mgr.GetCache(), Live: live},
		Recorder: mgr.GetEventRecorder("macpool-manager"), Clock: clock.RealClock{},
	}
	if err := metrics.Registry.Register(g); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	if err := mgr.Add(withCaches{g, mgr.GetCache()}); err != nil {
		return fmt.Errorf("adding the look at the policies: %w", err)
	}
	if err := mgr.AddReadyzCheck("policies", g.Ready); err != nil {
		return fmt.Errorf("adding /readyz: %w", err)
	}
	return nil
}
