// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
)

type claim struct {
	Namespace  string      `json:"namespace"`
	Name       string      `json:"name"`
	Pool       string      `json:"pool"`
	Created    time.Time   `json:"created"`
	Ready      bool        `json:"ready"`
	Conditions []condition `json:"conditions"`
	// Address names the claim's lease on the map.
	Address   string   `json:"address,omitempty"`
	Prefix    string   `json:"prefix,omitempty"`
	MAC       string   `json:"mac,omitempty"`
	IPs       []string `json:"ips"`
	Wish      string   `json:"wish,omitempty"`
	Workload  string   `json:"workload,omitempty"`
	Holder    *holder  `json:"holder,omitempty"`
	Alternate *holder  `json:"alternate,omitempty"`
	Previous  []past   `json:"previous"`
}

type holder struct {
	Pod       string    `json:"pod"`
	Node      string    `json:"node"`
	Interface string    `json:"interface,omitempty"`
	Since     time.Time `json:"since"`
}

type past struct {
	Pod      string             `json:"pod"`
	Node     string             `json:"node"`
	Since    time.Time          `json:"since"`
	Until    time.Time          `json:"until"`
	Reason   v1alpha1.EndReason `json:"reason,omitempty"`
	Evidence string             `json:"evidence,omitempty"`
}

// condition is one that says something is not as it should be.
type condition struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
	Wrong   bool   `json:"wrong"`
	link
}

// claim is all of a claim, as it is now.
func (s *server) claim(r *http.Request) (any, error) {
	a, err := s.asked(r)
	if err != nil {
		return nil, err
	}
	namespace, name := r.FormValue("namespace"), r.FormValue("name")
	c := a.Claim(namespace, name)
	if c == nil {
		return nil, &refusal{http.StatusNotFound, fmt.Sprintf("there is no claim %s/%s: if there was, the history of its address says who had it", namespace, name)}
	}
	answer := claim{
		Namespace: c.Namespace, Name: c.Name, Pool: c.Spec.PoolRef.Name, Created: c.CreationTimestamp.Time,
		Ready:      apimeta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ClaimReady),
		Conditions: amiss(c.Status.Conditions, v1alpha1.ClaimReady),
		Address:    firstOf(c), MAC: c.Status.MAC, IPs: append([]string{}, c.Status.IPs...),
		Wish: wish(c), Holder: holderOf(c.Status.Holder), Alternate: holderOf(c.Status.Alternate), Previous: []past{},
	}
	if w := c.Spec.Workload; w != nil {
		subject, _ := binding.Subject(*w)
		answer.Workload = fmt.Sprintf("%s %s, %s", w.Kind, subject, w.Interface)
	}
	if pool := a.Pool(answer.Pool); pool != nil && pool.Plan != nil {
		answer.Prefix = sectionOf(pool, answer.Address)
	}
	for _, p := range c.Status.PreviousHolders {
		answer.Previous = append(answer.Previous, past{p.PodName, p.NodeName, p.Since.Time, p.Until.Time, p.Reason, p.Evidence})
	}
	return answer, nil
}

// firstOf is the address by which the map has the claim: that after which its lease is named.
func firstOf(c *v1alpha1.MacClaim) string {
	if len(c.Status.IPs) == 0 {
		return c.Status.MAC
	}
	return c.Status.IPs[0]
}

func wish(c *v1alpha1.MacClaim) string {
	var words []string
	for _, ip := range c.Spec.IPs {
		words = append(words, string(ip))
	}
	if c.Spec.MAC != "" {
		words = append(words, string(c.Spec.MAC))
	}
	return strings.Join(words, ", ")
}

func holderOf(h *v1alpha1.Holder) *holder {
	if h == nil {
		return nil
	}
	return &holder{Pod: h.PodName, Node: h.NodeName, Interface: h.Interface, Since: h.Since.Time}
}

// amiss are the conditions that are not as they should be: the one that should be true and is not, and all others that are there.
func amiss(conditions []metav1.Condition, good string) []condition {
	wrong := []condition{}
	for _, c := range conditions {
		if (c.Type == good) == (c.Status == metav1.ConditionTrue) {
			continue
		}
		wrong = append(wrong, condition{Reason: c.Reason, Message: c.Message, Wrong: c.Type == good, link: linkOf(c.Message, c.Reason)})
	}
	return wrong
}
