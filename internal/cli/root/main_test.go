// SPDX-License-Identifier: Apache-2.0

package root

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/macpool/macpool/internal/cli"
	"github.com/macpool/macpool/internal/kubeconfigtest"
)

// admin writes what the commands are to read, kubeconfig is the file by which they reach it.
var (
	admin      client.Client
	kubeconfig string
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		fmt.Fprintln(os.Stderr, "KUBEBUILDER_ASSETS is not set: run make test")
		return 1
	}
	tree := filepath.Join("..", "..", "..")
	server := &envtest.Environment{
		CRDDirectoryPaths: []string{
			filepath.Join(tree, "config", "crd", "bases"), filepath.Join(tree, "e2e", "lab", "manifests", "nad-crd.yaml"),
		},
		ErrorIfCRDPathMissing: true,
	}
	server.ControlPlane.Etcd = &envtest.Etcd{}
	server.ControlPlane.Etcd.Configure().Append("unsafe-no-fsync")
	defer func() { _ = server.Stop() }() // also of a start that failed half-way
	if err := start(server); err != nil {
		fmt.Fprintln(os.Stderr, "starting the control plane:", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(filepath.Dir(kubeconfig)) }()
	return m.Run()
}

func start(server *envtest.Environment) error {
	config, err := server.Start()
	if err != nil {
		return err
	}
	if admin, err = client.New(config, client.Options{Scheme: cli.NewScheme()}); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "kubectl-macpool")
	if err != nil {
		return err
	}
	kubeconfig = filepath.Join(dir, "kubeconfig")
	return kubeconfigtest.Write(kubeconfig, server, kubeconfigtest.Admin)
}
