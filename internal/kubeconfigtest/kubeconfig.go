// SPDX-License-Identifier: Apache-2.0

// Package kubeconfigtest writes the files by which programs under test reach the API server of the tests.
package kubeconfigtest

import (
	"fmt"
	"os"

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
