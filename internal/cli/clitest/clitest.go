// SPDX-License-Identifier: Apache-2.0

// Package clitest is what tests of commands have in common: a real API server with macpool's kinds, a person's kubeconfig for it, and golden
// files.
package clitest

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/macpool/macpool/internal/cli"
	"github.com/macpool/macpool/internal/kubeconfigtest"
)

var update = flag.Bool("update", false, "write the golden files")

// API is the API server of a package's tests.
type API struct {
	client.Client

	// Kubeconfig is the file of a person who may do everything.
	Kubeconfig string
}

// Main runs the tests of a package beneath internal/cli with an API server, which is api while they run. It returns the exit status.
func Main(m *testing.M, api *API) int {
	ctrl.SetLogger(logr.Discard())
	env := &envtest.Environment{CRDDirectoryPaths: []string{filepath.Join("..", "..", "..", "config", "crd", "bases")}, ErrorIfCRDPathMissing: true}
	config, kubeconfig, stop, err := kubeconfigtest.Serve(env)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer stop()
	api.Kubeconfig = kubeconfig
	if api.Client, err = client.New(config, client.Options{Scheme: cli.NewScheme()}); err != nil {
		fmt.Fprintln(os.Stderr, "making a client:", err)
		return 1
	}
	return m.Run()
}

// Golden compares what a command has written with testdata/<name>.golden; -update writes that.
func Golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		Must(t, os.WriteFile(path, []byte(got), 0o600))
	}
	want, err := os.ReadFile(path) //nolint:gosec // G304: the test's own
	Must(t, err)
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got)\n%s", path, diff)
	}
}

// Must ends the test on an error.
func Must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
