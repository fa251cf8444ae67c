// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
)

// Kubectl runs the real kubectl as the administrator and returns what it prints, on both streams. The error is that of
// the process.
func (c *ControlPlane) Kubectl(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, c.kubectl, args...) //nolint:gosec // the laboratory's own commands
	cmd.Dir = c.home
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig, "HOME="+c.home)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func serverVersion(kubectlVersion string) (string, error) {
	var v struct {
		ServerVersion struct {
			GitVersion string `json:"gitVersion"`
		} `json:"serverVersion"`
	}
	if err := json.Unmarshal([]byte(kubectlVersion), &v); err != nil {
		return "", fmt.Errorf("reading the version: %w", err)
	}
	return v.ServerVersion.GitVersion, nil
}
