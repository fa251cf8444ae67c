// SPDX-License-Identifier: Apache-2.0

package network

import (
	"slices"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/cni"
)

// maxLinks is how many the schema of a pool takes.
const maxLinks = 8

// LinksTo are the links by which the VLAN of a pool is reached: those that it names itself, and those of its networks.
func LinksTo(pool *v1alpha1.MacPool, networks []nadv1.NetworkAttachmentDefinition) []string {
	var links []string
	for _, p := range pool.Spec.Parents {
		links = append(links, p.Link)
	}
	for _, link := range LinksOf(networks) {
		if len(links) < maxLinks { // there are no more parents than that
			links = append(links, link)
		}
	}
	slices.Sort(links)
	return slices.Compact(links)
}

// LinksOf are the links by which networks reach the VLAN of their pool.
func LinksOf(networks []nadv1.NetworkAttachmentDefinition) []string {
	var links []string
	for i := range networks {
		conf, trouble := confOf(&networks[i])
		if trouble != nil {
			continue
		}
		for _, p := range conf.plugins {
			if !p.leases() {
				continue
			}
			main := p.main()
			if link := cni.Link(main.kind(), main.raw); link != "" {
				links = append(links, link)
			}
		}
	}
	slices.Sort(links)
	links = slices.Compact(links)
	return links[:min(len(links), maxLinks)]
}
