// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	nadutils "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/utils"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Personality is what stands between kubelet and the plugins on a node: a container runtime, and whether it calls the plugins by
// itself or by Multus. What each does, and what it fails to do, is in the file of its name.
type Personality struct {
	Runtime RuntimeKind
	Multus  MultusKind
}

// RuntimeKind is a container runtime.
type RuntimeKind string

// MultusKind is a Multus, or none.
type MultusKind string

// The personalities' parts.
const (
	Containerd RuntimeKind = "containerd"
	CRIO       RuntimeKind = "CRI-O"

	NoMultus    MultusKind = ""
	MultusThin  MultusKind = "thin Multus"
	MultusThick MultusKind = "thick Multus"
)

func (p Personality) String() string {
	if p.Multus == NoMultus {
		return string(p.Runtime)
	}
	return string(p.Runtime) + " with " + string(p.Multus)
}

// CRI is the container runtime of a node. kubelet talks to it.
type CRI struct {
	// Personality is how it behaves.
	Personality Personality

	node  *Node
	rules runtimeRules
	multi multus // nil if it calls plugins by itself

	mu        sync.Mutex
	self      *caller                // the runtime's process; another one after each start
	sandboxes map[string]*PodSandbox // id -> what it has on its disk
	leaked    []*PodSandbox          // namespaces that are still there although it does not know them any more
	confs     map[string]string      // network -> its configuration as a file of the node
	noConfs   bool                   // these files are away
}

// runtimeRules are what distinguishes the runtimes.
type runtimeRules interface {
	// setUp attaches a new sandbox to its networks. When it fails, the runtime has cleaned up as far as it ever will.
	setUp(ctx context.Context, c *CRI, s *PodSandbox) error
	// tearDown detaches it; an error is one that kubelet sees, and tries again after.
	tearDown(ctx context.Context, c *CRI, s *PodSandbox) error
	// remembers tells whether a runtime that was killed and started again still knows the sandbox.
	remembers(s *PodSandbox) bool
	// started is what the runtime does when it has started.
	started(ctx context.Context, c *CRI) error
}

// cniNetwork is a network as the runtime sees it: one of its own configuration, or Multus, which stands for all of a pod's.
type cniNetwork interface {
	add(ctx context.Context, by *caller, s *PodSandbox) error
	check(ctx context.Context, by *caller, s *PodSandbox) error
	del(ctx context.Context, by *caller, s *PodSandbox) error
}

// NewCRI gives the node a container runtime, which runs.
func (n *Node) NewCRI(p Personality) *CRI {
	c := &CRI{
		Personality: p, node: n, self: newCaller(), sandboxes: map[string]*PodSandbox{}, confs: map[string]string{},
	}
	switch p.Runtime {
	case CRIO:
		c.rules = crio{}
	case Containerd:
		c.rules = containerd{}
	}
	switch p.Multus {
	case MultusThin:
		c.multi = &multusThin{multusCommon{node: n}}
	case MultusThick:
		c.multi = &multusThick{multusCommon: multusCommon{node: n}, daemon: newCaller()}
	case NoMultus:
	}
	return c
}

func (c *CRI) process() *caller {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.self
}

// networksOf are the networks of a sandbox, as the runtime sees them.
func (c *CRI) networksOf(s *PodSandbox) []cniNetwork {
	if c.multi != nil {
		return []cniNetwork{c.multi}
	}
	all := make([]cniNetwork, len(s.Networks))
	for i, net := range s.Networks {
		all[i] = confNetwork{net}
	}
	return all
}

// confNetwork is a network of the runtime's own configuration.
type confNetwork struct{ Network }

func (net confNetwork) call(ctx context.Context, by *caller, s *PodSandbox, command string) error {
	_, err := s.Node.call(ctx, by, s.Node.cache, Call{Command: command, Sandbox: s, Network: net.Network, NetNS: s.netnsPath()})
	return err
}

func (net confNetwork) add(ctx context.Context, by *caller, s *PodSandbox) error {
	return net.call(ctx, by, s, "ADD")
}

