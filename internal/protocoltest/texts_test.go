// SPDX-License-Identifier: Apache-2.0

//go:build property

package protocoltest

import (
	"fmt"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/memapi"
)

func claimName(p *corev1.Pod) string {
	return binding.ClaimName(binding.WorkloadOf(p, "net1"), p.Annotations[nadv1.NetworkAttachmentAnnot])
}

func (w *world) podOf(h *v1alpha1.Holder) *corev1.Pod {
	for _, p := range w.pods() {
		if p.UID == h.PodUID {
			return p
		}
	}
	return nil
}

func conditionOf(claim *v1alpha1.MacClaim, kind string) *metav1.Condition {
	return apimeta.FindStatusCondition(claim.Status.Conditions, kind)
}

func claimText(c *v1alpha1.MacClaim) string {
	if c == nil {
		return "missing"
	}
	text := fmt.Sprintf("%s/%s (%s, version %s) lease %q", c.Namespace, c.Name, c.UID, c.ResourceVersion, c.Status.LeaseName)
	if h := c.Status.Holder; h != nil {
		text += fmt.Sprintf(" held by %s (%s) on %s, generation %d", h.PodName, h.PodUID, h.NodeName, h.Generation)
	}
	for _, p := range c.Status.PreviousHolders {
		text += fmt.Sprintf("; before %s generation %d, %s", p.PodUID, p.Generation, p.Reason)
	}
	for _, condition := range c.Status.Conditions {
		text += fmt.Sprintf("; %s=%s %s", condition.Type, condition.Status, condition.Reason)
	}
	return text
}

func leaseText(l *v1alpha1.MacLease) string {
	text := fmt.Sprintf("%s (version %s) of %s (%s)", l.Name, l.ResourceVersion, identityOf(l), l.Spec.ClaimRef.UID)
	if l.Spec.NodeName != "" {
		text += " on " + l.Spec.NodeName
	}
	if l.Spec.ReleasedAt != nil {
		text += fmt.Sprintf(" released %s", l.Spec.ReleasedAt.UTC().Format("15:04:05"))
	}
	if l.Spec.ReusableAt != nil {
		text += fmt.Sprintf(" reusable %s", l.Spec.ReusableAt.UTC().Format("15:04:05"))
	}
	return text
}

// changeText is a change of the API in a line.
func changeText(e memapi.Event) string {
	object, verb := e.New, "wrote"
	switch {
	case e.Old == nil:
		verb = "made"
	case e.New == nil:
		object, verb = e.Old, "deleted"
	}
	return fmt.Sprintf("%s %s %s %s", e.By, verb, e.GVK.Kind, objectText(object))
}

func objectText(o client.Object) string {
	switch o := o.(type) {
	case *v1alpha1.MacClaim:
		return claimText(o)
	case *v1alpha1.MacLease:
		return leaseText(o)
	case *v1alpha1.MacPool:
		text := fmt.Sprintf("%s (version %s) timeline %d", o.Name, o.ResourceVersion, o.Status.Timeline)
		for _, q := range o.Status.Questions {
			text += fmt.Sprintf("; asks for %s at %s", q.LeaseName, q.AskedAt.UTC().Format("15:04:05"))
		}
		return text
	case *v1alpha1.MacNode:
		text := fmt.Sprintf("%s (version %s) timeline %d", o.Name, o.ResourceVersion, o.Status.Timeline)
		for _, a := range o.Status.Answers {
			text += fmt.Sprintf("; asked for %s of %s, %d rounds, heard %q", a.LeaseName, a.AskedAt.UTC().Format("15:04:05"), a.Rounds, a.AnsweredBy)
		}
		return text
	default:
		return client.ObjectKeyFromObject(o).String()
	}
}
