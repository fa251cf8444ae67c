// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/e2e/lab"
	"github.com/macpool/macpool/e2e/vlan/guestapi"
)

// podInterface is the first interface of a pod beside lo and the cluster network's.
const podInterface = "net1"

// service answers calls; several at a time.
type service struct {
	ctx  context.Context //nolint:containedctx // net/rpc has none
	node *lab.Node

	mu        sync.Mutex
	sandboxes map[string]*lab.Sandbox // id -> sandbox
}

func newService(ctx context.Context, node *lab.Node) *service {
	return &service{ctx: ctx, node: node, sandboxes: map[string]*lab.Sandbox{}}
}

// StartAgent implements guestapi.
func (s *service) StartAgent(struct{}, *struct{}) error { return s.node.RunAgent(s.ctx) }

// AgentLog implements guestapi.
func (s *service) AgentLog(lines int, reply *string) error {
	if s.node.Agent == nil {
		return errors.New("the agent has not been started")
	}
	*reply = s.node.Agent.Tail(lines)
	return nil
}

// Parents implements guestapi. The process itself is in the node's network namespace.
func (s *service) Parents(_ struct{}, reply *[]guestapi.Parent) error {
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("listing links: %w", err)
	}
	for _, l := range links {
		if !strings.Contains(l.Attrs().Name, ".") {
			continue
		}
		parent := guestapi.Parent{Name: l.Attrs().Name, Kind: l.Type()}
		if v, ok := l.(*netlink.Vlan); ok {
			parent.VLAN, parent.Protocol = v.VlanId, v.VlanProtocol.String()
		}
		if on, err := netlink.LinkByIndex(l.Attrs().ParentIndex); err == nil {
			parent.On = on.Attrs().Name
		}
		*reply = append(*reply, parent)
	}
	return nil
}

// Attach implements guestapi.
func (s *service) Attach(pod guestapi.Pod, reply *guestapi.AttachReply) error {
	sandbox, err := s.node.NewSandbox(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: pod.Namespace, Name: pod.Name, UID: types.UID(pod.UID),
	}})
	if err != nil {
		return err
	}
	if err := s.attach(sandbox, pod.Networks, &reply.Sandbox); err != nil {
		reply.Code = lab.CNICode(err)
		reply.Problem = errors.Join(err, sandbox.Remove(s.ctx)).Error()
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sandboxes[sandbox.ID] = sandbox
	return nil
}

func (s *service) attach(sandbox *lab.Sandbox, networks []lab.Network, reply *guestapi.Sandbox) error {
	for _, n := range networks {
		if _, err := sandbox.Attach(s.ctx, n); err != nil {
			return err
		}
	}
	link, err := sandbox.Link(podInterface)
	if err != nil {
		return err
	}
	reply.ID, reply.Link = sandbox.ID, *link
	reply.NetworkStatus, err = sandbox.NetworkStatus()
	return err
}

func (s *service) sandbox(id string) (*lab.Sandbox, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sandbox, ok := s.sandboxes[id]; ok {
		return sandbox, nil
	}
	return nil, fmt.Errorf("looking up sandbox %s: there is none", id)
}

// Check implements guestapi.
func (s *service) Check(id string, _ *struct{}) error {
	sandbox, err := s.sandbox(id)
	if err != nil {
		return err
	}
	for _, a := range sandbox.Attachments {
		if err := a.Check(s.ctx); err != nil {
			return fmt.Errorf("checking %s: %w", a.Interface, err)
		}
	}
	return nil
}

// Remove implements guestapi.
func (s *service) Remove(id string, _ *struct{}) error {
	sandbox, err := s.sandbox(id)
	if err != nil {
		return err
	}
	if err := sandbox.Remove(s.ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sandboxes, id)
	return nil
}

// Ping implements guestapi.
func (s *service) Ping(request guestapi.PingRequest, reply *time.Duration) error {
	sandbox, err := s.sandbox(request.ID)
	if err != nil {
		return err
	}
	*reply, err = sandbox.PingOnce(request.To, request.Wait)
	return err
}

// Neighbours implements guestapi.
func (s *service) Neighbours(id string, reply *[]lab.Neighbour) error {
	sandbox, err := s.sandbox(id)
	if err != nil {
		return err
	}
	*reply, err = sandbox.Neighbours(podInterface)
	return err
}
