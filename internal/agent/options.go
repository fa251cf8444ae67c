// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"cmp"
	"errors"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/audit"
	"github.com/macpool/macpool/internal/timeline"
	"github.com/macpool/macpool/internal/tracing"
)

// Options configure an Agent. NodeName must be set; the zero value of all others means the default.
type Options struct {
	// NodeName is the node that the agent serves.
	NodeName string
	// Socket is where it listens.
	Socket string
	// StateDir holds its journal and the plugin's spool.
	StateDir string
	// FencingWindow is how long after its last contact with the API the agent may answer ADD from its caches.
	FencingWindow time.Duration
	// Version is what the node's report says about the agent.
	Version string
	// AllowedUID is the user who may use the socket: root.
	AllowedUID uint32
	// NetNSDirs are the directories in which the node's runtime keeps the network namespaces of pods.
	NetNSDirs []string
	// Clock is the clock of all waiting and judging.
	Clock clock.WithTicker
	// Log gets what the agent has to say.
	Log logr.Logger
	// Metrics registers the agent's metrics; nil for none.
	Metrics prometheus.Registerer
	// Tracer records what ADDs spend their time on; nil for nobody.
	Tracer *tracing.Tracer
	// Audit gets a record of each address that the agent gives out, and of each hold that it begins or ends; nil for none.
	Audit *audit.Log
	// Times are the agent's pace.
	Times Times
}

// Times are how often and how long the agent does what. The zero value of a field means its default.
type Times struct {
	// Heartbeat is the time between two questions to the API whose answers prove contact.
	Heartbeat time.Duration
	// Renew is the longest time between two reports of the node. Others wait for up to that long for its word.
	Renew time.Duration
	// Gate are the paces at which this node waits for the word of the others after the API server was away.
	Gate timeline.Times
	// API is how much of an ADD may be spent on the API.
	API time.Duration
	// ManagerWait is how long an ADD waits for the manager to bind the claim of a pod that is younger than ManagerAge.
	ManagerWait, ManagerAge time.Duration
	// HolderWait is how long an ADD waits for the holder of its claim, if that is a pod of this node.
	HolderWait time.Duration
	// ReadyWait is how long an ADD waits for the agent to be ready.
	ReadyWait time.Duration
	// Spool is the time between two looks at the spool.
	Spool time.Duration
	// Reap is the time between two looks at the holders of this node, ReapGrace the least time between two looks at one
	// that lead to its end.
	Reap, ReapGrace time.Duration
	// Fence is the time between two looks for interfaces whose address has moved on.
	Fence time.Duration
	// Takeover is how long a node must have been silent before its pod's address may be taken over. It is longer than the
	// FencingWindow of that node and the time between two of its reports together.
	Takeover time.Duration
	// Linger is the time between two looks for sandboxes whose pod is gone.
	Linger time.Duration
	// Node is the time between two looks at the own Node.
	Node time.Duration
	// Parents is the time between two looks at the links to the VLANs, at each of which their gateways are asked for.
	Parents time.Duration
	// ClearRetry is the longest time between two tries to clear a holder.
	ClearRetry time.Duration
	// View is how long a list of a segment's leases is used for choosing addresses, FullView how long one that says full is
	// believed.
	View, FullView time.Duration
	// MinAge protects what was attached since from the runtime's GC.
	MinAge time.Duration
}

var errNoNodeName = errors.New("the agent needs to know the name of its node")

func (o Options) withDefaults() (Options, error) {
	if o.NodeName == "" {
		return o, errNoNodeName
	}
	o.Socket = cmp.Or(o.Socket, agentapi.DefaultSocket)
	o.StateDir = cmp.Or(o.StateDir, agentapi.DefaultStateDir)
	o.FencingWindow = cmp.Or(o.FencingWindow, 20*time.Second)
	if len(o.NetNSDirs) == 0 {
		o.NetNSDirs = DefaultNetNSDirs()
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	t := &o.Times
	for field, value := range map[*time.Duration]time.Duration{
		&t.Heartbeat:   5 * time.Second,
		&t.Renew:       10 * time.Second,
		&t.API:         15 * time.Second,
		&t.ManagerWait: 300 * time.Millisecond,
		&t.ManagerAge:  2 * time.Second,
		&t.HolderWait:  10 * time.Second,
		&t.ReadyWait:   5 * time.Second,
		&t.Spool:       3 * time.Second,
		&t.Reap:        5 * time.Second,
		&t.ReapGrace:   10 * time.Second,
		&t.Fence:       2 * time.Second,
		&t.Takeover:    40 * time.Second,
		&t.Linger:      30 * time.Second,
		&t.Node:        time.Minute,
		&t.Parents:     15 * time.Second,
		&t.ClearRetry:  10 * time.Second,
		&t.View:        10 * time.Second,
		&t.FullView:    time.Second,
		&t.MinAge:      time.Minute,
	} {
		*field = cmp.Or(*field, value)
	}
	return o, nil
}
