// SPDX-License-Identifier: Apache-2.0

// Package kubeconfigtest starts the API server of a package's tests, and writes the files by which programs under test reach it.
package kubeconfigtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// Admin is somebody who may do everything.
var Admin = envtest.User{Name: "admin", Groups: []string{"system:masters"}}

// Server makes users: an envtest.Environment, or its ControlPlane.
type Server interface {
	AddUser(user envtest.User, base *rest.Config) (*envtest.AuthenticatedUser, error)
}

// Write writes the kubeconfig of a user into a file.
func Write(file string, server Server, who envtest.User) error {
	user, err := server.AddUser(who, nil)
	if err != nil {
		return fmt.Errorf("making user %s: %w", who.Name, err)
	}
	text, err := user.KubeConfig()
	if err != nil {
		return fmt.Errorf("making a kubeconfig: %w", err)
	}
	return os.WriteFile(file, text, 0o600)
}

// Serve starts the API server, and returns the configuration of its administrator, the same as a file, and what ends both.
func Serve(server *envtest.Environment) (config *rest.Config, kubeconfig string, stop func(), err error) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		return nil, "", nil, errors.New("KUBEBUILDER_ASSETS is not set: run make test")
	}
	dir, err := os.MkdirTemp("", "kubeconfig")
	if err != nil {
		return nil, "", nil, fmt.Errorf("making a directory: %w", err)
	}
	stop = func() { _ = server.Stop(); _ = os.RemoveAll(dir) }
	kubeconfig = filepath.Join(dir, "kubeconfig")
	if config, err = server.Start(); err == nil {
		config.QPS = -1
		err = Write(kubeconfig, server, Admin)
	}
	if err != nil {
		stop() // also what has started half-way
		return nil, "", nil, fmt.Errorf("starting the control plane: %w", err)
	}
	return config, kubeconfig, stop, nil
}
