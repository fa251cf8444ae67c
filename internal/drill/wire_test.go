// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"fmt"
	"sync"

	"github.com/macpool/macpool/internal/agentapi"
)

// wire is the VLANs: which interfaces are up. It is the oracle: it knows what the runtimes were told and have removed, and nothing
// of what macpool believes.
type wire struct {
	mu sync.Mutex
	up map[string]*iface // netns -> the interface in it
	// complaints are what must not happen.
	complaints []string
	adds, dels int
}

type iface struct {
	pod   *pod
	lease *agentapi.Lease
}

func (w *wire) complainLocked(format string, args ...any) {
	w.complaints = append(w.complaints, fmt.Sprintf(format, args...))
}

// attach notes that an ADD was answered: the interface is up from now on.
func (w *wire) attach(p *pod, netns string, lease *agentapi.Lease) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.adds++
	for _, other := range w.up {
		switch {
		case other.pod == p && other.lease.Name != lease.Name:
			w.complainLocked("pod %s had %s and is given %s", p.key(), other.lease.Name, lease.Name)
		case other.pod != p && (other.lease.Name == lease.Name || other.lease.MAC == lease.MAC):
			w.complainLocked("duplicate: %s is given to pod %s on %s, and pod %s on %s has it",
				lease.Name, p.key(), p.node.name, other.pod.key(), other.pod.node.name)
		}
	}
	if w.up == nil {
		w.up = map[string]*iface{}
	}
	w.up[netns] = &iface{pod: p, lease: lease}
}

// detach notes that the interface is down.
func (w *wire) detach(netns string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dels++
	delete(w.up, netns)
}

// cut is the agent's removal of an interface that has lost its address.
func (w *wire) cut(n *node, netns string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if known := w.up[netns]; known != nil {
		w.complainLocked("the interface of pod %s on %s was removed", known.pod.key(), n.name)
		delete(w.up, netns)
	}
}

// interfaces are those that are up.
func (w *wire) interfaces() []iface {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []iface
	for _, i := range w.up {
		all = append(all, *i)
	}
	return all
}
