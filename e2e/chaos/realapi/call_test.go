// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package realapi_test

import (
	"encoding/json"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/e2e/chaos/faultproxy"
	"github.com/macpool/macpool/internal/agentapi"
)

// call is an ADD that has not been answered. What becomes of its caller can be decided at a moment of the agent's work.
type call struct {
	slot *slot
	pod  *corev1.Pod
	box  *sandbox

	mu   sync.Mutex
	conn net.Conn
	// dropped: nobody waits for the answer, and the DEL has been sent. gone: the pod's object is gone.
	dropped, gone bool
	done          bool
}

// hangUp is the end of the plugin.
func (c *call) hangUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropped = true
	if c.conn != nil {
		_ = c.conn.Close()
	}
}

// overtake sends the container's DEL while its ADD is on its way.
func (c *call) overtake() {
	c.mu.Lock()
	c.dropped = true
	c.mu.Unlock()
	c.box.down()
	_ = c.box.node.del(c.box.request(agentapi.Del, c.pod, c.slot.pool))
}

// deletePod deletes the pod's object.
func (c *call) deletePod() {
	c.mu.Lock()
	c.gone = true
	c.mu.Unlock()
	_ = c.slot.w.admin.Delete(c.slot.w.ctx, c.pod.DeepCopy(), client.GracePeriodSeconds(0), client.Preconditions{UID: &c.pod.UID})
}

// finish ends the call, and tells what has become of it.
func (c *call) finish() (dropped, gone bool) {
	w := c.slot.w
	w.mu.Lock()
	delete(w.calls, c.pod.Namespace+"/"+c.pod.Name)
	w.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done = true
	return c.dropped, c.gone
}

// newCall enters an ADD.
func (s *slot) newCall(box *sandbox) *call {
	c := &call{slot: s, pod: s.pod, box: box}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if s.w.calls == nil {
		s.w.calls = map[string]*call{}
	}
	s.w.calls[s.pod.Namespace+"/"+s.pod.Name] = c
	return c
}

// callOf is the ADD for which an agent makes a request; nil if it is for none.
func (w *world) callOf(r *faultproxy.Request) *call {
	pod := podOf(r)
	if pod == "" {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.calls[pod]
	if c == nil || c.box.node.name != r.Client {
		return nil
	}
	return c
}

// withCall does something to the ADD of a request, unless it is over.
func (w *world) withCall(r *faultproxy.Request, do func(*call)) bool {
	c := w.callOf(r)
	if c == nil {
		return false
	}
	c.mu.Lock()
	done := c.done
	c.mu.Unlock()
	if done {
		return false
	}
	do(c)
	return true
}

// podOf is the pod, namespace/name, that a request is about. Claims are named after pods, leases name claims.
func podOf(r *faultproxy.Request) string {
	var body struct {
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
		Spec struct {
			ClaimRef struct {
				Namespace string `json:"namespace"`
				Name      string `json:"name"`
			} `json:"claimRef"`
		} `json:"spec"`
	}
	namespace, name := r.Namespace, r.Name
	if len(r.Body) > 0 && (name == "" || r.Resource == "macleases") {
		_ = json.Unmarshal(r.Body, &body)
	}
	switch r.Resource {
	case "pods":
		return namespace + "/" + name
	case "macclaims", "macclaims/status":
		if name == "" {
			name = body.Metadata.Name
		}
	case "macleases":
		namespace, name = body.Spec.ClaimRef.Namespace, body.Spec.ClaimRef.Name
	default:
		return ""
	}
	pod, _, _ := strings.Cut(name, ".")
	return namespace + "/" + pod
}

// excludeOf takes the very address of a lease that is being made from its pool, and gives it back a little later.
func (w *world) excludeOf(r *faultproxy.Request) bool {
	var body struct {
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
	}
	if r.Resource != "macleases" || json.Unmarshal(r.Body, &body) != nil {
		return false
	}
	segment, text, _ := strings.Cut(body.Metadata.Name, ".")
	if _, err := netip.ParseAddr(text); err != nil || segment != "vlan-50" {
		return false
	}
	set := func(exclude []v1alpha1.AddressRange) error {
		pool := &v1alpha1.MacPool{}
		if err := w.admin.Get(w.ctx, client.ObjectKey{Name: "main"}, pool); err != nil {
			return err
		}
		pool.Spec.Subnets[0].Exclude = exclude
		return w.admin.Update(w.ctx, pool)
	}
	if set([]v1alpha1.AddressRange{{Start: v1alpha1.IPAddress(text)}}) != nil {
		return false
	}
	w.background.Go(func() {
		w.pause(2 * time.Second)
		w.must("editing a pool", func() error { return set(nil) })
	})
	return true
}
