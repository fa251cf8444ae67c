// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package realapi_test

import (
	"fmt"
	"time"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
)

// furnish makes the namespace, the pools and the networks.
func (w *world) furnish() error {
	for _, ns := range []string{loadNamespace} {
		if err := w.admin.Create(w.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}); err != nil {
			return err
		}
	}
	for _, pool := range pools() {
		if err := w.admin.Create(w.ctx, pool); err != nil {
			return err
		}
		if err := w.admin.Create(w.ctx, network(loadNamespace, pool.Name)); err != nil {
			return err
		}
	}
	return nil
}

func network(ns, pool string) *nadv1.NetworkAttachmentDefinition {
	return &nadv1.NetworkAttachmentDefinition{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: pool},
		Spec: nadv1.NetworkAttachmentDefinitionSpec{Config: fmt.Sprintf(
			`{"cniVersion": "1.0.0", "name": %q, "plugins": [{"type": "macvlan", "master": "eth0.50", "ipam": {"type": "macpool", "pool": %q}}, {"type": "macpool"}]}`,
			pool, pool)},
	}
}

// mainSize and tightSize are how many addresses the pools have.
const (
	mainSize  = 480
	tightSize = 8
)

func pools() []*v1alpha1.MacPool { return []*v1alpha1.MacPool{mainPool(), tightPool(), quickPool()} }

func mainPool() *v1alpha1.MacPool { return newPool("main", 50, "10.50.0.20", "10.50.1.243") }

func tightPool() *v1alpha1.MacPool { return newPool("tight", 51, "10.51.0.20", "10.51.0.27") }

func newPool(name string, vlan int32, start, end v1alpha1.IPAddress) *v1alpha1.MacPool {
	return &v1alpha1.MacPool{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.MacPoolSpec{
			VLAN: &vlan,
			Subnets: []v1alpha1.Subnet{{
				CIDR:   v1alpha1.CIDR(fmt.Sprintf("10.%d.0.0/16", vlan)),
				Ranges: []v1alpha1.PoolRange{{AddressRange: v1alpha1.AddressRange{Start: start, End: end}}},
			}},
			Cooldown: &metav1.Duration{Duration: cooldown},
			Retain:   &metav1.Duration{Duration: 3 * time.Second},
			History:  &metav1.Duration{Duration: 30 * time.Second},
		},
	}
}
