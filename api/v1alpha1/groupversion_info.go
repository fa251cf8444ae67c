// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 is the macpool.dev/v1alpha1 API: MacPool says which addresses a VLAN may use, MacClaim says who wants
// one, MacLease records who has one, and MacNode is what the agent of a node reports.
//
// +kubebuilder:object:generate=true
// +groupName=macpool.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	// GroupVersion is the group and version of the kinds in this package.
	GroupVersion = schema.GroupVersion{Group: "macpool.dev", Version: "v1alpha1"}

	// SchemeBuilder collects the kinds of this package.
	SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme adds the kinds of this package to a scheme.
	AddToScheme = SchemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&MacPool{}, &MacPoolList{},
		&MacClaim{}, &MacClaimList{},
		&MacLease{}, &MacLeaseList{},
		&MacNode{}, &MacNodeList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}

const (
	// LabelSegment is on every MacLease: the segment in which its address is unique. It is the first part of the name
	// too; as a label it lets a node agent list one segment, metadata only.
	LabelSegment = "macpool.dev/segment"

	// LabelIdentity is on every MacLease: a hash of the namespace and the name of its claim. A claim made again under the
	// same name finds by it the lease of its predecessor, and an attempt that was cut off finds what it made.
	LabelIdentity = "macpool.dev/identity"

	// LabelManagedBy has the value ManagedBy on claims that macpool made for a pod. Others belong to people.
	LabelManagedBy = "app.kubernetes.io/managed-by"

	// LabelNodePrefix begins the labels of a Node that are macpool's; the rest is the name of a pool whose VLAN the node reaches. The value
	// is NodeReady.
	LabelNodePrefix = "macpool.dev/"

	// NodeReady is the value of a Node's label for a pool.
	NodeReady = "ready"

	// LabelIPAMClaim is on MacClaims that macpool made because of an IPAMClaim of the same name, with which they end. Its value says
	// nothing.
	LabelIPAMClaim = "macpool.dev/ipam-claim"

	// ManagedBy is the value of LabelManagedBy.
	ManagedBy = "macpool"

	// AnnotationForceRelease on a MacClaim takes the claim from its holder, without any evidence that the holder's
	// interface is gone. Its value is the reason, which goes into the history; macpool removes it when that is done. Only
	// who has the verb force-release on MacLeases may set it.
	AnnotationForceRelease = "macpool.dev/force-release"

	// AnnotationForceReleaseUpTo is set by macpool when it has read AnnotationForceRelease: the generation of the holder that is meant.
	// A holder that comes after it is not.
	AnnotationForceReleaseUpTo = "macpool.dev/force-release-up-to"

	// AnnotationReleases on a MacPool with the value ReleasesResumed lets the releases go on that ReleasesPaused holds
	// back.
	AnnotationReleases = "macpool.dev/releases"

	// AnnotationPolicyProbe on an object that is written as a dry run names the admission policy that must refuse it. The manager asks so
	// whether the policy is in force.
	AnnotationPolicyProbe = "macpool.dev/policy-probe"

	// GateLease is a scheduling gate that people put into a pod's template: the pod is not scheduled until the claims of its interfaces
	// are bound. macpool removes it.
	GateLease = "macpool.dev/lease"

	// ReleasesResumed is the value of AnnotationReleases.
	ReleasesResumed = "resumed"
)