func (net confNetwork) check(ctx context.Context, by *caller, s *PodSandbox) error {
	if !net.hasCheck() {
		return nil
	}
	return net.call(ctx, by, s, "CHECK")
}

func (net confNetwork) del(ctx context.Context, by *caller, s *PodSandbox) error {
	return net.call(ctx, by, s, "DEL")
}

// hasCheck tells whether the network's version has CHECK: 0.4.0 and later.
func (net Network) hasCheck() bool {
	list, err := net.list()
	return err == nil && !strings.HasPrefix(list.CNIVersion, "0.1.") && !strings.HasPrefix(list.CNIVersion, "0.2.") &&
		!strings.HasPrefix(list.CNIVersion, "0.3.")
}

// errRuntimeDown is what kubelet gets from a runtime that does not run.
var errRuntimeDown = errors.New("the container runtime does not answer")

// RunPodSandbox makes a sandbox and attaches it to the pod's networks.
func (c *CRI) RunPodSandbox(ctx context.Context, pod *corev1.Pod) (*PodSandbox, error) {
	self := c.process()
	if self.isDead() {
		return nil, errRuntimeDown
	}
	nets, err := c.networks(ctx, pod)
	if err != nil {
		return nil, err
	}
	s, err := newPodSandbox(c.node, pod, nets)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.sandboxes[s.ID] = s
	c.mu.Unlock()
	s.busy.Lock()
	defer s.busy.Unlock()
	if err := c.rules.setUp(ctx, c, s); err != nil {
		return nil, err
	}
	if self.isDead() {
		return nil, errCallerKilled // the answer has gone nowhere
	}
	s.set(func(s *PodSandbox) { s.ready = s.space != nil })
	return s, nil
}

// StopPodSandbox detaches a sandbox from its networks. It may be called again and again.
func (c *CRI) StopPodSandbox(ctx context.Context, id string) error {
	if c.process().isDead() {
		return errRuntimeDown
	}
	s := c.Sandbox(id)
	if s == nil {
		return nil // unknown is stopped
	}
	s.busy.Lock()
	defer s.busy.Unlock()
	s.set(func(s *PodSandbox) { s.ready = false })
	return c.rules.tearDown(ctx, c, s)
}

// RemovePodSandbox forgets a sandbox that was stopped.
func (c *CRI) RemovePodSandbox(id string) error {
	s := c.Sandbox(id)
	if s == nil {
		return nil
	}
	if !s.is(func(s *PodSandbox) bool { return s.space == nil }) {
		return fmt.Errorf("removing sandbox %s: it was not stopped", id)
	}
	c.forget(s)
	return nil
}

func (c *CRI) forget(s *PodSandbox) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.sandboxes, s.ID)
}

// Sandbox is a sandbox that the runtime knows, or nil.
func (c *CRI) Sandbox(id string) *PodSandbox {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sandboxes[id]
}

// Sandboxes are all that it knows.
func (c *CRI) Sandboxes() []*PodSandbox {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Values(c.sandboxes))
}

// Namespaces are the sandboxes whose network namespace is there, known or not.
func (c *CRI) Namespaces() []*PodSandbox {
	c.mu.Lock()
	all := slices.Concat(slices.Collect(maps.Values(c.sandboxes)), c.leaked)
	c.mu.Unlock()
	return slices.DeleteFunc(all, func(s *PodSandbox) bool { return s.netnsPath() == "" })
}

// Of are the sandboxes of a pod that the runtime knows.
func (c *CRI) Of(uid types.UID) []*PodSandbox {
	return slices.DeleteFunc(c.Sandboxes(), func(s *PodSandbox) bool { return s.UID != uid })
}

// Kill ends the runtime with SIGKILL. The plugins that it has started, and a thin Multus, go on.
func (c *CRI) Kill() { c.process().kill() }

// Start starts the runtime again.
func (c *CRI) Start(ctx context.Context) error {
	c.mu.Lock()
	for id, s := range c.sandboxes {
		if !c.rules.remembers(s) {
			delete(c.sandboxes, id)
			c.leaked = append(c.leaked, s)
		}
	}
	c.leaked = slices.DeleteFunc(c.leaked, func(s *PodSandbox) bool { return s.netnsPath() == "" })
	c.self = newCaller()
	c.mu.Unlock()
	return c.rules.started(ctx, c)
}

