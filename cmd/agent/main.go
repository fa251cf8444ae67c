// SPDX-License-Identifier: Apache-2.0

// Command agent is macpool's node agent: it serves the CNI plugin of its node over a UNIX socket. As agent attachments it asks the running one
// what is attached on the node, which kubectl macpool check has it do.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client/config"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager/signals"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/macpool/macpool/internal/agent"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/audit"
	"github.com/macpool/macpool/internal/tracing"
)

func main() {
	command := run
	if len(os.Args) > 1 && os.Args[1] == "attachments" {
		command = attachments
	}
	if err := command(); err != nil {
		fmt.Fprintln(os.Stderr, "agent:", err)
		os.Exit(1)
	}
}

func run() error {
	options := agent.Options{Version: version(), Metrics: ctrlmetrics.Registry, Audit: audit.New(os.Stdout)}
	flag.StringVar(&options.NodeName, "node-name", os.Getenv("NODE_NAME"), "the node that this agent serves; default $NODE_NAME")
	flag.StringVar(&options.Socket, "socket", agentapi.DefaultSocket, "the UNIX socket to listen on, in a directory of its own")
	flag.StringVar(&options.StateDir, "state-dir", agentapi.DefaultStateDir, "the directory of the journal and the spool")
	flag.Func("netns-dirs", "directories, separated by commas, in which the runtime keeps the network namespaces of pods; default "+strings.Join(agent.DefaultNetNSDirs(), ","),
		func(dirs string) error { options.NetNSDirs = strings.Split(dirs, ","); return nil })
	flag.DurationVar(&options.FencingWindow, "fencing-window", 20*time.Second,
		"how long after the last contact with the API an ADD is answered from the caches; others count on no more than the default")
	flag.DurationVar(&options.Times.Renew, "renew-interval", 10*time.Second,
		"the longest time between two reports of the node; after the API server was away, and when they start, others wait for up to that long for its word")
	metricsAddress := flag.String("metrics-bind-address", "0", "where to serve metrics, such as :9479; 0 for nowhere")
	probeAddress := flag.String("health-probe-bind-address", "0", "where to serve /healthz and /readyz, such as 127.0.0.1:9478; 0 for nowhere")
	verbosity := flag.Int("v", 0, "how much to log: 0 what matters, 1 every request")
	flag.Parse()

	// A logr level v is slog's level -v.
	handler := slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.Level(-*verbosity)})
	options.Log = logr.FromSlogHandler(handler)
	ctrllog.SetLogger(options.Log)
	klog.SetSlogLogger(slog.New(handler))

	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if err := pingOften(); err != nil {
		return err
	}
	api, err := config.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the cluster: %w", err)
	}
	api.QPS = -1 // the API server's own fairness is the limit
	api.UserAgent = "macpool-agent"
	ctx := signals.SetupSignalHandler()
	// Where there is nothing to trace to, pods get their addresses all the same.
	if options.Tracer, err = tracing.FromEnv(ctx, os.Getenv, options.NodeName, options.Version, func(err error) {
		options.Log.Info("Spans are lost, or arrive again", "error", fmt.Sprint(err))
	}); err != nil {
		options.Log.Error(err, "ADDs are not traced")
	}
	a, err := agent.New(api, options)
	if err != nil {
		return err
	}
	defer shutDown(ctx, options.Tracer)

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.Run(ctx) })
	group.Go(func() error { return serveProbes(ctx, *probeAddress, a) })
	group.Go(func() error { return serveMetrics(ctx, *metricsAddress, api) })
	return group.Wait()
}

// gcPercent is how much garbage may lie beside what is in use, in percent of that: half of Go's default. Every node pays for it, and an agent has little
// in use and makes little garbage.
const gcPercent = 50

// shutDown sends the last spans, and does not wait long for it.
func shutDown(ctx context.Context, tracer *tracing.Tracer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_ = tracer.Shutdown(ctx) // who does not get them was told of already
}

// version is what the program was built from, as far as that is known: the release, or the commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	text := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && !strings.Contains(text, s.Value[:min(12, len(s.Value))]) {
			text += " " + s.Value[:min(12, len(s.Value))]
		}
	}
	return text[:min(64, len(text))]
}

// pingOften has a connection given up within seconds that a partition has cut, and not after the 45 seconds of client-go's
// default: a node that comes back must notice soon that an address has moved on (R-G7). client-go takes these settings from the
// environment alone.
func pingOften() error {
	for name, seconds := range map[string]string{"HTTP2_READ_IDLE_TIMEOUT_SECONDS": "5", "HTTP2_PING_TIMEOUT_SECONDS": "3"} {
		if os.Getenv(name) != "" {
			continue
		}
		if err := os.Setenv(name, seconds); err != nil {
			return fmt.Errorf("setting %s: %w", name, err)
		}
	}
	return nil
}
