// SPDX-License-Identifier: Apache-2.0

// Command manager is macpool's controller: see package controllers.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/macpool/macpool/internal/view"
)

func main() {
	var options ctrl.Options
	flag.StringVar(&options.Metrics.BindAddress, "metrics-bind-address", ":8080", "where metrics are served; 0 for nowhere")
	flag.StringVar(&options.HealthProbeBindAddress, "health-probe-bind-address", ":8081", "where /healthz and /readyz are served; 0 for nowhere")
	flag.BoolVar(&options.LeaderElection, "leader-elect", false, "let one replica work at a time, for economy; several at once are as safe")
	flag.Parse()

	handler := slog.NewJSONHandler(os.Stderr, nil)
	ctrl.SetLogger(logr.FromSlogHandler(handler))
	klog.SetLogger(logr.FromSlogHandler(handler))
	if err := run(ctrl.SetupSignalHandler(), options); err != nil {
		slog.New(handler).Error("Stopped", "error", err.Error())
		os.Exit(1)
	}
}

func run(ctx context.Context, options ctrl.Options) error {
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the API server: %w", err)
	}
	// The API server's own priority and fairness is the limiter: a burst of pods must not queue here.
	config.QPS = -1
	options.Scheme = newScheme()
	options.Cache = view.CacheOptions()
	options.Metrics = metricsserver.Options{BindAddress: options.Metrics.BindAddress}
	options.LeaderElectionID = "macpool-manager"
	options.LeaderElectionReleaseOnCancel = true
	mgr, err := ctrl.NewManager(config, options)
	if err != nil {
		return fmt.Errorf("preparing: %w", err)
	}
	ready, err := addControllers(ctx, mgr)
	if err != nil {
		return err
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("adding /healthz: %w", err)
	}
	if err := mgr.AddReadyzCheck("index", ready); err != nil {
		return fmt.Errorf("adding /readyz: %w", err)
	}
	return mgr.Start(ctx)
}
