// SPDX-License-Identifier: Apache-2.0

package controllers_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-logr/logr"
	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/macpool/macpool/api/v1alpha1"
)

// The API server of all tests here. The managers under test use managerConfig: they are the service account that
// config/rbac makes, so that a right that is missing there fails a test.
var (
	adminConfig, managerConfig *rest.Config
	scheme                     = runtime.NewScheme()
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	for _, name := range []string{"test.fuzz", "test.fuzzworker"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != "" && f.Value.String() != "false" {
			return m.Run() // what is fuzzed needs no API server, and its workers would each start one
		}
	}
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		fmt.Fprintln(os.Stderr, "KUBEBUILDER_ASSETS is not set: run make test")
		return 1
	}
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme, nadv1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err)
		}
	}
	ctrl.SetLogger(logr.Discard())
	server := &envtest.Environment{
		CRDDirectoryPaths: []string{
			filepath.Join("..", "config", "crd", "bases"),
			filepath.Join("..", "e2e", "lab", "manifests", "nad-crd.yaml"),
		},
		ErrorIfCRDPathMissing: true,
	}
	server.ControlPlane.GetAPIServer().Configure().
		Set("authorization-mode", "RBAC").
		Append("max-requests-inflight", "3000").Append("max-mutating-requests-inflight", "2000")
	server.ControlPlane.Etcd = &envtest.Etcd{}
	server.ControlPlane.Etcd.Configure().Append("unsafe-no-fsync")
	var err error
	if adminConfig, err = server.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "starting the control plane:", err)
		return 1
	}
	defer func() { _ = server.Stop() }()
	adminConfig.QPS = -1
	user, err := server.AddUser(envtest.User{
		Name:   "system:serviceaccount:macpool-system:macpool-manager",
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:macpool-system", "system:authenticated"},
	}, adminConfig)
	if err != nil {
		fmt.Fprintln(os.Stderr, "adding the manager's user:", err)
		return 1
	}
	managerConfig = user.Config()
	managerConfig.QPS = -1
	if err := applyRBAC(filepath.Join("..", "config")); err != nil {
		fmt.Fprintln(os.Stderr, "applying config/rbac:", err)
		return 1
	}
	if err := applyPolicies(filepath.Join("..", "config")); err != nil {
		fmt.Fprintln(os.Stderr, "applying config/policy:", err)
		return 1
	}
	return m.Run()
}
