// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// PodSandbox is what a runtime remembers of a sandbox; it survives a power cut, its network namespace does not.
type PodSandbox struct {
	// ID is the container id, as CNI knows it.
	ID string
	// Namespace, Name and UID are the pod's.
	Namespace, Name string
	UID             types.UID
	// Networks are the pod's as they were when it was made.
	Networks []Network
	// Node is where it is.
	Node *Node

	path string // of the network namespace

	mu sync.Mutex
	// space is nil when the namespace is gone.
	space  ns.NetNS
	handle *netlink.Handle // into it
	// ready: the runtime has told kubelet that it runs.
	ready bool
	// result: an ADD of it has succeeded, and the runtime has the result.
	result bool
	// stopped: its network was torn down, or the runtime thinks so.
	stopped bool
	busy    sync.Mutex // held by whoever sets it up or tears it down
}

func newPodSandbox(n *Node, pod *corev1.Pod, nets []Network) (*PodSandbox, error) {
	id := make([]byte, 32)
	_, _ = rand.Read(id) // never fails
	s := &PodSandbox{ID: hex.EncodeToString(id), Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, Networks: nets, Node: n}
	var err error
	if s.space, err = newNetNS("cni-" + s.ID[:16]); err != nil {
		return nil, err
	}
	s.path = s.space.Path()
	if s.handle, err = netlink.NewHandleAt(netns.NsHandle(int(s.space.Fd())), unix.NETLINK_ROUTE); err != nil {
		return nil, errors.Join(fmt.Errorf("opening netlink in %s: %w", s.path, err), removeNetNS(s.space))
	}
	return s, nil
}

// netnsPath is what the runtime says in CNI_NETNS: nothing when the namespace is closed, as it is after a reboot.
func (s *PodSandbox) netnsPath() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.space == nil {
		return ""
	}
	return s.path
}

// Ready tells whether the runtime calls it ready.
func (s *PodSandbox) Ready() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ready
}

func (s *PodSandbox) set(change func(*PodSandbox)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *PodSandbox) is(what func(*PodSandbox) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return what(s)
}

// Interface is an interface of a sandbox as the kernel has it.
type Interface struct {
	Name, MAC string
	Up        bool
	// IPs are its addresses, without link-local ones.
	IPs []netip.Addr
}

// Interfaces are those of the sandbox, without lo; none when its namespace is gone. It costs two dumps and no thread.
func (s *PodSandbox) Interfaces() ([]Interface, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.space == nil {
		return nil, nil
	}
	links, err := s.handle.LinkList()
	if err != nil {
		return nil, fmt.Errorf("listing the links of %s: %w", s.path, err)
	}
	var all []Interface
	index := map[int]int{} // of the link -> in all
	for _, l := range links {
		a := l.Attrs()
		if a.Flags&net.FlagLoopback != 0 {
			continue
		}
		index[a.Index] = len(all)
		all = append(all, Interface{Name: a.Name, MAC: a.HardwareAddr.String(), Up: a.Flags&net.FlagUp != 0})
	}
	if len(all) == 0 {
		return nil, nil
	}
	addrs, err := s.handle.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("listing the addresses of %s: %w", s.path, err)
	}
	for _, a := range addrs {
		i, known := index[a.LinkIndex]
		ip, ok := netip.AddrFromSlice(a.IP)
		if ip = ip.Unmap(); known && ok && !ip.IsLinkLocalUnicast() {
			all[i].IPs = append(all[i].IPs, ip)
		}
	}
	return all, nil
}

// SetDown sets an interface of the sandbox down.
func (s *PodSandbox) SetDown(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.space == nil {
		return fmt.Errorf("%s is gone", s.path)
	}
	link, err := s.handle.LinkByName(name)
	if err != nil {
		return fmt.Errorf("looking up %s: %w", name, err)
	}
	return s.handle.LinkSetDown(link)
}

// Destroy takes the namespace of a sandbox away that was leaked.
func (s *PodSandbox) Destroy() error { return s.destroy() }

// destroy takes the namespace away without telling any plugin. Its links go first, one by one: the kernel removes a namespace some
// time after its last user went, and a runtime's is gone when it says so.
func (s *PodSandbox) destroy() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.space == nil {
		return nil
	}
	links, err := s.handle.LinkList()
	errs := []error{err}
	for _, l := range links {
		if l.Attrs().Flags&net.FlagLoopback == 0 {
			if err := s.handle.LinkDel(l); err != nil && !errors.Is(err, unix.ENODEV) {
				errs = append(errs, fmt.Errorf("removing %s: %w", l.Attrs().Name, err))
			}
		}
	}
	s.handle.Close()
	errs = append(errs, removeNetNS(s.space))
	s.space, s.handle = nil, nil
	s.ready = false
	s.Node.lab.gone(s)
	return errors.Join(errs...)
}
