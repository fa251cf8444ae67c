// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/macpool/macpool/internal/agent"
)

// off is the address of a server that is not wanted.
const off = "0"

// serveProbes answers the kubelet. Ready means that ADD is served; DEL is before that.
func serveProbes(ctx context.Context, address string, a *agent.Agent) error {
	if address == off {
		return nil
	}
	mux := http.NewServeMux()
	mux.Handle("/healthz", healthz.CheckHandler{Checker: healthz.Ping})
	mux.Handle("/readyz", healthz.CheckHandler{Checker: func(*http.Request) error { return a.Ready() }})
	probes := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listening for probes: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = probes.Close() })
	defer stop()
	if err := probes.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving probes: %w", err)
	}
	return nil
}

func serveMetrics(ctx context.Context, address string, config *rest.Config) error {
	if address == off {
		return nil
	}
	metrics, err := server.NewServer(server.Options{BindAddress: address}, config, http.DefaultClient)
	if err != nil {
		return fmt.Errorf("making the metrics server: %w", err)
	}
	return metrics.Start(ctx)
}
