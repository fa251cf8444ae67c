// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"fmt"

	"k8s.io/client-go/rest"
)

// Register makes a node that exists in the API alone, and returns how its agent reaches the API: for agents that run in the laboratory's
// own process, many of them, with nothing to attach.
func (l *Lab) Register(ctx context.Context, name string) (*rest.Config, error) {
	n := &Node{Name: name, lab: l}
	if err := l.register(ctx, n); err != nil {
		return nil, err
	}
	l.Nodes = l.Nodes[:len(l.Nodes)-1] // it is no machine
	token, err := l.API.token(ctx, credentials{serviceAccount: "macpool-agent", node: n})
	if err != nil {
		return nil, fmt.Errorf("registering node %s: %w", name, err)
	}
	config := rest.AnonymousClientConfig(l.API.admin)
	config.BearerToken = token
	return config, nil
}
