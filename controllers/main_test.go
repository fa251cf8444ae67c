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

// apiServers is how many tests run at a time, at most: they mostly wait.
const apiServers = 2

// apiServer is a control plane that one test has for itself. The managers under test are the service account that config/rbac makes, so
// that a right that is missing there fails a test.
type apiServer struct {
	*envtest.Environment

	admin, manager *rest.Config
}

var (
	scheme = runtime.NewScheme()
	// servers are the API servers that no test has.
	servers = make(chan *apiServer, apiServers)
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
	started := make(chan error, apiServers)
	for range apiServers {
		go func() {
			api, err := startAPIServer()
			started <- err
			servers <- api
		}()
	}
	defer func() {
		for range apiServers {
			_ = (<-servers).Stop()
		}
	}()
	for range apiServers {
		if err := <-started; err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}

// startAPIServer starts a control plane with our definitions, roles and policies. It is to be stopped after an error, too.
func startAPIServer() (*apiServer, error) {
	api := &apiServer{Environment: &envtest.Environment{
		CRDDirectoryPaths: []string{
			filepath.Join("..", "config", "crd", "bases"),
			filepath.Join("..", "e2e", "lab", "manifests", "nad-crd.yaml"),
		},
		ErrorIfCRDPathMissing: true,
	}}
	api.ControlPlane.GetAPIServer().Configure().
		Set("authorization-mode", "RBAC").
		Append("max-requests-inflight", "3000").Append("max-mutating-requests-inflight", "2000")
	api.ControlPlane.Etcd = &envtest.Etcd{}
	api.ControlPlane.Etcd.Configure().Append("unsafe-no-fsync")
	var err error
	if api.admin, err = api.Start(); err != nil {
		return api, fmt.Errorf("starting the control plane: %w", err)
	}
	api.admin.QPS = -1
	user, err := api.AddUser(envtest.User{
		Name:   "system:serviceaccount:macpool-system:macpool-manager",
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:macpool-system", "system:authenticated"},
	}, api.admin)
	if err != nil {
		return api, fmt.Errorf("adding the manager's user: %w", err)
	}
	api.manager = user.Config()
	api.manager.QPS = -1
	if err := applyRBAC(api.admin, filepath.Join("..", "config")); err != nil {
		return api, fmt.Errorf("applying config/rbac: %w", err)
	}
	if err := applyPolicies(api.admin, filepath.Join("..", "config")); err != nil {
		return api, fmt.Errorf("applying config/policy: %w", err)
	}
	return api, nil
}
