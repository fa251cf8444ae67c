// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

// silentFor is how old the last report of an agent is when it is taken for silent. It is by two clocks, and so no more than a hint.
const silentFor = 2 * time.Minute

// judge tells what is wrong. The most particular comes first: the claim, what was said to the pod, the pool, the node.
func judge(in *evidence) *answer {
	a := &answer{Namespace: in.key.Namespace, Name: in.key.Name, Kind: "MacClaim", Interfaces: []iface{}, Findings: []finding{}}
	claims := []*v1alpha1.MacClaim{in.snapshot.Claim(in.key.Namespace, in.key.Name)}
	var node string
	if in.pod != nil {
		a.Kind, a.PodPhase, node = "Pod", in.pod.Status.Phase, in.pod.Spec.NodeName
		claims = claimsOf(in)
	}
	attached := in.pod != nil && len(claims) > 0
	for _, claim := range claims {
		i := interfaceOf(in, claim)
		a.Interfaces = append(a.Interfaces, i)
		attached = attached && i.Held
		a.ofClaim(claim)
		if node == "" && claim.Status.Holder != nil {
			node = claim.Status.Holder.NodeName
		}
	}
	if !attached || in.pod.Status.Phase == corev1.PodPending {
		a.ofEvents(in)
	}
	for _, p := range in.networks {
		a.add(p.Kind, "", "networks of the pod", p.Sentence())
	}
	for _, claim := range claims {
		a.ofPool(in, claim, attached)
		a.ofParent(in, claim, node)
	}
	if len(claims) > 0 {
		a.ofAgent(in, node)
	}
	if in.pod != nil {
		a.remark(in.pod, len(claims))
	}
	return a
}

// claimsOf are the claims of a pod: those that it holds, else those of its workload that it may get, and those that its annotation names.
func claimsOf(in *evidence) []*v1alpha1.MacClaim {
	uid := binding.PodUID(in.pod)
	named, _ := binding.NamedClaims(in.pod) // what is wrong with the annotation is told by an event
	want := binding.WorkloadOf(in.pod, "")
	held := map[string]bool{}
	var claims, waiting []*v1alpha1.MacClaim
	for _, claim := range in.snapshot.ClaimsIn(in.key.Namespace) {
		w := claim.Spec.Workload
		switch {
		case binding.HolderOf(claim, uid) != nil:
			claims = append(claims, claim)
			held[binding.HolderOf(claim, uid).Interface] = true
		case slices.Contains(slices.Collect(maps.Values(named)), claim.Name):
			waiting = append(waiting, claim)
		case w != nil && w.Kind == want.Kind && w.Name == want.Name && (binding.Alike(*w) || ptr.Equal(w.Ordinal, want.Ordinal)) && w.Node == want.Node:
			waiting = append(waiting, claim)
		}
	}
	for _, claim := range waiting {
		w := claim.Spec.Workload
		alike := w != nil && binding.Alike(*w)
		if w != nil && held[w.Interface] || alike && claim.Status.Holder != nil {
			continue // another replica's
		}
		claims = append(claims, claim)
		if alike {
			held[w.Interface] = true // of several one is enough
		}
	}
	return claims
}

// ofClaim tells what the claim's conditions say.
func (a *answer) ofClaim(claim *v1alpha1.MacClaim) {
	about := "claim " + claim.Name
	if ready := apimeta.FindStatusCondition(claim.Status.Conditions, v1alpha1.ClaimReady); ready != nil && ready.Status == metav1.ConditionFalse {
		a.add(kindOf(ready.Reason), ready.Reason, about, ready.Message)
	}
	if suspect := apimeta.FindStatusCondition(claim.Status.Conditions, v1alpha1.ClaimSuspect); suspect != nil && suspect.Status == metav1.ConditionTrue {
		a.add(problem.HolderSuspect, "", about, suspect.Message)
	}
	if !claim.DeletionTimestamp.IsZero() {
		a.add(problem.ClaimDeleting, "", about, problem.ClaimDeleting.New(claim.Namespace, claim.Name).Sentence())
	}
}

// code is how the catalogue's entries begin in texts.
var code = regexp.MustCompile(`\bMP[0-9]{3}\b`)

// ofEvents tells what was said to the pod or claim last, once for each entry of the catalogue.
func (a *answer) ofEvents(in *evidence) {
	events := slices.Clone(in.events)
	slices.SortStableFunc(events, func(x, y corev1.Event) int { return eventTime(&y).Compare(eventTime(&x)) })
	for i := range events {
		e := &events[i]
		if e.Type != corev1.EventTypeWarning || in.pod != nil && e.InvolvedObject.Kind == "Pod" && e.InvolvedObject.UID != in.pod.UID {
			continue
		}
		kind, text := kindOf(e.Reason), e.Message
		if at := code.FindStringIndex(e.Message); at != nil {
			kind = kindOfCode(e.Message[at[0]:at[1]])
			text = strings.TrimPrefix(e.Message[at[1]:], ": ")
		}
		if kind != nil {
			a.add(kind, "", "event of "+strings.ToLower(e.InvolvedObject.Kind)+" "+e.InvolvedObject.Name, text)
		}
	}
}

