// SPDX-License-Identifier: Apache-2.0

package export

import (
	"context"
	"fmt"
	"io"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
)

// pinnedBy takes the place of macpool's own label on a claim that it had made. With that one macpool would delete the claim again, before its workload
// is there in a cluster that is being rebuilt. A label that is left out stays, where the claim exists.
const pinnedBy = "kubectl-macpool"

// claims writes the claims with their addresses written down. In a cluster without them each workload gets the address that it has here, whatever
// is started first; where they are, they stay as they are, and become a person's.
func claims(w io.Writer, e *export) error {
	for _, r := range e.records {
		if why := e.passing(r.claim); why != "" {
			e.note("claim %s is left out: %s", r, why)
			continue
		}
		claim := &v1alpha1.MacClaim{
			TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "MacClaim"},
			ObjectMeta: metav1.ObjectMeta{Namespace: r.claim.Namespace, Name: r.claim.Name},
			Spec:       *r.claim.Spec.DeepCopy(),
		}
		if binding.IsManaged(r.claim) {
			claim.Labels = map[string]string{v1alpha1.LabelManagedBy: pinnedBy}
		}
		switch {
		case len(r.ips) == 0:
			claim.Spec.MAC = v1alpha1.MACAddress(r.mac.String())
		case len(claim.Spec.IPs) == 0: // what a claim asks for cannot be changed, only what it got be written down
			for _, ip := range r.ips {
				claim.Spec.IPs = append(claim.Spec.IPs, v1alpha1.IPAddress(ip.String()))
			}
		}
		if err := document(w, claim); err != nil {
			return fmt.Errorf("claim %s: %w", r, err)
		}
	}
	return nil
}

// passing says why a claim is not one to keep: what it was made for does not come again; "" if it is.
func (e *export) passing(claim *v1alpha1.MacClaim) string {
	switch {
	case apimeta.IsStatusConditionTrue(claim.Status.Conditions, v1alpha1.ClaimEnded):
		return "its workload is gone"
	case e.jobs[client.ObjectKeyFromObject(claim)]:
		return "it is a Job's, whose next pod has another name"
	}
	return ""
}

// findJobs learns which of the claims are of pods that are a Job's. Who may not read the pods gets these, too.
func (e *export) findJobs(ctx context.Context, c client.Client) error {
	e.jobs = map[types.NamespacedName]bool{}
	for _, r := range e.records {
		w := r.claim.Spec.Workload
		if !binding.IsManaged(r.claim) || w == nil || w.Kind != v1alpha1.WorkloadPod {
			continue
		}
		var pod corev1.Pod
		err := c.Get(ctx, types.NamespacedName{Namespace: r.claim.Namespace, Name: w.Name}, &pod)
		if client.IgnoreNotFound(err) != nil && !apierrors.IsForbidden(err) {
			return fmt.Errorf("reading pod %s/%s: %w", r.claim.Namespace, w.Name, err)
		}
		if err == nil && binding.OwnerOf(&pod).Kind == "Job" {
			e.jobs[client.ObjectKeyFromObject(r.claim)] = true
		}
	}
	return nil
}

// dnsEndpoint is what external-dns reads of a DNSEndpoint: https://kubernetes-sigs.github.io/external-dns/latest/docs/sources/crd/.
type dnsEndpoint struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec dnsEndpointSpec `json:"spec"`
}

type dnsEndpointSpec struct {
	Endpoints []dnsRecord `json:"endpoints"`
}

type dnsRecord struct {
	Name    string   `json:"dnsName"`
	Type    string   `json:"recordType"`
	Targets []string `json:"targets"`
}

// externalDNS writes a DNSEndpoint for each claim, in its namespace.
func externalDNS(w io.Writer, e *export) error {
	for _, r := range e.records {
		endpoint := &dnsEndpoint{
			TypeMeta:   metav1.TypeMeta{APIVersion: "externaldns.k8s.io/v1alpha1", Kind: "DNSEndpoint"},
			ObjectMeta: metav1.ObjectMeta{Namespace: r.claim.Namespace, Name: r.claim.Name},
		}
		for _, ip := range r.ips {
			record := dnsRecord{Name: r.fqdn(e.domain), Type: "A", Targets: []string{ip.String()}}
			if ip.Is6() {
				record.Type = "AAAA"
			}
			endpoint.Spec.Endpoints = append(endpoint.Spec.Endpoints, record)
		}
		if err := document(w, endpoint); err != nil {
			return err
		}
	}
	return nil
}

// document writes one object of a YAML stream.
func document(w io.Writer, object any) error {
	text, err := yaml.Marshal(object)
	if err != nil {
		return fmt.Errorf("writing YAML: %w", err)
	}
	_, err = w.Write(slices.Concat([]byte("---\n"), text))
	return err
}
