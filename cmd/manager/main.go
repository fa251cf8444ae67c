// SPDX-License-Identifier: Apache-2.0

// Command manager is macpool's controller: see package controllers.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/macpool/macpool/controllers"
	"github.com/macpool/macpool/internal/timeline"
	"github.com/macpool/macpool/internal/view"
)

func main() {
	var options ctrl.Options
	flag.StringVar(&options.Metrics.BindAddress, "metrics-bind-address", ":8080", "where metrics are served; 0 for nowhere")
	flag.StringVar(&options.HealthProbeBindAddress, "health-probe-bind-address", ":8081", "where /healthz and /readyz are served; 0 for nowhere")
	flag.StringVar(&options.PprofBindAddress, "pprof-bind-address", "0", "where profiles are served to who wants to know what memory and time go into; 0 for nowhere")
	flag.BoolVar(&options.LeaderElection, "leader-elect", false, "let one replica work at a time, for economy; several at once are as safe")
	var settings controllerOptions
	flag.DurationVar(&settings.recoveryGrace, "recovery-grace", 30*time.Second,
		"after the API server has gone back in time, how long nodes that it has forgotten have to come forward before addresses are given out again")
	flag.DurationVar(&settings.restoreGrace, "restore-grace", time.Hour,
		"how long leases that were restored from a backup are kept for their claims")
	flag.BoolVar(&settings.policies, "require-policies", true,
		"be ready only while the admission policies that guard something are in force; false where they are left out on purpose")
	flag.Parse()

	handler := slog.NewJSONHandler(os.Stderr, nil)
	ctrl.SetLogger(logr.FromSlogHandler(handler))
	klog.SetLogger(logr.FromSlogHandler(handler))
	err := run(ctrl.SetupSignalHandler(), options, settings)
	if errors.Is(err, controllers.ErrWentBack) {
		slog.New(handler).Info("Starting anew", "reason", err.Error())
		err = startAnew()
	}
	if err != nil {
		slog.New(handler).Error("Stopped", "error", err.Error())
		os.Exit(1)
	}
}

// startAnew makes this process the program from its beginning. What the caches show cannot be mended, and waiting for the
// kubelet to start the container again would take longer each time.
func startAnew() error {
	path, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding the program: %w", err)
	}
	if err := syscall.Exec(path, os.Args, os.Environ()); err != nil { //nolint:gosec // G204: this program, as it was started
		return fmt.Errorf("starting anew: %w", err)
	}
	return nil
}

func run(ctx context.Context, options ctrl.Options, settings controllerOptions) error {
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the API server: %w", err)
	}
	// The API server's own priority and fairness is the limiter: a burst of pods must not queue here.
	config.QPS = -1
	link := &timeline.Link{Clock: clock.RealClock{}, Broken: func() {}, Back: func() {}}
	config.Wrap(link.Wrap)
	options.Scheme = newScheme()
	options.Cache = view.CacheOptions()
	options.Metrics = metricsserver.Options{BindAddress: options.Metrics.BindAddress}
	options.LeaderElectionID = "macpool-manager"
	options.LeaderElectionReleaseOnCancel = true
	mgr, err := ctrl.NewManager(config, options)
	if err != nil {
		return fmt.Errorf("preparing: %w", err)
	}
	if err := addThrift(mgr); err != nil {
		return err
	}
	ready, err := addControllers(ctx, mgr, link, settings)
	if err != nil {
		return err
	}
	if settings.policies {
		if err := addGuard(mgr); err != nil {
			return err
		}
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("adding /healthz: %w", err)
	}
	if err := mgr.AddReadyzCheck("index", ready); err != nil {
		return fmt.Errorf("adding /readyz: %w", err)
	}
	return start(ctx, mgr)
}
