// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/invoke"
	cnitypes "github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"
	"github.com/containernetworking/plugins/pkg/ns"
	corev1 "k8s.io/api/core/v1"
)

// Sandbox is a pod sandbox: a network namespace, and what was attached to it.
type Sandbox struct {
	// ID is the container id, as CNI knows it.
	ID string
	// Pod is the pod as it was when the sandbox was made.
	Pod *corev1.Pod
	// Node is where it is.
	Node *Node
	// Attachments are its interfaces beside lo.
	Attachments []*Attachment

	ns ns.NetNS
}

// Attachment is a network interface of a sandbox.
type Attachment struct {
	// Network is the NetworkAttachmentDefinition, namespace/name.
	Network string
	// Interface is its name in the pod.
	Interface string
	// Result is the final result of the chain, in the current version.
	Result *types100.Result
	// Raw is the same as the plugins printed it, in the network's version.
	Raw cnitypes.Result

	sandbox *Sandbox
	list    *libcni.NetworkConfigList
	rt      *libcni.RuntimeConf
}

// NewSandbox makes a sandbox for the pod without attaching anything.
func (n *Node) NewSandbox(pod *corev1.Pod) (*Sandbox, error) {
	s := &Sandbox{ID: newID(), Pod: pod, Node: n}
	var err error
	s.ns, err = newNetNS("cni-" + s.ID[:8])
	return s, err
}

// Reuse makes a sandbox for another pod in the network namespace of one that has nothing attached any more: for measurements, in which the
// kernel is not to be busy with the making and the end of namespaces.
func (s *Sandbox) Reuse(pod *corev1.Pod) *Sandbox {
	return &Sandbox{ID: newID(), Pod: pod, Node: s.Node, ns: s.ns}
}

// newID is a container id.
func newID() string {
	id := make([]byte, 32)
	_, _ = rand.Read(id) // never fails
	return hex.EncodeToString(id)
}

// NetNS is the path of the sandbox's network namespace.
func (s *Sandbox) NetNS() string { return s.ns.Path() }

// Attach does a CNI ADD of the network, as Multus has a delegate do it. A failed ADD is followed by a DEL, as runtimes do.
func (s *Sandbox) Attach(ctx context.Context, net Network) (*Attachment, error) {
	a := &Attachment{Network: net.Name, Interface: net.Interface, sandbox: s}
	var err error
	if a.list, err = net.list(); err != nil {
		return nil, err
	}
	a.rt = s.runtimeConf(net)
	add := *a.rt
	add.Args = append(add.Args, net.wishArgs()...)
	if a.Raw, err = s.Node.cni().AddNetworkList(ctx, a.list, &add); err != nil {
		// With a context of its own: the caller's may be what ended the ADD.
		del := s.Node.cni().DelNetworkList(context.WithoutCancel(ctx), a.list, a.rt)
		return nil, errors.Join(err, del)
	}
	if a.Result, err = types100.NewResultFromResult(a.Raw); err != nil {
		return nil, fmt.Errorf("converting the result of %s: %w", net.Name, err)
	}
	s.Attachments = append(s.Attachments, a)
	return a, nil
}

// runtimeConf is what a containerd node tells every plugin about the pod.
func (s *Sandbox) runtimeConf(net Network) *libcni.RuntimeConf {
	return &libcni.RuntimeConf{
		ContainerID: s.ID, NetNS: s.NetNS(), IfName: net.Interface,
		Args: [][2]string{
			{"IgnoreUnknown", "1"},
			{"K8S_POD_NAMESPACE", s.Pod.Namespace},
			{"K8S_POD_NAME", s.Pod.Name},
			{"K8S_POD_INFRA_CONTAINER_ID", s.ID},
			{"K8S_POD_UID", string(s.Pod.UID)},
		},
		CapabilityArgs: net.capabilities(),
	}
}

// Check does a CNI CHECK.
func (a *Attachment) Check(ctx context.Context) error {
	return a.sandbox.Node.cni().CheckNetworkList(ctx, a.list, a.rt)
}

// Detach does a CNI DEL.
func (a *Attachment) Detach(ctx context.Context) error {
	return a.sandbox.Node.cni().DelNetworkList(ctx, a.list, a.rt)
}

// Remove detaches all interfaces and takes the sandbox's network namespace away.
func (s *Sandbox) Remove(ctx context.Context) error {
	for _, a := range s.Attachments {
		if err := a.Detach(ctx); err != nil {
			return fmt.Errorf("detaching %s of pod %s: %w", a.Interface, s.Pod.Name, err)
		}
	}
	s.Attachments = nil
	return s.Destroy()
}

// Destroy takes the network namespace away without telling any plugin, as a power cut does.
func (s *Sandbox) Destroy() error { return removeNetNS(s.ns) }

// Status does a CNI STATUS of the network's plugins.
func (n *Node) Status(ctx context.Context, net Network) error {
	return n.statusBy(ctx, n.immortal, net)
}

// GC does a CNI GC of the network with the attachments that the runtime calls valid. What libcni itself would clean up by its
// cache is left alone: this is the call that a plugin gets from a runtime that has lost its records.
func (n *Node) GC(ctx context.Context, net Network, valid ...cnitypes.GCAttachment) error {
	return n.gcBy(ctx, n.immortal, net, valid)
}

func (n *Node) gcBy(ctx context.Context, by *caller, net Network, valid []cnitypes.GCAttachment) error {
	list, err := net.list()
	if err != nil {
		return err
	}
	empty, err := os.MkdirTemp(n.dir, "gc-")
	if err != nil {
		return fmt.Errorf("making a cache for GC: %w", err)
	}
	defer func() { _ = os.RemoveAll(empty) }()
	return n.cniCalledBy(by, empty).GCNetworkList(ctx, list, &libcni.GCArgs{ValidAttachments: valid})
}

func (n *Node) statusBy(ctx context.Context, by *caller, net Network) error {
	list, err := net.list()
	if err != nil {
		return err
	}
	return n.cniCalledBy(by, n.cache).GetStatusNetworkList(ctx, list)
}

func (n *Node) cni() *libcni.CNIConfig { return n.cniCalledBy(n.immortal, n.cache) }

// cniCalledBy is the CNI library as a process of the node uses it.
func (n *Node) cniCalledBy(by *caller, cache string) *libcni.CNIConfig {
	dirs := append([]string{n.lab.opts.Bin, n.lab.opts.CNI}, n.lab.opts.Plugins...)
	return libcni.NewCNIConfigWithCacheDir(dirs, cache, n.execBy(by))
}

// Exec executes plugins on the node, for who calls one without libcni, as a main plugin calls its IPAM.
func (n *Node) Exec() invoke.Exec { return n.execBy(n.immortal) }

func (n *Node) execBy(by *caller) *nodeExec {
	return &nodeExec{
		DefaultExec: invoke.DefaultExec{RawExec: &invoke.RawExec{}, PluginDecoder: version.PluginDecoder{}},
		node:        n, by: by,
	}
}
