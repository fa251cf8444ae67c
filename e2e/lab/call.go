// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"fmt"

	"github.com/containernetworking/cni/libcni"
	types100 "github.com/containernetworking/cni/pkg/types/100"
)

// Call is a CNI call of one network for one sandbox, whoever makes it.
type Call struct {
	Command string // ADD, DEL or CHECK
	Sandbox *PodSandbox
	Network Network
	// NetNS is what CNI_NETNS says; it may be empty.
	NetNS string
}

// Witness is told of what happens to sandboxes. Set it before the first pod.
type Witness interface {
	// Began is told before a call, and returns who is told of its end. An ADD that ends with an error may still be under
	// way: its caller was killed, or the plugin that the caller had started, but not the children of that one.
	Began(c *Call) (ended func(result *types100.Result, err error))
	// Gone is told when a sandbox's network namespace is gone, with all that was in it.
	Gone(s *PodSandbox)
}

func (l *Lab) gone(s *PodSandbox) {
	if l.Witness != nil {
		l.Witness.Gone(s)
	}
}

func (l *Lab) began(c *Call) func(*types100.Result, error) {
	if l.Witness == nil {
		return func(*types100.Result, error) {}
	}
	return l.Witness.Began(c)
}

// call makes a CNI call by libcni. cache is the directory for results, in which libcni keeps that of an ADD when the whole chain has
// succeeded: after a crash before that, an attachment is there of which nobody knows.
func (n *Node) call(ctx context.Context, by *caller, cache string, c Call) (*types100.Result, error) {
	ended := n.lab.began(&c)
	result, err := n.callUnseen(ctx, by, cache, c)
	ended(result, err)
	return result, err
}

func (n *Node) callUnseen(ctx context.Context, by *caller, cache string, c Call) (*types100.Result, error) {
	list, err := c.Network.list()
	if err != nil {
		return nil, err
	}
	cni := n.cniCalledBy(by, cache)
	rt := c.runtimeConf()
	switch c.Command {
	case "ADD":
		rt.Args = append(rt.Args, c.Network.wishArgs()...)
		raw, err := cni.AddNetworkList(ctx, list, rt)
		if err != nil {
			return nil, err
		}
		result, err := types100.NewResultFromResult(raw)
		if err != nil {
			return nil, fmt.Errorf("converting the result of %s: %w", c.Network.Name, err)
		}
		return result, nil
	case "CHECK":
		return nil, cni.CheckNetworkList(ctx, list, rt)
	default:
		return nil, cni.DelNetworkList(ctx, list, rt)
	}
}

// runtimeConf is what kubernetes' runtimes tell every plugin about the pod.
func (c *Call) runtimeConf() *libcni.RuntimeConf {
	return &libcni.RuntimeConf{
		ContainerID: c.Sandbox.ID, NetNS: c.NetNS, IfName: c.Network.Interface,
		Args: [][2]string{
			{"IgnoreUnknown", "1"},
			{"K8S_POD_NAMESPACE", c.Sandbox.Namespace},
			{"K8S_POD_NAME", c.Sandbox.Name},
			{"K8S_POD_INFRA_CONTAINER_ID", c.Sandbox.ID},
			{"K8S_POD_UID", string(c.Sandbox.UID)},
		},
		CapabilityArgs: c.Network.capabilities(),
	}
}
