// SPDX-License-Identifier: Apache-2.0

//go:build e2e

// Package e2e_test tests macpool as a cluster sees it: processes, sockets, interfaces, frames and objects, and nothing of what
// is inside. All tests share one laboratory with four nodes; each has a VLAN, a pool and a namespace of its own.
package e2e_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/macpool/macpool/e2e/lab"
)

// The VLANs of the tests. One test's frames and leases are never another's.
const (
	vlanMainPath = 50 + iota
	vlanStorm
	vlanFounding
	vlanDualStack
	vlanVerbs
	vlanBadInput
	vlanBadInputOther
	vlanFaults
	vlanTwoClusters
	vlanDeletedNode
	vlanTakeover
	vlanOldSandbox
	vlanWrapper
	vlanMACsAlone
	vlanMonitoring
	vlanMonitoringFull
	vlanEnd
)

var (
	cluster *lab.Lab
	options lab.Options
)

func TestMain(m *testing.M) {
	ctx := context.Background()
	iso := lab.Isolate(ctx)
	ctrl.SetLogger(logr.Discard()) // envtest's
	if err := startCluster(ctx, iso); err != nil {
		fmt.Fprintln(os.Stderr, err)
		showLogs()
		os.Exit(1)
	}
	code := m.Run()
	if code != 0 {
		showLogs()
	}
	os.Exit(code) // and everything ends with it
}

func showLogs() {
	if cluster == nil {
		return
	}
	for _, p := range cluster.Processes() {
		fmt.Fprintf(os.Stderr, "--- end of the log of the %s\n%s\n", p.Name, p.Tail(60))
	}
}

func startCluster(ctx context.Context, iso *lab.Isolation) (err error) {
	if options, err = lab.OptionsFromEnv(); err != nil {
		return err
	}
	if cluster, err = lab.Start(ctx, iso, options); err != nil {
		return err
	}
	if err := cluster.StartManager(ctx); err != nil {
		return err
	}
	var vlans []int
	for v := vlanMainPath; v < vlanEnd; v++ {
		vlans = append(vlans, v)
	}
	for _, name := range []string{"node-a", "node-b", "node-c", "node-d"} {
		n, err := cluster.AddNode(ctx, name, vlans...)
		if err != nil {
			return err
		}
		if err := n.StartAgent(ctx); err != nil {
			return err
		}
	}
	return nil
}
