// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/network"
	"github.com/macpool/macpool/internal/problem"
)

// maxNetworksMessage is how long a pool speaks of its networks. What does not fit is counted.
const maxNetworksMessage = 4096

// networksVerdict is what is wrong with the networks that name a pool; the zero value is nothing.
type networksVerdict struct{ reason, message string }

// judgeNetworks lints networks, sorted, that name the pool.
func judgeNetworks(pool *v1alpha1.MacPool, networks []*nadv1.NetworkAttachmentDefinition) networksVerdict {
	var reason string
	var texts []string // one of each network with a flaw
	for _, nad := range networks {
		var flaws []string
		for _, p := range network.Lint(nad, pool) {
			flaws = append(flaws, p.Error())
			if reason != "" && reason != p.Kind.Reason {
				reason = v1alpha1.PoolReasonSeveral
				continue
			}
			reason = p.Kind.Reason
		}
		if len(flaws) != 0 {
			texts = append(texts, problem.Cut(strings.Join(flaws, " "), problem.MaxNote))
		}
	}
	return networksVerdict{reason, brief(texts)}
}

// brief joins as many texts as fit, and counts the rest.
func brief(texts []string) string {
	var b strings.Builder
	for i, text := range texts {
		if i > 0 && b.Len()+len(text) > maxNetworksMessage {
			fmt.Fprintf(&b, " And %d more networks", len(texts)-i)
			break
		}
		if i > 0 {
			b.WriteString(" ")
		}
		b.WriteString(text)
	}
	return b.String()
}

// setNetworksCondition says in a pool's status what is wrong with the networks that name it, which have no status of their
// own.
func setNetworksCondition(pool *v1alpha1.MacPool, verdict networksVerdict) {
	if verdict.reason == "" {
		apimeta.RemoveStatusCondition(&pool.Status.Conditions, v1alpha1.PoolNetworksMisconfigured)
		return
	}
	apimeta.SetStatusCondition(&pool.Status.Conditions, metav1.Condition{
		Type: v1alpha1.PoolNetworksMisconfigured, Status: metav1.ConditionTrue,
		Reason: verdict.reason, Message: verdict.message, ObservedGeneration: pool.Generation,
	})
}

// verdicts remembers what was found of each pool's networks: a pool is looked at with every change of its leases, and its
// networks change seldom.
type verdicts struct {
	mu    sync.Mutex
	found map[string]foundVerdict // pool -> verdict
}

type foundVerdict struct {
	// versions tells which objects, in which versions, were judged.
	versions string
	verdict  networksVerdict
}

// of is judgeNetworks, in any order of the networks.
func (v *verdicts) of(pool *v1alpha1.MacPool, networks []nadv1.NetworkAttachmentDefinition) networksVerdict {
	sorted := make([]*nadv1.NetworkAttachmentDefinition, 0, len(networks))
	for i := range networks {
		sorted = append(sorted, &networks[i])
	}
	slices.SortFunc(sorted, func(a, b *nadv1.NetworkAttachmentDefinition) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	var b strings.Builder
	b.WriteString(string(pool.UID)) // what networks are compared with cannot change in it
	for _, nad := range sorted {
		b.WriteString(" " + string(nad.UID) + " " + nad.ResourceVersion)
	}
	versions := b.String()

	v.mu.Lock()
	defer v.mu.Unlock()
	if last := v.found[pool.Name]; last.versions == versions {
		return last.verdict
	}
	if v.found == nil {
		v.found = map[string]foundVerdict{}
	}
	verdict := judgeNetworks(pool, sorted)
	v.found[pool.Name] = foundVerdict{versions, verdict}
	return verdict
}

// forget forgets a pool that is gone.
func (v *verdicts) forget(pool string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.found, pool)
}
