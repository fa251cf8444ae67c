// SPDX-License-Identifier: Apache-2.0

// Package guestapi is what the VLAN tests say to the program on each of their machines: calls of net/rpc, over the connection
// that the program has opened. The program is the container runtime of its node and does what it is told.
package guestapi

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/rpc"
	"time"

	"github.com/macpool/macpool/e2e/lab"
)

// Service is the name of the service.
const Service = "Guest"

// Parent is a parent link of the node, as the kernel tells it: what ip -d link shows.
type Parent struct {
	Name, Kind string
	VLAN       int
	Protocol   string
	// On is the link that it is a VLAN of.
	On string
}

// Pod is what a runtime has to know of a pod.
type Pod struct {
	Namespace, Name, UID string
	Networks             []lab.Network
}

// Sandbox is a pod that is attached.
type Sandbox struct {
	ID string
	// Link is its first interface beside lo.
	Link lab.Link
	// NetworkStatus is what Multus makes of the results.
	NetworkStatus string
}

// AttachReply is a sandbox, or why there is none.
type AttachReply struct {
	Sandbox Sandbox
	// Code is the CNI code of the error.
	Code    uint
	Problem string
}

// PingRequest asks for one echo request from a sandbox.
type PingRequest struct {
	ID   string
	To   netip.Addr
	Wait time.Duration
}

// Guest is the program on a machine, as the test sees it.
type Guest struct{ client *rpc.Client }

// NewGuest speaks to the program over its connection.
func NewGuest(conn net.Conn) *Guest { return &Guest{client: rpc.NewClient(conn)} }

// none is an argument or an answer without content.
type none = struct{}

func call[T any](g *Guest, method string, request any) (T, error) {
	var reply T
	err := g.client.Call(Service+"."+method, request, &reply)
	return reply, err
}

// StartAgent starts macpool's agent and waits until it is ready.
func (g *Guest) StartAgent() error {
	_, err := call[none](g, "StartAgent", none{})
	return err
}

// AgentLog is the end of the agent's log.
func (g *Guest) AgentLog(lines int) (string, error) { return call[string](g, "AgentLog", lines) }

// Parents are the node's VLAN parents.
func (g *Guest) Parents() ([]Parent, error) { return call[[]Parent](g, "Parents", none{}) }

// ErrTryAgain is the error of an ADD that may work later (CNI code 11).
var ErrTryAgain = errors.New("it may work later")

// Attach makes a sandbox and does a CNI ADD of each network. When one fails, nothing is left.
func (g *Guest) Attach(pod Pod) (*Sandbox, error) {
	const tryAgain = 11
	reply, err := call[AttachReply](g, "Attach", pod)
	switch {
	case err != nil:
		return nil, err
	case reply.Code == tryAgain:
		return nil, fmt.Errorf("%s: %w", reply.Problem, ErrTryAgain)
	case reply.Problem != "":
		return nil, errors.New(reply.Problem)
	}
	return &reply.Sandbox, nil
}

// Check does a CNI CHECK of each network.
func (g *Guest) Check(id string) error {
	_, err := call[none](g, "Check", id)
	return err
}

// Remove does a CNI DEL of each network and takes the sandbox away.
func (g *Guest) Remove(id string) error {
	_, err := call[none](g, "Remove", id)
	return err
}

// Ping sends one echo request and waits for its reply.
func (g *Guest) Ping(id string, to netip.Addr, wait time.Duration) (time.Duration, error) {
	return call[time.Duration](g, "Ping", PingRequest{ID: id, To: to, Wait: wait})
}

// Neighbours is the sandbox's ARP and neighbour table.
func (g *Guest) Neighbours(id string) ([]lab.Neighbour, error) {
	return call[[]lab.Neighbour](g, "Neighbours", id)
}
