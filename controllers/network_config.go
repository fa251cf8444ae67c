// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"encoding/json"
	"strings"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"

	"github.com/macpool/macpool/internal/problem"
)

// pluginType is the CNI type by which networks name macpool.
const pluginType = "macpool"

// network is what macpool reads of a NetworkAttachmentDefinition.
type network struct {
	// Ours: a plugin of the network names macpool as its ipam. The rest means something only then.
	Ours bool
	// Pool is the MacPool that the ipam block names, empty if it names none.
	Pool string
	// Chained: a macpool entry follows the plugin that names it as ipam.
	Chained bool

	// args is the wish that the network's author wrote; ipsCapability and macCapability say which part of a pod's wish
	// reaches the plugin as runtimeConfig.
	args                         wishText
	ipsCapability, macCapability bool
}

// pluginConf is a plugin's configuration, each part by itself: others' plugins may write into their own what they like.
type pluginConf struct {
	Type         json.RawMessage `json:"type"`
	IPAM         json.RawMessage `json:"ipam"`
	Capabilities json.RawMessage `json:"capabilities"`
	Args         json.RawMessage `json:"args"`
}

// networkOf reads a network's configuration, a plugin's or a list of them. BadConfig is returned only for one that speaks
// of macpool: what is wrong with others is not ours to say.
func networkOf(nad *nadv1.NetworkAttachmentDefinition) (network, *problem.Error) {
	var list struct {
		pluginConf

		Plugins []pluginConf `json:"plugins"`
	}
	if err := json.Unmarshal([]byte(nad.Spec.Config), &list); err != nil {
		if strings.Contains(nad.Spec.Config, pluginType) {
			return network{}, problem.BadConfig.New(err.Error()).WithCause(err)
		}
		return network{}, nil
	}
	plugins := list.Plugins
	if len(plugins) == 0 {
		plugins = []pluginConf{list.pluginConf}
	}
	var n network
	for _, p := range plugins {
		switch {
		case n.Ours:
			n.Chained = n.Chained || read[string](p.Type) == pluginType
		case read[struct{ Type string }](p.IPAM).Type == pluginType:
			n.Ours = true
			n.Pool = read[struct{ Pool string }](p.IPAM).Pool
			n.args = read[struct{ CNI wishText }](p.Args).CNI
			capabilities := read[map[string]bool](p.Capabilities)
			n.ipsCapability, n.macCapability = capabilities["ips"], capabilities["mac"]
		}
	}
	return n, nil
}

// read is a part of a configuration, zero if it is of another form.
func read[T any](part json.RawMessage) T {
	var value T
	if err := json.Unmarshal(part, &value); err != nil {
		var zero T
		return zero
	}
	return value
}

// wish is what the plugin will be asked for when a pod selects the network: runtimeConfig counts before args, and those before CNI_ARGS,
// addresses and MAC each for itself. Multus puts cni-args over the network's own args, and an element's ips and mac into
// CNI_ARGS, and into runtimeConfig where the plugin has the capability.
func (n network) wish(s selection) wishText {
	w := s.Direct
	if n.ipsCapability && len(w.IPs) != 0 {
		// Nothing counts before them.
	} else if args := firstOf(s.Args.IPs, n.args.IPs); len(args) != 0 {
		w.IPs = args
	}
	if n.macCapability && w.MAC != "" {
		return w
	}
	for _, mac := range []string{s.Args.MAC, n.args.MAC} {
		if mac != "" {
			w.MAC = mac
			break
		}
	}
	return w
}

func firstOf(lists ...[]string) []string {
	for _, list := range lists {
		if len(list) != 0 {
			return list
		}
	}
	return nil
}
