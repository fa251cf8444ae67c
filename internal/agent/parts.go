// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"net"
	"net/netip"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/internal/links"
	"github.com/macpool/macpool/internal/tracing"
	"github.com/macpool/macpool/internal/wire"
)

// Parts are what an agent touches the world with, for harnesses that run many agents and their API in one process. Client and
// NewCache must be set; the zero value of all others means what New uses.
type Parts struct {
	// Client reads live and writes. Whoever gives it tells the agent of each answer, by Answered.
	Client client.Client
	// NewCache makes the caches of what concerns the node.
	NewCache func(cache.Options) (cache.Cache, error)
	// Listen makes the listener in place of the socket. Its connections are trusted.
	Listen func(ctx context.Context) (net.Listener, error)
	// NetNSAlive tells whether there is a network namespace at a path.
	NetNSAlive func(path string) bool
	// Ask asks a VLAN whether anything uses an address.
	Ask func(ctx context.Context, link string, q wire.Query) (answeredBy string, err error)
	// HasLink tells whether the node has a link.
	HasLink func(name string) bool
	// LinkUsable tells why a link of the node cannot be asked, nil if it can.
	LinkUsable func(name string) error
	// Hear begins to listen to what others say on a link.
	Hear func(link string) (Ear, error)
	// Announce tells the VLAN of a link once that a MAC has an address; false if that is not to be done there.
	Announce func(link string, ip netip.Addr, mac string) (sent bool, err error)
	// LookAtLink looks at an interface in the network namespace at a path.
	LookAtLink func(netns, iface string) (links.State, error)
	// RemoveLink removes the interface with the MAC from the network namespace at a path.
	RemoveLink func(netns, iface, mac string) error
	// Jitter returns a duration in [0, n).
	Jitter func(n time.Duration) time.Duration
}

// Ear hears what others say on a link; *wire.Listener is one.
type Ear interface {
	// Join lets in what is asked about an IPv6 address.
	Join(ip netip.Addr) error
	// Run calls hear until Close is called, or an error.
	Run(hear func(wire.Heard)) error
	Close()
}

// NewWith makes an agent of parts.
func NewWith(parts Parts, options Options) (*Agent, error) {
	return newAgent(options, parts, func(_ *contact, nodeName string) (*cluster, error) {
		caches, err := newCaches(func() (cache.Cache, error) { return parts.NewCache(cacheOptions(nodeName)) })
		if err != nil {
			return nil, err
		}
		return &cluster{Client: parts.Client, cache: caches}, nil
	})
}

// NewOn makes an agent that talks to the API as config says, and touches the rest of the world by parts.
func NewOn(config *rest.Config, parts Parts, options Options) (*Agent, error) {
	return newAgent(options, parts, func(contact *contact, nodeName string) (*cluster, error) {
		config := rest.CopyConfig(config)
		config.Wrap(contact.Wrap)
		if options.Tracer != nil {
			config.Wrap(tracing.Wrap)
		}
		return newCluster(config, nodeName)
	})
}

// Away tells the agent that the API server was lost, and Back that it answers again; it may be behind what it was.
func (a *Agent) Away() { a.recovery.away() }

// Back is told after Away.
func (a *Agent) Back() { a.recovery.back() }

// Answered notes that the API has answered a request that was sent then.
func (a *Agent) Answered(sent time.Time) { a.contact.note(sent) }
