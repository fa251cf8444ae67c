// SPDX-License-Identifier: Apache-2.0

package adopt

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/cni"
	"github.com/macpool/macpool/internal/network"
)

// The IPAM plugins whose networks can be adopted.
const (
	whereabouts = "whereabouts"
	static      = "static"
)

// foreign is a network whose addresses come from another IPAM plugin, or from macpool already.
type foreign struct {
	key types.NamespacedName
	// ipam is the type of its IPAM plugin.
	ipam string
	// pool is the MacPool that it names already.
	pool string
	// wish reads what is typed for an interface of the network.
	wish func(network.Selection) network.Wish

	// vlan is that which the network states, 0 if none.
	vlan int
	// subnets are the networks that its IPAM block states, with what may be leased of them.
	subnets []v1alpha1.Subnet
	// addresses are those that a static block gives to whoever selects the network.
	addresses []string
	// config is the whole of the configuration, for the new one.
	config map[string]any
	// trouble is what is wrong with the block.
	trouble error
}

// ipamBlock is what there is in the blocks of whereabouts and static:
// https://github.com/k8snetworkplumbingwg/whereabouts/blob/master/doc/extended-configuration.md, https://www.cni.dev/plugins/current/ipam/static/.
type ipamBlock struct {
	Type string `json:"type"`

	ipamRange

	Ranges  []ipamRange `json:"ipRanges"`
	Gateway string      `json:"gateway"`

	Addresses []struct {
		Address string `json:"address"`
		Gateway string `json:"gateway"`
	} `json:"addresses"`
}

// ipamRange is a range of whereabouts: a network, or start-end/length, narrowed by the rest.
type ipamRange struct {
	Range   string   `json:"range"`
	Start   string   `json:"range_start"`
	End     string   `json:"range_end"`
	Exclude []string `json:"exclude"`
}

// foreignOf reads a network. ok is false for one of neither kind.
func foreignOf(nad *nadv1.NetworkAttachmentDefinition) (f foreign, ok bool) {
	f.key = types.NamespacedName{Namespace: nad.Namespace, Name: nad.Name}
	n, trouble := network.Of(nad)
	f.wish = n.Wish
	if trouble == nil && n.Ours {
		f.ipam, f.pool = cni.Type, n.Pool
		return f, n.Pool != ""
	}
	if json.Unmarshal([]byte(nad.Spec.Config), &f.config) != nil {
		return f, false
	}
	for _, plugin := range pluginsOf(f.config) {
		raw, err := json.Marshal(plugin)
		if err != nil {
			continue
		}
		var conf struct {
			Type   string    `json:"type"`
			IPAM   ipamBlock `json:"ipam"`
			VLANID int       `json:"vlanId"`
			VLAN   int       `json:"vlan"`
		}
		if json.Unmarshal(raw, &conf) != nil || conf.IPAM.Type != whereabouts && conf.IPAM.Type != static {
			continue
		}
		f.ipam = conf.IPAM.Type
		switch {
		case conf.Type == "vlan": // its master is the trunk
			f.vlan = conf.VLANID
		case conf.Type == "bridge" && conf.VLAN != 0: // the bridge tags, whatever its name
			f.vlan = conf.VLAN
		default:
			f.vlan = network.VLANOfLink(cni.Link(conf.Type, raw))
		}
		f.trouble = f.read(&conf.IPAM)
		return f, true
	}
	return f, false
}

// pluginsOf are the plugins of a configuration: those of the list, or the one that stands for itself.
func pluginsOf(config map[string]any) []map[string]any {
	list, ok := config["plugins"].([]any)
	if !ok {
		return []map[string]any{config}
	}
	var plugins []map[string]any
	for _, p := range list {
		if plugin, ok := p.(map[string]any); ok {
			plugins = append(plugins, plugin)
		}
	}
	return plugins
}

func (f *foreign) read(block *ipamBlock) error {
	for _, a := range block.Addresses {
		f.addresses = append(f.addresses, a.Address)
		if prefix, err := netip.ParsePrefix(a.Address); err == nil {
			s := typed(prefix)
			s.Gateway = v1alpha1.IPAddress(a.Gateway)
			f.addSubnet(s)
		}
	}
	if block.Type != whereabouts {
		return nil
	}
	ranges := block.Ranges
	if block.Range != "" {
		ranges = append([]ipamRange{block.ipamRange}, ranges...)
	}
	for _, r := range ranges {
		subnet, err := r.subnet()
		if err != nil {
			return err
		}
		if gateway, err := netip.ParseAddr(block.Gateway); err == nil && netip.MustParsePrefix(string(subnet.CIDR)).Contains(gateway) {
			subnet.Gateway = v1alpha1.IPAddress(gateway.String())
		}
		if !f.addSubnet(subnet) {
			return fmt.Errorf("it has two ranges of one family, %s and another one: make a network and a pool for each", subnet.CIDR)
		}
	}
	return nil
}

// addSubnet adds a subnet, or what it adds to one of the same network; false if there is another network of its family.
func (f *foreign) addSubnet(s v1alpha1.Subnet) bool {
	for i := range f.subnets {
		have := &f.subnets[i]
		if have.CIDR == s.CIDR {
			merge(have, s)
			return true
		}
		if is4(have.CIDR) == is4(s.CIDR) {
			return false
		}
	}
	f.subnets = append(f.subnets, s)
	return true
}

