// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"fmt"
	"net"
	"path/filepath"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Config is the way to the API server of the node's agent, with its credentials and without a limit of the client: what it does can be done
// beside it with what it has. The agent must have been started once.
func (n *Node) Config() (*rest.Config, error) {
	c, err := loadConfig(n.kubeconfig())
	if err != nil {
		return nil, err
	}
	c.Dial = func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		err = within(n.ns, func() error {
			conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
			return err
		})
		return conn, err
	}
	return c, nil
}

// ManagerConfig is that of the manager, which must have been started once.
func (l *Lab) ManagerConfig() (*rest.Config, error) { return loadConfig(l.managerKubeconfig()) }

func (l *Lab) managerKubeconfig() string { return filepath.Join(l.Dir, "manager.kubeconfig") }

func loadConfig(path string) (*rest.Config, error) {
	c, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	c.QPS = -1 // as macpool's processes
	return c, nil
}
