// SPDX-License-Identifier: Apache-2.0

package invariants

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
)

// World is one reading. The leases were read first, then the claims, then all else: evidence must be newer than what it is held against (R-G2).
type World struct {
	Now        time.Time
	Leases     []v1alpha1.MacLease
	Claims     []v1alpha1.MacClaim
	Pools      []v1alpha1.MacPool
	Reports    []v1alpha1.MacNode
	Pods       []corev1.Pod
	Nodes      []corev1.Node
	Namespaces []corev1.Namespace
	// Agents are what agents have attached: node -> interfaces. A node that is missing could not be asked.
	Agents map[string][]agentapi.Attached
}

// How long a violation must last, by what would mend it.
const (
	// settleWrite is longer than two writes that belong together are apart.
	settleWrite = 5 * time.Second
	// settleFence is longer than an agent takes to remove an interface whose address has moved on (R-G7), and than two of its reports are apart.
	settleFence = 25 * time.Second
	// settleRepair is longer than the manager takes to see that nobody needs something, and to release it.
	settleRepair = 80 * time.Second
)

// Violation is something that must not be.
type Violation struct {
	// Invariant is the id, such as I1.
	Invariant string `json:"invariant"`
	// Sentence says what is wrong, without a final period.
	Sentence string `json:"sentence"`
	// Fix says what to do.
	Fix string `json:"fix"`
	// Objects are what it is about.
	Objects []Object `json:"objects"`
	// Settle is for how long it must be seen, unchanged, before it counts.
	Settle time.Duration `json:"-"`

	key string
}

// Same tells whether two readings show the same: the same sentence of objects that nobody has written since.
func (v *Violation) Same(other *Violation) bool { return v.key == other.key }

// Object names an object of the API.
type Object struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// Findings are what a reading shows.
type Findings struct {
	Violations []Violation
	// Remarks say what could not be judged, and why.
	Remarks []string
}

func (f *Findings) add(invariant string, settle time.Duration, objects []client.Object, sentence, fix string) {
	v := Violation{Invariant: invariant, Sentence: sentence, Fix: fix, Settle: settle, key: invariant + " " + sentence}
	for _, o := range objects {
		ref := Object{Kind: kindOf(o), Namespace: o.GetNamespace(), Name: o.GetName()}
		v.Objects = append(v.Objects, ref)
		v.key += " " + string(o.GetUID())
		// Others are written all the time, by kubelets and agents that have nothing to say about this.
		switch o.(type) {
		case *v1alpha1.MacLease, *v1alpha1.MacClaim:
			v.key += "@" + o.GetResourceVersion()
		}
	}
	f.Violations = append(f.Violations, v)
}

func kindOf(o client.Object) string {
	switch o.(type) {
	case *v1alpha1.MacLease:
		return "MacLease"
	case *v1alpha1.MacClaim:
		return "MacClaim"
	case *v1alpha1.MacPool:
		return "MacPool"
	case *v1alpha1.MacNode:
		return "MacNode"
	default:
		return "Pod"
	}
}

// keyOf is the claim that a lease names.
func keyOf(ref v1alpha1.ClaimRef) types.NamespacedName {
	return types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}
}