// Running tells whether it was not killed.
func (c *CRI) Running() bool { return !c.process().isDead() }

// Status asks every network of the runtime's own configuration for its status, without a limit of its own: containerd does so with
// context.Background() whenever kubelet asks, CRI-O every half second until it is ready and every five seconds then. Multus hands it to
// the cluster's default network alone.
func (c *CRI) Status(ctx context.Context) error {
	if c.multi != nil {
		return nil
	}
	var errs []error
	for name, config := range c.confSnapshot() {
		errs = append(errs, c.node.statusBy(ctx, c.process(), Network{Name: name, Config: config}))
	}
	return errors.Join(errs...)
}

// StopMultus kills a Multus that is a daemon, StartMultus starts it.
func (c *CRI) StopMultus() { c.restartMultus(false) }

// StartMultus is described at StopMultus.
func (c *CRI) StartMultus() { c.restartMultus(true) }

func (c *CRI) restartMultus(running bool) {
	if c.multi != nil {
		c.multi.restart(running)
	}
}

// AgainDEL detaches a sandbox once more, whatever the runtime thinks, with an empty namespace.
func (c *CRI) AgainDEL(s *PodSandbox) error {
	var errs []error
	for _, net := range s.Networks {
		_, err := c.node.call(c.node.lab.ctx, c.node.immortal, c.node.cache, Call{Command: "DEL", Sandbox: s, Network: net})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Lose takes a sandbox away without a word to any plugin: its DEL is lost for ever (F20).
func (c *CRI) Lose(s *PodSandbox) error {
	s.busy.Lock()
	defer s.busy.Unlock()
	c.forget(s)
	return s.destroy()
}

// Leak forgets a sandbox whose namespace stays as it is, until Destroy (F34).
func (c *CRI) Leak(s *PodSandbox) {
	s.busy.Lock()
	defer s.busy.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.sandboxes, s.ID)
	c.leaked = append(c.leaked, s)
	s.set(func(s *PodSandbox) { s.ready = false })
}

// Leaked are the sandboxes that the runtime has forgotten and whose namespaces are there.
func (c *CRI) Leaked() []*PodSandbox {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.leaked), func(s *PodSandbox) bool { return s.netnsPath() == "" })
}

// LoseMultusCache removes what Multus has written down about a sandbox (M29).
func (c *CRI) LoseMultusCache(s *PodSandbox) {
	common := multusCommon{node: c.node}
	_ = os.Remove(common.cacheFile(s))
}

// LoseConfs takes the files of the node's network configuration away, or puts them back.
func (c *CRI) LoseConfs(lost bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noConfs = lost
}

func (c *CRI) confsLost() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.noConfs
}

// networks are the networks of the pod's annotation. A configuration is read once: it stands for a file on the node, or for a
// NetworkAttachmentDefinition that Multus watches.
func (c *CRI) networks(ctx context.Context, pod *corev1.Pod) ([]Network, error) {
	elements, err := nadutils.ParsePodNetworkAnnotation(pod)
	if err != nil {
		return nil, fmt.Errorf("reading the annotation of pod %s: %w", pod.Name, err)
	}
	var nets []Network
	for i, e := range elements {
		config, err := c.conf(ctx, e.Namespace, e.Name)
		if err != nil {
			return nil, err
		}
		nets = append(nets, networkOf(i, e, config))
	}
	return nets, nil
}

func (c *CRI) conf(ctx context.Context, namespace, name string) (string, error) {
	key := namespace + "/" + name
	c.mu.Lock()
	config, known := c.confs[key]
	c.mu.Unlock()
	if known {
		return config, nil
	}
	config, err := c.node.lab.networkConfig(ctx, namespace, name)
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.confs[key] = config
	return config, nil
}

// Time limits of the runtimes.
const (
	deferredDEL = time.Minute      // for cleaning up after an ADD that failed
	crioADD     = 5 * time.Minute  // beside what is left of kubelet's
	crioGC      = 30 * time.Second // at its start
)
