// SPDX-License-Identifier: Apache-2.0

//go:build cluster

// Package cluster_test tests macpool in a real cluster on this machine: kubelet, containerd, kube-proxy and Multus, two nodes, a
// trunk that carries 802.1Q tags, and macpool installed by its own manifests. See hack/cluster.
//
// All tests share one cluster and leave it as they found it. What crosses the trunk is recorded from the first to the last
// of them; it is judged at the end, however they went.
package cluster_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
)

var (
	keep = flag.Bool("keep", false, "leave the cluster running; make cluster-down ends it")
	use  = flag.Bool("use", false, "use the cluster that make cluster-up has started, and leave it running")
)

// box is the cluster of all tests.
var box *cluster

func TestMain(m *testing.M) {
	flag.Parse()
	ctrl.SetLogger(logr.Discard())
	os.Exit(run(context.Background(), m))
}

func run(ctx context.Context, m *testing.M) (code int) {
	if !*use {
		if !*keep {
			defer func() {
				if err := script(ctx, "down.sh"); err != nil {
					fmt.Fprintln(os.Stderr, "ending the cluster:", err)
					code = 1
				}
			}()
		}
		if err := script(ctx, "up.sh"); err != nil {
			fmt.Fprintln(os.Stderr, "starting the cluster:", err)
			return 1
		}
	}
	var err error
	if box, err = connect(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "connecting to the cluster:", err)
		return 1
	}
	wire, err := watchWire(ctx, box)
	if err != nil {
		fmt.Fprintln(os.Stderr, "recording the trunk:", err)
		return 1
	}
	code = m.Run()
	if code != 0 {
		showTrouble(ctx)
	}
	if err := wire.judge(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// script runs one of hack/cluster with its output shown.
func script(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, "../../hack/cluster/"+name, args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	return cmd.Run()
}

// showTrouble prints what one would look at first.
func showTrouble(ctx context.Context) {
	for _, args := range [][]string{
		{"get", "pods,macpools,macclaims,macleases", "-A", "-o", "wide"},
		{"get", "events", "-A", "--sort-by=.lastTimestamp"},
		{"-n", "macpool-system", "logs", "-l", "app.kubernetes.io/component=manager", "--tail=40", "--prefix"},
		{"-n", "macpool-system", "logs", "-l", "app.kubernetes.io/component=agent", "--all-containers", "--tail=40", "--prefix"},
	} {
		out, _ := box.tryKubectl(ctx, args...)
		fmt.Fprintf(os.Stderr, "$ kubectl %v\n%s\n", args, tail(out, 12000))
	}
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }
