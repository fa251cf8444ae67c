// SPDX-License-Identifier: Apache-2.0

// Package config_test proves on a real API server, into which config/default is installed as people do it, what holds of all manifests
// together: how the API server shares itself out, who reaches what.
package config_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/kubeconfigtest"
)

const namespace = "macpool-system"

// The API server of all tests here. It serves few requests at a time, so that little is a storm.
var (
	scheme = runtime.NewScheme()
	// admin may do all, and never waits: the API server exempts its group from all queues.
	admin *rest.Config
	api   client.Client
	// kubeconfig is a file by which programs are admin.
	kubeconfig string
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err)
		}
	}
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard()) // of requests that end with their test
	server := &envtest.Environment{}
	server.ControlPlane.GetAPIServer().Configure().
		Append("max-requests-inflight", "40").Append("max-mutating-requests-inflight", "20").
		Append("request-timeout", "5m") // a quarter of it is for how long a request may wait for a seat
	var stop func()
	var err error
	if admin, kubeconfig, stop, err = kubeconfigtest.Serve(server); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer stop()
	if api, err = client.New(admin, client.Options{Scheme: scheme}); err != nil {
		fmt.Fprintln(os.Stderr, "making a client:", err)
		return 1
	}
	if err := install(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "installing macpool:", err)
		return 1
	}
	return m.Run()
}

// install is what people do.
func install(ctx context.Context) error {
	if err := kubectl(ctx, "apply", "--server-side", "-k", "default"); err != nil {
		return err
	}
	return kubectl(ctx, "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
}

func kubectl(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"), append(args, "--kubeconfig="+kubeconfig)...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, complaint.String())
	}
	return nil
}

// url is where the API server has a path.
func url(path string) string { return strings.TrimSuffix(admin.Host, "/") + path }

// create makes an object for a test.
func create(t *testing.T, object client.Object) {
	t.Helper()
	if err := api.Create(t.Context(), object); err != nil {
		t.Fatalf("creating %T %s: %v", object, object.GetName(), err)
	}
}
