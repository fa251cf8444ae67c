// SPDX-License-Identifier: Apache-2.0

//go:build chaos

// Package dataplane_test breaks nodes, plugins, agents and the way to the API server while pods come and go, with everything real that a
// frame passes: the API server, macpool's processes, the CNI plugins, interfaces and a switch. Played are kubelet, the container
// runtimes and Multus, with the habits that they have (e2e/lab).
//
// Its judges ask the kernel and the wire, and not macpool:
//
//   - scan: every 100 ms, the interfaces of all network namespaces that are up. Two with one MAC, or one IP, are two holders.
//   - wire: every frame at every port of the switch must come from a MAC that a pod of that node may have at that moment, by what ADD has
//     answered.
//   - probe: a neighbour asks for addresses. Two answers are two holders; none, for a pod that runs, is a pod that has lost its
//     address.
//   - leases: a lease that is released, or given to somebody else, whose MAC an interface still has that is up, was released
//     falsely. It is the one judge that reads macpool's objects, and it holds them against the kernel.
//
// One seed decides what is done; when, and what comes of it, depends on the machine as well.
package dataplane_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/macpool/macpool/e2e/lab"
)

var (
	seedFlag     = flag.Uint64("seed", 1, "what is done")
	durationFlag = flag.Duration("duration", 60*time.Second, "how long pods come and go, without the start and the quiesce")
	completeFlag = flag.Duration("complete", 0, "for how long what has not come off is tried again after that")
	actorsFlag   = flag.Int("actors", 42, "pods at a time, about")
	lifeFlag     = flag.Duration("life", 1500*time.Millisecond, "mean time that a pod runs")
	crashesFlag  = flag.Float64("crashes", 0.2, "how often the sandbox of a pod crashes, and is made again, in the mean")
	pauseFlag    = flag.Duration("pause", 500*time.Millisecond, "mean time between two things that are done to a node as a whole; to calls and pods four are done in it")
	strikersFlag = flag.Int("strikers", 3, "to how many nodes at most something is done as a whole at a time, and to how many calls")
	calmFlag     = flag.Bool("calm", false, "no faults: how fast the machine is")
	verboseFlag  = flag.Bool("verbose", false, "say what is done, and show macpool's logs at the end")
)

var (
	isolation *lab.Isolation
	options   lab.Options
)

func TestMain(m *testing.M) {
	isolation = lab.Isolate(context.Background())
	flag.Parse()
	ctrl.SetLogger(logr.Discard()) // envtest's
	go lab.ReapOrphans(context.Background())
	var err error
	if options, err = lab.OptionsFromEnv(); err == nil {
		err = ownBinaries()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run()) // and everything ends with it
}

// ownBinaries has macpool's programs in a place of the run's own: the plugin is replaced while it runs.
func ownBinaries() error {
	dir := filepath.Join(isolation.Dir, "bin")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	for _, name := range []string{"manager", "agent", "macpool"} {
		content, err := os.ReadFile(filepath.Join(options.Bin, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o700); err != nil {
			return err
		}
	}
	options.Bin = dir
	return nil
}
