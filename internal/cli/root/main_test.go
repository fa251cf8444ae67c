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
	tree := filepath.Join("..", "..", "..")
	server := &envtest.Environment{
		CRDDirectoryPaths: []string{
			filepath.Join(tree, "config", "crd", "bases"), filepath.Join(tree, "e2e", "lab", "manifests", "nad-crd.yaml"),
		},
		ErrorIfCRDPathMissing: true,
	}
	server.ControlPlane.Etcd = &envtest.Etcd{}
	server.ControlPlane.Etcd.Configure().Append("unsafe-no-fsync")
	config, file, stop, err := kubeconfigtest.Serve(server)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer stop()
	kubeconfig = file
	if admin, err = client.New(config, client.Options{Scheme: cli.NewScheme()}); err != nil {
		fmt.Fprintln(os.Stderr, "making a client:", err)
		return 1
	}
	return m.Run()
}
