// SPDX-License-Identifier: Apache-2.0

package network

import (
	"encoding/json"
	"slices"
	"strings"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"

	"github.com/macpool/macpool/internal/cni"
	"github.com/macpool/macpool/internal/problem"
)

// Network is what macpool reads of a NetworkAttachmentDefinition.
type Network struct {
	// Ours: a plugin of the network names macpool as its ipam, or is macpool and has a delegate. The rest means something only then.
	Ours bool
	// Pool is the MacPool that the ipam block names, or that stands beside the delegate, empty if none does.
	Pool string
	// Chained: a macpool entry follows the plugin that names it as ipam. A wrapper needs none.
	Chained bool

	// Claim is the claim that the network's author names for all pods that select it.
	Claim string
	// args is the wish that the network's author wrote; ipsCapability and macCapability say which part of a pod's wish
	// reaches the plugin as runtimeConfig.
	args                         Wish
	ipsCapability, macCapability bool
}

// pluginConf is a plugin's configuration, each part by itself: others' plugins may write into their own what they like.
type pluginConf struct {
	Type         json.RawMessage `json:"type"`
	IPAM         json.RawMessage `json:"ipam"`
	Capabilities json.RawMessage `json:"capabilities"`
	Args         json.RawMessage `json:"args"`

	// What only lint reads, the keys of several plugins.
	Master       json.RawMessage `json:"master"`
	Bridge       json.RawMessage `json:"bridge"`
	Device       json.RawMessage `json:"device"`
	VLANID       json.RawMessage `json:"vlanId"`
	VLAN         json.RawMessage `json:"vlan"`
	MAC          json.RawMessage `json:"mac"`
	PodMACPrefix json.RawMessage `json:"podMACPrefix"`
	Delegate     json.RawMessage `json:"delegate"`
	Pool         json.RawMessage `json:"pool"`

	// raw is all of it.
	raw json.RawMessage
	// delegated: the plugin is one that macpool runs.
	delegated bool
}

// kind is the CNI type of the plugin.
func (p pluginConf) kind() string { return read[string](p.Type) }

// ipam is the CNI type of the plugin's IPAM, empty if it has none.
func (p pluginConf) ipam() string { return read[struct{ Type string }](p.IPAM).Type }

// wraps tells whether the plugin is macpool, and runs another one that makes the interface.
func (p pluginConf) wraps() bool { return p.kind() == cni.Type && len(p.Delegate) != 0 }

// hasOwnIPAM tells whether a delegate names another IPAM plugin than macpool.
func (p pluginConf) hasOwnIPAM() bool { return p.delegated && p.ipam() != "" && p.ipam() != cni.Type }

// leases tells whether the interface that the plugin makes, or has made, gets a lease.
func (p pluginConf) leases() bool { return p.wraps() || p.kind() != cni.Type && p.ipam() == cni.Type }

// main is the plugin that makes the interface: itself, or its delegate.
func (p pluginConf) main() pluginConf {
	if !p.wraps() {
		return p
	}
	main := read[pluginConf](p.Delegate)
	main.raw, main.delegated = p.Delegate, true
	return main
}

// pool is the pool that the plugin names, where its form has it.
func (p pluginConf) pool() string {
	if p.wraps() {
		return read[string](p.Pool)
	}
	return read[struct{ Pool string }](p.IPAM).Pool
}

// wish is what the network's author asks for in the plugin's args.
func (p pluginConf) wish() Wish { return read[struct{ CNI Wish }](p.Args).CNI }

// claim is the claim that the network's author names in the plugin's args.
func (p pluginConf) claim() string {
	return read[struct{ CNI struct{ Claim string } }](p.Args).CNI.Claim
}

// netConf is a network's configuration, a plugin's or a list of them.
type netConf struct {
	Name        json.RawMessage `json:"name"`
	CNIVersion  json.RawMessage `json:"cniVersion"`
	CNIVersions json.RawMessage `json:"cniVersions"`

	// plugins are those of the list, or the one that stands for itself.
	plugins []pluginConf
}

// NameOf is how a network's configuration calls it, empty if it cannot be read.
func NameOf(nad *nadv1.NetworkAttachmentDefinition) string {
	conf, _ := confOf(nad)
	return read[string](conf.Name)
}

// PluginsOf are the CNI types that a node needs for a network: its plugins, their IPAM, and what macpool runs for it. Sorted.
func PluginsOf(nad *nadv1.NetworkAttachmentDefinition) []string {
	conf, _ := confOf(nad)
	var types []string
	for _, p := range conf.plugins {
		types = append(types, p.kind(), p.ipam(), p.main().kind(), p.main().ipam())
	}
	slices.Sort(types)
	return slices.DeleteFunc(slices.Compact(types), func(s string) bool { return s == "" })
}

// confOf reads a network's configuration. BadConfig is returned only for one that speaks of macpool: what is wrong with
// others is not ours to say.
func confOf(nad *nadv1.NetworkAttachmentDefinition) (netConf, *problem.Error) {
	conf, err := parseConf([]byte(nad.Spec.Config))
	switch {
	case err == nil:
		return conf, nil
	case strings.Contains(nad.Spec.Config, cni.Type):
		return netConf{}, problem.BadConfig.New(err.Error()).WithCause(err)
	default:
		return netConf{}, nil
	}
}

func parseConf(config []byte) (netConf, error) {
	var list struct {
		netConf

		Plugins []json.RawMessage `json:"plugins"`
	}
	if err := json.Unmarshal(config, &list); err != nil {
		return netConf{}, err
	}
	if len(list.Plugins) == 0 {
		list.Plugins = []json.RawMessage{config}
	}
	conf := list.netConf
	for _, raw := range list.Plugins {
		p := pluginConf{raw: raw}
		if err := json.Unmarshal(raw, &p); err != nil {
			return netConf{}, err
		}
		conf.plugins = append(conf.plugins, p)
	}
	return conf, nil
}

// Of reads what macpool needs of a network to serve it; the trouble is that of confOf.
func Of(nad *nadv1.NetworkAttachmentDefinition) (Network, *problem.Error) {
	conf, trouble := confOf(nad)
	return conf.network(), trouble
}

// network is what the first plugin makes of it whose interface gets a lease.
func (c netConf) network() Network {
	var n Network
	for _, p := range c.plugins {
		switch {
		case n.Ours:
			n.Chained = n.Chained || p.kind() == cni.Type
		case p.leases():
			n.Ours, n.Chained = true, p.wraps()
			n.Pool = p.pool()
			n.args, n.Claim = p.wish(), p.claim()
			capabilities := read[map[string]bool](p.Capabilities)
			n.ipsCapability, n.macCapability = capabilities["ips"], capabilities["mac"]
		}
	}
	return n
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

// Wish is what the plugin will be asked for when a pod selects the network: runtimeConfig counts before args, and those before CNI_ARGS,
// addresses and MAC each for itself. Multus puts cni-args over the network's own args, and an element's ips and mac into
// CNI_ARGS, and into runtimeConfig where the plugin has the capability.
func (n Network) Wish(s Selection) Wish {
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
