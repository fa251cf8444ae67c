// SPDX-License-Identifier: Apache-2.0

// Package farm is the laboratory with many nodes, and what sections that bind and attach by the hundreds have in common: pools, networks, pods,
// sandboxes, and IPAM calls without an interface's rest.
package farm

import (
	"context"
	"fmt"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/lab"
)

// Farm is a cluster with nodes.
type Farm struct {
	*lab.Lab

	// Watch is a client that can watch, too.
	Watch client.WithWatch

	pools int
}

// New starts the manager and that many nodes, each with its agent.
func New(ctx context.Context, l *lab.Lab, prefix string, nodes int) (*Farm, error) {
	f := &Farm{Lab: l}
	var err error
	if f.Watch, err = l.API.WatchClient(); err != nil {
		return nil, err
	}
	if err := l.StartManager(ctx); err != nil {
		return nil, err
	}
	for i := range nodes {
		if _, err := l.AddNode(ctx, fmt.Sprintf("%s-%d", prefix, i)); err != nil {
			return nil, err
		}
	}
	return f, f.Each(ctx, parallelStarts, (*lab.Node).StartAgent)
}

// parallelStarts is how many agents start at once where nothing is measured.
const parallelStarts = 8

// Each does something with every node, with that many at a time.
func (f *Farm) Each(ctx context.Context, limit int, do func(n *lab.Node, ctx context.Context) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(limit)
	for _, n := range f.Nodes {
		group.Go(func() error { return do(n, ctx) })
	}
	return group.Wait()
}

// Pool is a pool with a segment of its own, and a namespace with the network net, which leads to it; all of one name.
type Pool struct {
	Name      string
	Addresses int

	farm   *Farm
	octet  int
	object *v1alpha1.MacPool
}

// Pool makes a pool of exactly that many addresses, and waits until the manager has found it good.
func (f *Farm) Pool(ctx context.Context, name string, addresses int) (*Pool, error) {
	f.pools++
	p := &Pool{Name: name, Addresses: addresses, farm: f, octet: f.pools}
	first := 256
	last := first + addresses - 1
	p.object = &v1alpha1.MacPool{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.MacPoolSpec{
			VLAN: new(int32(p.octet)), //nolint:gosec // there are few
			Subnets: []v1alpha1.Subnet{{
				CIDR: v1alpha1.CIDR(fmt.Sprintf("10.%d.0.0/16", p.octet)),
				Ranges: []v1alpha1.PoolRange{{AddressRange: v1alpha1.AddressRange{
					Start: v1alpha1.IPAddress(fmt.Sprintf("10.%d.%d.%d", p.octet, first/256, first%256)),
					End:   v1alpha1.IPAddress(fmt.Sprintf("10.%d.%d.%d", p.octet, last/256, last%256)),
				}}},
			}},
		},
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := f.Client.Create(ctx, ns); err != nil {
		return nil, fmt.Errorf("creating namespace %s: %w", name, err)
	}
	if err := f.Client.Create(ctx, p.object); err != nil {
		return nil, fmt.Errorf("creating pool %s: %w", name, err)
	}
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		if err := f.Client.Get(ctx, client.ObjectKeyFromObject(p.object), p.object); err != nil {
			return false, err
		}
		return apimeta.IsStatusConditionTrue(p.object.Status.Conditions, v1alpha1.PoolReady), nil
	})
	if err != nil {
		return nil, fmt.Errorf("waiting for pool %s: %w", name, err)
	}
	return p, p.Network(ctx, "net")
}

// Object is the pool as it was when it was found good.
func (p *Pool) Object() *v1alpha1.MacPool { return p.object }

// Network makes a network that leads to the pool.
func (p *Pool) Network(ctx context.Context, name string) error {
	nad := &nadv1.NetworkAttachmentDefinition{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.Name, Name: name},
		Spec:       nadv1.NetworkAttachmentDefinitionSpec{Config: string(p.Conf())},
	}
	if err := p.farm.Client.Create(ctx, nad); err != nil {
		return fmt.Errorf("creating network %s of pool %s: %w", name, p.Name, err)
	}
	return nil
}

// Conf is the configuration of the network, as its plugin gets it. It names no link: IPAM calls alone set no interface up, and the agent
// would wait for it, to announce it there.
func (p *Pool) Conf() []byte {
	return fmt.Appendf(nil, `{"cniVersion":"1.1.0","name":"net","type":"macvlan","mode":"bridge","ipam":{"type":"macpool","pool":%q}}`,
		p.Name)
}

// StaticConf is a configuration of the same form, by which the static plugin gives the i-th address.
func (p *Pool) StaticConf(i int) []byte {
	return fmt.Appendf(nil, `{"cniVersion":"1.1.0","name":"net","type":"macvlan","mode":"bridge","ipam":{"type":"static","addresses":[{"address":"10.%d.%d.%d/16"}]}}`,
		p.octet, 1+i/256, i%256)
}
