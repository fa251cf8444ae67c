// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Options say where the parts are.
type Options struct {
	// Assets is the directory of etcd, kube-apiserver and kubectl.
	Assets string
	// CNI is the directory of the reference CNI plugins.
	CNI string
	// Bin is the directory of manager, agent and macpool.
	Bin string
	// Plugins are further directories of CNI plugins.
	Plugins []string
	// Root is the root of the source tree: config/ is applied from there.
	Root string

	// State is where the state directories of the nodes, and etcd's, are made, for measurements on a disk; empty for the laboratory's own
	// directory, which is in memory, and where no fsync costs anything.
	State string
	// AuditLog is the file of the API server's audit log, in which each request to macpool's resources, pods and nodes stands with its objects;
	// empty for none.
	AuditLog string
	// ManagerFlags come beside those that the laboratory gives the manager.
	ManagerFlags []string
}

// OptionsFromEnv reads the directories that the Makefile's targets demo and e2e set.
func OptionsFromEnv() (Options, error) {
	var errs []error
	dir := func(env, file string) string {
		path := os.Getenv(env)
		if path == "" {
			errs = append(errs, fmt.Errorf("%s is not set: run make demo or make e2e, which set it", env))
			return ""
		}
		if _, err := os.Stat(filepath.Join(path, file)); err != nil { //nolint:gosec // the path is whose the laboratory is
			errs = append(errs, fmt.Errorf("%s has no %s: %w", env, file, err))
		}
		abs, err := filepath.Abs(path)
		errs = append(errs, err)
		return abs
	}
	o := Options{Assets: dir("KUBEBUILDER_ASSETS", "kube-apiserver"), CNI: dir("MACPOOL_CNI_BIN", "macvlan"), Bin: dir("MACPOOL_BIN", "macpool")}
	root, err := findRoot()
	o.Root = root
	return o, errors.Join(append(errs, err)...)
}

// findRoot goes up from the working directory: tests start in their package, the demo anywhere in the tree.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the source tree: %w", err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "config", "crd", "bases")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("finding the source tree: run this from within it")
		}
	}
}

// Lab is a running laboratory.
type Lab struct {
	// Dir holds sockets, logs, journals and kubeconfigs; it is in memory and only seen by the laboratory's processes.
	Dir string
	// Backend is how parent links get their VLAN.
	Backend Backend
	// API is the control plane.
	API *ControlPlane
	// Client is the administrator's.
	Client client.Client
	// Switch is what the nodes hang on.
	Switch *Switch
	// Nodes are the nodes, in the order in which they were added.
	Nodes []*Node
	// Manager is the manager's process, nil before StartManager.
	Manager *Process
	// ManagerHealth is where the manager serves /readyz.
	ManagerHealth string
	// ManagerMetrics is where the manager serves its metrics.
	ManagerMetrics string
	// Witness is told what the nodes' container runtimes do; nil for nobody.
	Witness Witness

	ctx  context.Context //nolint:containedctx // the laboratory's life, which no call's context bounds
	opts Options
}

// Start starts the control plane and makes the switch. There is nothing to stop: everything ends with the process. ctx is the
// laboratory's life.
func Start(ctx context.Context, iso *Isolation, o Options) (*Lab, error) {
	l := &Lab{Dir: iso.Dir, Backend: detectBackend(), ctx: ctx, opts: o}
	var err error
	if l.Switch, err = newSwitch(); err != nil {
		return nil, err
	}
	if l.API, err = startControlPlane(ctx, l.Dir, o); err != nil {
		return nil, err
	}
	if l.Client, err = l.API.client(); err != nil {
		return nil, err
	}
	return l, nil
}

// StartManager starts the manager and waits until it is ready.
func (l *Lab) StartManager(ctx context.Context) error {
	kubeconfig := l.managerKubeconfig()
	if err := l.API.writeKubeconfig(ctx, kubeconfig, l.API.URL(), credentials{serviceAccount: "macpool-manager"}); err != nil {
		return err
	}
	var err error
	if l.ManagerHealth, err = FreeAddress(ctx); err != nil {
		return err
	}
	if l.ManagerMetrics, err = FreeAddress(ctx); err != nil {
		return err
	}
	l.Manager, err = l.start(command{
		name: "manager", path: filepath.Join(l.opts.Bin, "manager"),
		args: append([]string{
			"--kubeconfig=" + kubeconfig, "--health-probe-bind-address=" + l.ManagerHealth, "--metrics-bind-address=" + l.ManagerMetrics,
			"--leader-elect=false",
		}, l.opts.ManagerFlags...),
	})
	if err != nil {
		return err
	}
	return l.Manager.awaitHealthy(ctx, l.ManagerHealth)
}

// Processes are macpool's processes that were started, for a look at their logs.
func (l *Lab) Processes() []*Process {
	var all []*Process
	if l.Manager != nil {
		all = append(all, l.Manager)
	}
	for _, n := range l.Nodes {
		if n.Agent != nil {
			all = append(all, n.Agent)
		}
	}
	return all
}