// merge adds to a subnet what another network leases of it. One without ranges leases all of it.
func merge(to *v1alpha1.Subnet, s v1alpha1.Subnet) {
	if to.Gateway == "" {
		to.Gateway = s.Gateway
	}
	switch {
	case len(to.Ranges) == 0 || len(s.Ranges) == 0:
		to.Ranges = nil
	default:
		for _, r := range s.Ranges {
			if !slices.Contains(to.Ranges, r) {
				to.Ranges = append(to.Ranges, r)
			}
		}
	}
	for _, r := range s.Exclude {
		if !slices.Contains(to.Exclude, r) {
			to.Exclude = append(to.Exclude, r)
		}
	}
}

// typed is the subnet of an address that somebody typed, which nobody gets without asking for it.
func typed(prefix netip.Prefix) v1alpha1.Subnet {
	only := v1alpha1.PoolRange{AddressRange: v1alpha1.AddressRange{Start: v1alpha1.IPAddress(prefix.Addr().String())}, ExplicitOnly: true}
	return v1alpha1.Subnet{CIDR: cidr(prefix), Ranges: []v1alpha1.PoolRange{only}}
}

func cidr(prefix netip.Prefix) v1alpha1.CIDR { return v1alpha1.CIDR(prefix.Masked().String()) }

func is4(c v1alpha1.CIDR) bool { return !strings.Contains(string(c), ":") }

// subnet is the range as a pool's.
func (r ipamRange) subnet() (v1alpha1.Subnet, error) {
	text, start, end := r.Range, r.Start, r.End
	if from, to, ok := strings.Cut(text, "-"); ok {
		_, length, _ := strings.Cut(to, "/")
		start, end, text = from, strings.TrimSuffix(to, "/"+length), from+"/"+length
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return v1alpha1.Subnet{}, fmt.Errorf("its range %q is none", r.Range)
	}
	prefix = prefix.Masked()
	subnet := v1alpha1.Subnet{CIDR: cidr(prefix)}
	if start != "" || end != "" {
		bounds := v1alpha1.AddressRange{Start: v1alpha1.IPAddress(prefix.Addr().Next().String()), End: v1alpha1.IPAddress(usable(prefix).String())}
		for text, bound := range map[string]*v1alpha1.IPAddress{start: &bounds.Start, end: &bounds.End} {
			if text == "" {
				continue
			}
			ip, err := netip.ParseAddr(text)
			if err != nil || !prefix.Contains(ip) {
				return v1alpha1.Subnet{}, fmt.Errorf("its range %s begins or ends at %q, which is no address of it", r.Range, text)
			}
			*bound = v1alpha1.IPAddress(ip.String())
		}
		if start == end {
			bounds.Start = bounds.End
		}
		subnet.Ranges = []v1alpha1.PoolRange{{AddressRange: bounds}}
	}
	for _, text := range r.Exclude {
		excluded, err := netip.ParsePrefix(text)
		if ip, ipErr := netip.ParseAddr(text); err != nil && ipErr == nil {
			excluded, err = netip.PrefixFrom(ip, ip.BitLen()), nil
		}
		if err != nil || !prefix.Overlaps(excluded) {
			continue // it takes nothing away
		}
		if excluded.Bits() < prefix.Bits() {
			excluded = prefix
		}
		subnet.Exclude = append(subnet.Exclude, v1alpha1.AddressRange{
			Start: v1alpha1.IPAddress(excluded.Masked().Addr().String()), End: v1alpha1.IPAddress(last(excluded).String()),
		})
	}
	return subnet, nil
}

// last is the last address of a network, usable the last that a host may have.
func last(p netip.Prefix) netip.Addr {
	octets := p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < len(octets)*8; bit++ {
		octets[bit/8] |= 1 << (7 - bit%8)
	}
	addr, _ := netip.AddrFromSlice(octets) // it has the length of an address
	return addr
}

func usable(p netip.Prefix) netip.Addr {
	if p.Addr().Is4() {
		return last(p).Prev()
	}
	return last(p)
}

// proposal is the configuration with the pool in the place of the IPAM block. Of that only routes and dns remain: addresses and gateways are the pool's.
func (f *foreign) proposal(pool string) (string, error) {
	text, err := json.Marshal(f.config)
	if err != nil {
		return "", fmt.Errorf("writing network %s: %w", f.key, err)
	}
	var config map[string]any
	if err := json.Unmarshal(text, &config); err != nil {
		return "", fmt.Errorf("writing network %s: %w", f.key, err)
	}
	plugins, ok := config["plugins"].([]any)
	if !ok {
		// A single plugin becomes a list, since the chained entry needs a place.
		plugin := config
		config = map[string]any{"name": f.key.Name}
		for _, key := range []string{"cniVersion", "name", "disableCheck"} {
			if value, ok := plugin[key]; ok {
				config[key] = value
				delete(plugin, key)
			}
		}
		plugins = []any{plugin}
	}
	for _, p := range plugins {
		plugin, _ := p.(map[string]any)
		old, _ := plugin["ipam"].(map[string]any)
		if old["type"] != f.ipam {
			continue
		}
		block := map[string]any{"type": cni.Type, "pool": pool}
		for _, key := range []string{"routes", "dns"} {
			if value, ok := old[key]; ok {
				block[key] = value
			}
		}
		plugin["ipam"] = block
		break
	}
	config["plugins"] = append(plugins, map[string]any{"type": cni.Type})
	text, err = json.MarshalIndent(config, "", "  ")
	return string(text), err
}
