// SPDX-License-Identifier: Apache-2.0

package binding

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
)

// A claim that a person made is found in one of three ways, by manager and agent alike (docs/design/0003):
//
//  1. the pod names it for the interface, in its networks annotation, or the network's author does in the network's args;
//  2. its workload is the interface's;
//  3. it has the name that macpool would give to its own.
//
// The first comes before the second, and that before the third, so that both find the same one.

// annotationNetworks is the annotation by which Multus is told a pod's networks.
const annotationNetworks = "k8s.v1.cni.cncf.io/networks"

// NamedClaim is the claim that an interface of the pod is to have by its name; "" if none is named. args is what args.cni of the
// network's configuration says: for the manager the network's own, for the agent what Multus has made of it and of the pod's
// cni-args. The annotation comes first, so both come to the same.
func NamedClaim(pod *corev1.Pod, iface, args string) (string, error) {
	names, err := NamedClaims(pod)
	if err != nil {
		return "", err
	}
	name, ok := names[iface]
	if !ok {
		name = args
	}
	if name == "" {
		return "", nil
	}
	if wrong := validation.IsDNS1123Subdomain(name); len(wrong) > 0 {
		return "", problem.BadAnnotation.New(fmt.Sprintf("claim %q of interface %s is not the name of an object: %s", name, iface, wrong[0]))
	}
	return name, nil
}

// NamesClaims tells whether an annotation may name claims. One that does not need not be kept for that.
func NamesClaims(annotation string) bool {
	return strings.Contains(strings.ToLower(annotation), "claim")
}

// NamedClaims are the claims that the pod's networks annotation names: interface -> claim. What else is wrong with the annotation is for
// others to say: Multus calls nobody then.
func NamedClaims(pod *corev1.Pod) (map[string]string, error) {
	annotation := pod.Annotations[annotationNetworks]
	if !NamesClaims(annotation) {
		return nil, nil
	}
	var elements []json.RawMessage
	_ = json.Unmarshal([]byte(annotation), &elements) // none if it is not JSON: names of networks alone say nothing of claims
	names := map[string]string{}
	for i, raw := range elements {
		var element struct {
			Interface string                     `json:"interface"`
			Args      map[string]json.RawMessage `json:"cni-args"`
			Reference string                     `json:"ipam-claim-reference"`
		}
		if json.Unmarshal(raw, &element) != nil {
			continue
		}
		var claim string
		if text, ok := element.Args["claim"]; ok && json.Unmarshal(text, &claim) != nil {
			return nil, problem.BadAnnotation.New(fmt.Sprintf("cni-args of element %d: claim must be the name of a MacClaim", i+1))
		}
		switch {
		case claim == "":
			claim = element.Reference
		case element.Reference != "" && element.Reference != claim:
			return nil, problem.BadAnnotation.New(fmt.Sprintf(
				"element %d names claim %s in its cni-args and claim %s as ipam-claim-reference", i+1, claim, element.Reference))
		}
		if claim == "" {
			continue
		}
		iface := cmp.Or(element.Interface, fmt.Sprintf("net%d", i+1))
		for _, other := range slices.Sorted(maps.Keys(names)) {
			if names[other] == claim && other != iface {
				return nil, problem.BadAnnotation.New(fmt.Sprintf("interfaces %s and %s both name claim %s, which is for one", other, iface, claim))
			}
		}
		names[iface] = claim
	}
	return names, nil
}

// Chosen is the claim among claims, of one namespace, that a person has made for a workload in a pool: of several the oldest, so that
// whoever asks has the same; nil if there is none. One under deletion still is the one, until it is gone: so it is said.
func Chosen(claims []v1alpha1.MacClaim, workload v1alpha1.Workload, pool string) *v1alpha1.MacClaim {
	var chosen *v1alpha1.MacClaim
	for i := range claims {
		c := &claims[i]
		if IsManaged(c) || c.Spec.PoolRef.Name != pool || c.Spec.Workload == nil || !equality.Semantic.DeepEqual(*c.Spec.Workload, workload) {
			continue
		}
		if chosen == nil || cmp.Or(c.CreationTimestamp.Compare(chosen.CreationTimestamp.Time), cmp.Compare(c.Name, chosen.Name)) < 0 {
			chosen = c
		}
	}
	return chosen
}

// unmanaged selects the claims of people.
var unmanaged = func() labels.Selector {
	r, err := labels.NewRequirement(v1alpha1.LabelManagedBy, selection.NotEquals, []string{v1alpha1.ManagedBy})
	if err != nil {
		panic(err) // a constant
	}
	return labels.NewSelector().Add(*r)
}()

// OfPeople lists the claims of a namespace that macpool did not make: of them Chosen finds that of a workload.
func OfPeople(namespace string) []client.ListOption {
	return []client.ListOption{client.InNamespace(namespace), client.MatchingLabelsSelector{Selector: unmanaged}}
}

// FindClaim reads the claim under the name of want, which must be there and serve: a claim that is named is not made.
func (b *Binder) FindClaim(ctx context.Context, want *v1alpha1.MacClaim) (*v1alpha1.MacClaim, error) {
	claim := &v1alpha1.MacClaim{}
	if err := b.Client.Get(ctx, client.ObjectKeyFromObject(want), claim); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, problem.ClaimUnknown.New(want.Namespace, want.Name, want.Spec.Workload.Interface)
		}
		return nil, fmt.Errorf("reading claim %s: %w", client.ObjectKeyFromObject(want), err)
	}
	return claim, Serves(claim, want)
}
