// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"errors"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/guard"
	"github.com/macpool/macpool/internal/installer/report"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) metav1.Time { return metav1.NewTime(noon.Add(-d)) }

const system = "macpool-system"

func labelled(component string) map[string]string {
	return map[string]string{labelName: "macpool", labelComponent: component}
}

// healthy is a cluster of two nodes in which nothing is wrong, with one workload on VLAN 50.
func healthy() *state {
	s := &state{
		version: "v0.1.0", now: noon, unread: map[string]error{}, installers: map[string]inspection{}, silent: map[string]time.Duration{}, offsets: map[string]time.Duration{},
		refusal: errors.New("ValidatingAdmissionPolicy 'macpool-mac-annotation' denied request: MP101: MAC 01:00:00:00:00:01 is a multicast address"),
	}
	for _, kind := range ownKinds() {
		s.customKinds.Items = append(s.customKinds.Items, *kind.DeepCopy())
	}
	s.customKinds.Items = append(s.customKinds.Items,
		apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: networkResource + ".k8s.cni.cncf.io"}})
	for i := range s.customKinds.Items {
		s.customKinds.Items[i].Status.Conditions = []apiextensionsv1.CustomResourceDefinitionCondition{
			{Type: apiextensionsv1.Established, Status: apiextensionsv1.ConditionTrue},
		}
	}
	for _, policy := range guard.Policies() {
		s.policies.Items = append(s.policies.Items, *policy.DeepCopy())
	}
	for _, binding := range guard.Bindings() {
		s.bindings.Items = append(s.bindings.Items, *binding.DeepCopy())
	}

	image := func(name string) corev1.PodTemplateSpec {
		return corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: name, Image: "ghcr.io/macpool/macpool-" + name + ":v0.1.0"}}}}
	}
	s.deployments.Items = []appsv1.Deployment{{
		ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: "macpool-manager", Labels: labelled("manager")},
		Spec:       appsv1.DeploymentSpec{Replicas: new(int32(2)), Template: image("manager")},
		Status:     appsv1.DeploymentStatus{ReadyReplicas: 2},
	}, {
		ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: "hub"},
		Spec: appsv1.DeploymentSpec{Replicas: new(int32(1)), Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{
			Annotations: map[string]string{nadv1.NetworkAttachmentAnnot: `[{"name": "iot", "ips": ["192.168.50.8"]}]`},
		}}},
	}}
	s.daemonSets.Items = []appsv1.DaemonSet{{
		ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: "macpool-agent", Labels: labelled("agent")},
		Spec:       appsv1.DaemonSetSpec{Template: image("agent")},
	}}
	s.configMaps.Items = []corev1.ConfigMap{{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "cilium-config"}, Data: map[string]string{"cni-exclusive": "false"},
	}}
	for _, node := range []string{"n1", "n2"} {
		s.nodes.Items = append(s.nodes.Items, corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node, Labels: map[string]string{corev1.LabelOSStable: "linux"}}})
		s.pods.Items = append(s.pods.Items, corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: "macpool-agent-" + node, Labels: labelled("agent"), OwnerReferences: ownedBy("DaemonSet", "macpool-agent")},
			Spec:       corev1.PodSpec{NodeName: node, InitContainers: []corev1.Container{{Name: installerContainer}}},
			Status:     corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
		})
		s.macNodes.Items = append(s.macNodes.Items, v1alpha1.MacNode{
			ObjectMeta: metav1.ObjectMeta{Name: node},
			Status: v1alpha1.MacNodeStatus{
				AgentVersion: "v0.1.0 0123456789ab", RenewTime: metav1.NewMicroTime(noon.Add(-5 * time.Second)), Epoch: 7,
				Parents: []v1alpha1.NodeParent{{PoolName: "iot", Link: "eth0.50", State: v1alpha1.ParentReady}},
			},
		})
		s.installers[node] = inspection{Node: report.Node{
			Socket: true,
			Directories: []report.Directory{{
				Dir: "/opt/cni/bin", Source: "/etc/containerd/config.toml", Own: report.Current, Plugins: []string{"bridge", "macpool", "macvlan", "tuning"},
			}},
			Multus: []report.Configuration{{File: "/etc/cni/net.d/00-multus.conf"}},
		}}
	}
	s.networks.Items = []nadv1.NetworkAttachmentDefinition{networkOf("iot", "eth0.50", "iot")}
	s.pools.Items = []v1alpha1.MacPool{{
		ObjectMeta: metav1.ObjectMeta{Name: "iot"},
		Spec:       v1alpha1.MacPoolSpec{VLAN: new(int32(50)), Subnets: []v1alpha1.Subnet{{CIDR: "192.168.50.0/24"}}, Parents: []v1alpha1.Parent{{Link: "eth0.50"}}},
		Status: v1alpha1.MacPoolStatus{
			Segment: "vlan-50", Capacity: new(int64(253)), Available: new(int64(252)),
			Conditions: []metav1.Condition{{Type: v1alpha1.PoolReady, Status: metav1.ConditionTrue, Reason: v1alpha1.PoolReasonValid}},
		},
	}}
	s.claims.Items = []v1alpha1.MacClaim{{
		ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: "hub", UID: "claim-1", CreationTimestamp: ago(time.Hour)},
		Status: v1alpha1.MacClaimStatus{
			LeaseName:  "vlan-50.192.168.50.8",
			Conditions: []metav1.Condition{{Type: v1alpha1.ClaimReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ClaimReasonBound}},
		},
	}}
	s.leases.Items = []v1alpha1.MacLease{{
		ObjectMeta: metav1.ObjectMeta{Name: "vlan-50.192.168.50.8"},
		Spec: v1alpha1.MacLeaseSpec{
			PoolName: "iot", MAC: "02:32:00:a8:32:08", IPs: []v1alpha1.IPAddress{"192.168.50.8"},
			ClaimRef: v1alpha1.ClaimRef{Namespace: "home", Name: "hub", UID: "claim-1"}, LeasedAt: ago(time.Hour),
		},
	}}
	return s
}

func ownedBy(kind, name string) []metav1.OwnerReference {
	return []metav1.OwnerReference{{Kind: kind, Name: name, UID: types.UID(name), Controller: new(true)}}
}

// networkOf is a network of macvlan with macpool in home.
func networkOf(name, master, pool string) nadv1.NetworkAttachmentDefinition {
	return nadv1.NetworkAttachmentDefinition{
		ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: name},
		Spec: nadv1.NetworkAttachmentDefinitionSpec{Config: `{"cniVersion": "1.0.0", "name": "` + name + `", "plugins": [
			{"type": "macvlan", "master": "` + master + `", "ipam": {"type": "macpool", "pool": "` + pool + `"}}, {"type": "macpool"}]}`},
	}
}