func eventTime(e *corev1.Event) time.Time {
	latest := e.LastTimestamp.Time
	for _, t := range []time.Time{e.EventTime.Time, e.CreationTimestamp.Time} {
		if t.After(latest) {
			latest = t
		}
	}
	if e.Series != nil && e.Series.LastObservedTime.After(latest) {
		latest = e.Series.LastObservedTime.Time
	}
	return latest
}

// ofPool tells what keeps the claim's pool from giving addresses out, or from taking them back.
func (a *answer) ofPool(in *evidence, claim *v1alpha1.MacClaim, attached bool) {
	name := claim.Spec.PoolRef.Name
	pool := in.snapshot.Pool(name)
	if pool == nil {
		a.add(problem.PoolUnknown, "", "pool "+name, problem.PoolUnknown.New(name).Sentence())
		return
	}
	bound := claim.Status.LeaseName != ""
	for _, c := range pool.Status.Conditions {
		is := c.Status == metav1.ConditionTrue
		switch {
		case c.Type == v1alpha1.PoolReady && c.Status == metav1.ConditionFalse && !bound:
			a.add(problem.PoolNotReady, "", "pool "+name, problem.PoolNotReady.New(name, c.Message).Sentence())
		case c.Type == v1alpha1.PoolAllocationPaused && is && !attached:
			a.add(problem.AllocationPaused, "", "pool "+name, c.Message)
		case c.Type == v1alpha1.PoolReleasesPaused && is && !bound:
			a.add(problem.ReleasesPaused, "", "pool "+name, c.Message)
		}
	}
}

// ofParent tells that the node does not reach the VLAN.
func (a *answer) ofParent(in *evidence, claim *v1alpha1.MacClaim, node string) {
	report := in.snapshot.Node(node)
	if report == nil {
		return
	}
	for _, p := range report.Status.Parents {
		if p.PoolName != claim.Spec.PoolRef.Name {
			continue
		}
		switch p.State {
		case v1alpha1.ParentMissing:
			a.add(problem.ParentMissing, "", "node "+node, problem.ParentMissing.New(p.Link, node, p.PoolName).Sentence())
		case v1alpha1.ParentDown, v1alpha1.ParentSilent:
			what := "link " + p.Link + " of node " + node + " is down or has no carrier"
			if p.State == v1alpha1.ParentSilent {
				what = "a gateway of pool " + p.PoolName + " does not answer on link " + p.Link + " of node " + node
			}
			a.add(problem.ParentNotReady, "", "node "+node, what+". "+problem.ParentNotReady.Fix)
		case v1alpha1.ParentReady:
		}
	}
}

// ofAgent tells that the node's agent is not heard of.
func (a *answer) ofAgent(in *evidence, node string) {
	if node == "" {
		return
	}
	what := "the agent of node " + node + " has never reported"
	if report := in.snapshot.Node(node); report != nil {
		age := in.snapshot.Time.Sub(report.Status.RenewTime.Time)
		if age < silentFor {
			return
		}
		what = fmt.Sprintf("the agent of node %s has not reported for %s", node, age.Truncate(time.Second))
	}
	a.add(problem.AgentUnreachable, "", "node "+node, what+". "+problem.AgentUnreachable.Fix)
}

// remark says what is no fault of anything here.
func (a *answer) remark(pod *corev1.Pod, claims int) {
	switch {
	case pod.Annotations[nadv1.NetworkAttachmentAnnot] == "":
		a.Remarks = append(a.Remarks, "the pod has no annotation "+nadv1.NetworkAttachmentAnnot+": it asks for no address of macpool")
	case pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed:
		a.Remarks = append(a.Remarks, "the pod has finished")
	case pod.Spec.NodeName == "":
		a.Remarks = append(a.Remarks, "the pod is on no node yet: kubectl describe pod -n "+pod.Namespace+" "+pod.Name+" shows what its scheduling waits for")
	case claims == 0 && len(a.Findings) == 0:
		a.Remarks = append(a.Remarks, "no claim is the pod's: see that its networks name a pool of macpool, and that the manager runs")
	}
}

// kindOf is the entry of the catalogue with this reason; nil if there is none.
func kindOf(reason string) *problem.Kind {
	return findKind(func(k *problem.Kind) bool { return k.Reason == reason })
}

func kindOfCode(code string) *problem.Kind {
	return findKind(func(k *problem.Kind) bool { return k.Code == code })
}

func findKind(is func(*problem.Kind) bool) *problem.Kind {
	if i := slices.IndexFunc(problem.Kinds(), is); i >= 0 {
		return problem.Kinds()[i]
	}
	return nil
}
