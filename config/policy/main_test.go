// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/accesstest"
)

// patience is how long the API server may take to notice that a policy came or went.
const patience = time.Minute

// The API server of all tests here, with the policies in force.
var (
	api client.Client
	// server is the API server itself, for other users of it.
	server *envtest.Environment
	// theManager is a service account of the manager's name, in a namespace that nobody reckons with, that may do all: what it must not do, a
	// policy alone refuses.
	theManager client.Client

	// older are objects of each kind, made before the policies, with the founding case's annotation.
	older = map[string]client.Object{}
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		fmt.Fprintln(os.Stderr, "KUBEBUILDER_ASSETS is not set: run make test")
		return 1
	}
	if err := v1alpha1.AddToScheme(scheme.Scheme); err != nil {
		panic(err)
	}
	server = &envtest.Environment{
		CRDDirectoryPaths: []string{filepath.Join("..", "crd", "bases")}, ErrorIfCRDPathMissing: true,
	}
	config, err := server.Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, "starting the control plane:", err)
		return 1
	}
	defer func() { _ = server.Stop() }()
	config.QPS = -1
	if api, err = client.New(config, client.Options{}); err != nil {
		fmt.Fprintln(os.Stderr, "making a client:", err)
		return 1
	}
	if err := prepare(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// prepare makes the older objects, then the policies and their bindings, and returns when they are in force.
func prepare(ctx context.Context) error {
	for kind, newObject := range kinds {
		obj := newObject("default", founding)
		obj.SetFinalizers([]string{"macpool.dev/test"})
		if err := api.Create(ctx, obj); err != nil {
			return fmt.Errorf("creating a %s: %w", kind, err)
		}
		older[kind] = obj
	}
	if err := accesstest.Install(ctx, server.Config, filepath.Join("..", "..")); err != nil {
		return err
	}
	user, err := server.AddUser(envtest.User{
		Name: "system:serviceaccount:somewhere:macpool-manager", Groups: []string{"system:masters", "system:authenticated"},
	}, &rest.Config{QPS: -1})
	if err != nil {
		return fmt.Errorf("adding the manager's user: %w", err)
	}
	if theManager, err = client.New(user.Config(), client.Options{}); err != nil {
		return fmt.Errorf("making the manager's client: %w", err)
	}
	for _, inForce := range []func(context.Context) error{prepareClaims, preparePools, prepareForce, prepareNodes, prepareGate} {
		if err := inForce(ctx); err != nil {
			return err
		}
	}
	err = wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		err := api.Create(ctx, kinds["Pod"]("default", founding), client.DryRunAll)
		return apierrors.IsInvalid(err), nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the policy to refuse something: %w", err)
	}
	return nil
}

// load reads an object of this directory, as strictly as kubectl apply.
func load(file string, obj client.Object) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading a manifest: %w", err)
	}
	if err := yaml.UnmarshalStrict(text, obj); err != nil {
		return fmt.Errorf("reading %s: %w", file, err)
	}
	return nil
}
