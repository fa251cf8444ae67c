// SPDX-License-Identifier: Apache-2.0

//go:build vlan

// Package vlan_test tests macpool on real 802.1Q links: three machines, each with an eth0.50 and an eth0.60 of kind vlan on a
// trunk to one switch, macpool's agent and plugin on each, the manager and the API server beside them. What crosses the
// switch is recorded from the first to the last frame, and judged.
//
// A machine is a network namespace where the kernel has 802.1Q, else a User-mode Linux. Where there is neither, the
// tests fail: see lab.MachineKind.
package vlan_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/macpool/macpool/e2e/lab"
	"github.com/macpool/macpool/e2e/vlan/guestapi"
)

// The VLANs. Both have the same addresses.
const (
	vlanPods  = 50
	vlanOther = 60
)

// machine is a node and the program on it.
type machine struct {
	*lab.Machine
	*guestapi.Guest

	wire *lab.Capture // what it sends, at the switch
}

var (
	cluster  *lab.Lab
	machines []*machine
	started  = time.Now()
)

func TestMain(m *testing.M) {
	ctx := context.Background()
	iso := lab.Isolate(ctx)
	ctrl.SetLogger(logr.Discard()) // envtest's
	if err := start(ctx, iso); err != nil {
		fmt.Fprintln(os.Stderr, err)
		showLogs()
		os.Exit(1)
	}
	code := m.Run()
	if code != 0 {
		showLogs()
	}
	progress("done")
	os.Exit(code) // and everything ends with it
}

// progress tells people where the time goes.
func progress(format string, args ...any) {
	fmt.Printf("[%5.1f s] %s\n", time.Since(started).Seconds(), fmt.Sprintf(format, args...))
}

func start(ctx context.Context, iso *lab.Isolation) error {
	options, err := lab.OptionsFromEnv()
	if err != nil {
		return err
	}
	program := filepath.Join(options.Bin, "vlan-guest")
	if _, err := os.Stat(program); err != nil {
		return fmt.Errorf("the program for the machines is missing, which make e2e-vlan builds: %w", err)
	}
	if cluster, err = lab.Start(ctx, iso, options); err != nil {
		return err
	}
	progress("kube-apiserver %s is up", cluster.API.Version)
	kind, err := cluster.MachineKind()
	if err != nil {
		return err
	}
	if err := cluster.StartManager(ctx); err != nil {
		return err
	}
	progress("the manager is up; the machines will be: %s", kind)
	for _, name := range []string{"node-1", "node-2", "node-3"} {
		if err := startMachine(ctx, kind, name, program); err != nil {
			return err
		}
		progress("%s is up", name)
	}
	return startAgents(ctx)
}

func startMachine(ctx context.Context, kind lab.MachineKind, name, program string) error {
	m, err := cluster.AddMachine(ctx, kind, name, program, vlanPods, vlanOther)
	if err != nil {
		return err
	}
	wire, err := m.Capture()
	if err != nil {
		return err
	}
	machines = append(machines, &machine{Machine: m, Guest: guestapi.NewGuest(m.Conn), wire: wire})
	return nil
}

func startAgents(ctx context.Context) error {
	all, _ := errgroup.WithContext(ctx)
	for _, m := range machines {
		all.Go(func() error {
			if err := m.StartAgent(); err != nil {
				return fmt.Errorf("starting the agent of %s: %w", m.Name, err)
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		return err
	}
	progress("the agents are ready")
	return nil
}

func showLogs() {
	if cluster == nil {
		return
	}
	for _, p := range cluster.Processes() {
		fmt.Fprintf(os.Stderr, "--- end of the log of the %s\n%s\n", p.Name, p.Tail(60))
	}
	for _, m := range machines {
		fmt.Fprintf(os.Stderr, "--- end of the log of machine %s\n%s\n", m.Name, m.Process.Tail(20))
		if !m.Process.Running() {
			continue
		}
		if log, err := m.AgentLog(60); err == nil {
			fmt.Fprintf(os.Stderr, "--- end of the log of its agent\n%s\n", log)
		}
	}
}
