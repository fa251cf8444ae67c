// SPDX-License-Identifier: Apache-2.0

// Package agentapi is what the plugin and the agent say to each other: one JSON request and one JSON response for each
// connection to a UNIX socket. Plain JSON, because net/http would double the size of the plugin.
package agentapi

import (
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"time"

	"github.com/macpool/macpool/internal/problem"
)

const (
	// DefaultSocket is where the agent listens. Its directory is root's alone.
	DefaultSocket = "/run/macpool/agent.sock"

	// SocketEnv overrides DefaultSocket for the plugin, where several agents share one file system.
	SocketEnv = "MACPOOL_AGENT_SOCKET"

	// DefaultStateDir holds the agent's journal, and the DELs that the plugin spools while the agent is away.
	DefaultStateDir = "/var/lib/macpool"

	// StateDirEnv overrides DefaultStateDir for the plugin.
	StateDirEnv = "MACPOOL_STATE_DIR"

	// SpoolDir is the directory under the state directory where the plugin leaves DELs while the agent is away, one
	// Request a file.
	SpoolDir = "spool"

	// MaxMessage is the size in bytes up to which either side reads, and up to which the plugin takes its stdin.
	MaxMessage = 1 << 20
)

// Time limits of a request, on both sides. STATUS must answer within 2 s whatever happens (R-C12); an ADD ends within 30 s
// (R-C8); DEL spools what it cannot do at once.
const (
	AddTimeout    = 30 * time.Second
	DelTimeout    = 10 * time.Second
	CheckTimeout  = 5 * time.Second
	StatusTimeout = 2 * time.Second
	GCTimeout     = 25 * time.Second
)

// Command is what is asked of the agent.
type Command string

// The commands. Lookup is the chained entry's ADD: it reads what the IPAM call of the same container was given. Attachments is no plugin's: it
// lists what is attached on the node, for who compares that with the API.
const (
	Add    Command = "ADD"
	Lookup Command = "LOOKUP"
	Del    Command = "DEL"
	Check  Command = "CHECK"
	Status Command = "STATUS"
	GC     Command = "GC"

	Attachments Command = "ATTACHMENTS"
)

// Request is one question.
type Request struct {
	Command     Command `json:"command"`
	ContainerID string  `json:"containerID,omitempty"`
	NetNS       string  `json:"netns,omitempty"`
	Interface   string  `json:"interface,omitempty"`
	// Network is the name of the CNI network.
	Network string `json:"network,omitempty"`
	// Pool is the MacPool that the ipam block names.
	Pool string `json:"pool,omitempty"`
	// Link is the node's link by which the network reaches the VLAN, as its configuration names it; empty if it does not (ADD).
	Link string `json:"link,omitempty"`
	// NeedsParent: the network names no such link, and whoever makes the interface needs one; the pool may name it for this node (ADD).
	NeedsParent bool `json:"needsParent,omitempty"`
	// MACAlone: whoever makes the interface can do without addresses of the lease (ADD). An older plugin cannot, and does not say so.
	MACAlone bool `json:"macAlone,omitempty"`
	// IPAM is what gives the interface its addresses instead of the lease, such as dhcp; empty if nothing does (ADD).
	IPAM string `json:"ipam,omitempty"`
	Pod  Pod    `json:"pod,omitzero"`
	Wish Wish   `json:"wish,omitzero"`
	// Valid are the attachments that the runtime calls valid (GC).
	Valid []Attachment `json:"valid,omitempty"`
	// After is the last attachment of the answer before: the next ones are wanted (ATTACHMENTS).
	After Attachment `json:"after,omitzero"`
	// Trace is the caller's place in a trace; empty if the runtime has told none.
	Trace Trace `json:"trace,omitzero"`
}

// Trace is what W3C's Trace Context calls traceparent and tracestate.
type Trace struct {
	Parent string `json:"parent,omitempty"`
	State  string `json:"state,omitempty"`
}

// Pod is the pod as the runtime names it.
type Pod struct {
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	UID       string `json:"uid,omitempty"`
}

// Wish is what the pod asks for, as it was written.
type Wish struct {
	// IPs are addresses, with or without a prefix length.
	IPs []string `json:"ips,omitempty"`
	MAC string   `json:"mac,omitempty"`
	// Claim is the name of the claim that the interface is to have, as args.cni of the network's configuration says.
	Claim string `json:"claim,omitempty"`
}

// Attachment is an interface of a container.
type Attachment struct {
	ContainerID string `json:"containerID"`
	Interface   string `json:"interface"`
}

// Response is the answer: an Error, or for ADD, LOOKUP and CHECK the Lease, for ATTACHMENTS some of what is attached.
type Response struct {
	Error    *Error     `json:"error,omitempty"`
	Lease    *Lease     `json:"lease,omitempty"`
	Attached []Attached `json:"attached,omitempty"`
	// More: there are further ones after the last.
	More bool `json:"more,omitempty"`
}

// Error is a problem of the catalogue on its way through the socket.
type Error struct {
	// CNI is the CNI error code.
	CNI uint `json:"cni"`
	// Code is the catalogue's.
	Code    string `json:"code"`
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"`
}

// Lease is what an interface gets.
type Lease struct {
	MAC string `json:"mac"`
	// IPs are none of a lease that is a MAC alone.
	IPs    []IP    `json:"ips"`
	Routes []Route `json:"routes,omitempty"`
	DNS    DNS     `json:"dns,omitzero"`
	// Parent is the link of the node that the pool names, if the request needed one.
	Parent string   `json:"parent,omitempty"`
	Name   string   `json:"name"`
	Claim  ClaimRef `json:"claim"`
	// Quiet: another pod has the address now, from which a VM migrates. The interface must not announce it.
	Quiet bool `json:"quiet,omitempty"`
}

// ClaimRef names the claim of a lease.
type ClaimRef struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// IP is an address with the prefix length of its subnet.
type IP struct {
	Address netip.Prefix `json:"address"`
	Gateway netip.Addr   `json:"gateway,omitzero"`
}

// Route is a route of the pool.
type Route struct {
	Dst netip.Prefix `json:"dst"`
	GW  netip.Addr   `json:"gw,omitzero"`
}

// DNS is the name service of the pool.
type DNS struct {
	Nameservers []string `json:"nameservers,omitempty"`
	Domain      string   `json:"domain,omitempty"`
	Search      []string `json:"search,omitempty"`
	Options     []string `json:"options,omitempty"`
}

// NewError is p for the socket; an error that is no problem of the catalogue becomes problem.Internal.
func NewError(err error) *Error {
	p := problem.As(err)
	if p == nil {
		p = problem.Internal.New(err.Error())
	}
	return &Error{CNI: p.Kind.CNI, Code: p.Kind.Code, Message: p.Message, Fix: p.Fix}
}

// ErrTooLarge is returned by Read for a message of more than MaxMessage bytes.
var ErrTooLarge = errors.New("message too large")

// Read reads one message up to the end of the stream's JSON value, at most MaxMessage bytes.
func Read(r io.Reader, v any) error {
	limited := &io.LimitedReader{R: r, N: MaxMessage + 1}
	err := json.NewDecoder(limited).Decode(v)
	if limited.N <= 0 {
		return ErrTooLarge
	}
	return err
}

// Write writes one message.
func Write(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) }
