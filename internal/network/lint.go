// SPDX-License-Identifier: Apache-2.0

package network

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/cni"
	"github.com/macpool/macpool/internal/problem"
)

// linter is a network that names macpool, with what its flaws are told by.
type linter struct {
	name string
	conf netConf
	Network
	// pool is the pool that the network names, nil if it names none or there is none.
	pool *v1alpha1.MacPool
}

// Lint finds what is wrong with a network that names macpool, at most one problem of each kind. pool is the pool that it
// names, nil if there is none.
func Lint(nad *nadv1.NetworkAttachmentDefinition, pool *v1alpha1.MacPool) []*problem.Error {
	conf, trouble := confOf(nad)
	if trouble != nil {
		return []*problem.Error{trouble}
	}
	l := linter{name: client.ObjectKeyFromObject(nad).String(), conf: conf, Network: conf.network(), pool: pool}
	if p := l.misplaced(); p != nil {
		return []*problem.Error{p} // what it means by the rest is not known
	}
	if !l.Ours {
		return nil
	}
	var problems []*problem.Error
	for _, check := range []func(linter) *problem.Error{
		linter.noPool,          // pods are refused
		linter.unknownPool,     // pods wait
		linter.version,         // pods are refused
		linter.unsupported,     // pods are refused
		linter.macsAlone,       // pods are refused
		linter.parentUnknown,   // pods are refused
		linter.impossibleMAC,   // pods are refused, by the kernel
		linter.vlan,            // pods are on another VLAN than their addresses
		linter.secondIPAM,      // pods have addresses that nobody has leased
		linter.overwritten,     // pods have another MAC than the leased one
		linter.chainedMissing,  // pods work, and report a MAC that they do not have
		linter.ignoredSettings, // pods work, and their network says what is not so
	} {
		if p := check(l); p != nil {
			problems = append(problems, p)
		}
	}
	return problems
}

// mains are the plugins that make interfaces with a lease.
func (l linter) mains() []pluginConf {
	var mains []pluginConf
	for _, p := range l.conf.plugins {
		if p.leases() {
			mains = append(mains, p.main())
		}
	}
	return mains
}

// misplaced is as the plugin itself tells its roles apart, and whether the chained entry has something to follow.
func (l linter) misplaced() *problem.Error {
	follows := false
	for _, p := range l.conf.plugins {
		switch {
		case p.kind() != cni.Type:
			follows = follows || p.leases()
		case p.wraps():
			if wrong := l.badDelegate(p); wrong != nil {
				return wrong
			}
			follows = true
		case p.ipam() != "":
			return problem.UnknownRole.New(fmt.Sprintf("the chained entry of network %s has an ipam block, which belongs to the plugin that makes the interface", l.name))
		case !follows:
			return problem.UnknownRole.New(fmt.Sprintf("the chained entry of network %s follows no plugin that has macpool as its ipam", l.name))
		}
	}
	return nil
}

// badDelegate is what the plugin refuses of a delegate before it looks at what is in it.
func (l linter) badDelegate(p pluginConf) *problem.Error {
	main := p.main()
	named := read[struct{ Pool string }](main.IPAM).Pool
	switch {
	case p.ipam() != "":
		return problem.UnknownRole.New(fmt.Sprintf("network %s has an ipam block beside the delegate; name the pool there", l.name)).
			WithFix(`Write "type": "macpool", "pool": "NAME", "delegate": {...}.`)
	case read[map[string]json.RawMessage](p.Delegate) == nil:
		return problem.BadDelegate.New(l.name, "it is no JSON object")
	case main.kind() == "":
		return problem.BadDelegate.New(l.name, "it names no type")
	case main.kind() == cni.Type:
		return problem.BadDelegate.New(l.name, "its type is "+cni.Type)
	case main.hasOwnIPAM() && l.pool != nil && len(l.pool.Spec.Subnets) > 0:
		return problem.OwnIPAM(l.name, short(main.ipam()), l.pool.Name)
	case main.hasOwnIPAM():
		return nil // its block has its own form
	case named != "" && named != p.pool():
		return problem.BadDelegate.New(l.name, fmt.Sprintf("its ipam block names pool %s, and the network pool %s", short(named), short(p.pool())))
	default:
		return nil
	}
}

func (l linter) noPool() *problem.Error {
	if l.Pool != "" {
		return nil
	}
	missing := problem.NoPoolNamed.New(l.name)
	if slices.ContainsFunc(l.conf.plugins, pluginConf.wraps) {
		return missing.WithFix(`Write "pool": "NAME" beside the delegate.`)
	}
	return missing
}

func (l linter) unknownPool() *problem.Error {
	if l.Pool == "" || l.pool != nil {
		return nil
	}
	return problem.PoolUnknown.New(short(l.Pool)).
		WithFix("Correct the pool in the ipam block of network %s, or make it: kubectl get macpools lists those that exist.", l.name)
}

// version is by the rule of the library that runs the plugins: of several versions it takes the highest that it knows. One
// that is left out counts as 0.1.0.
func (l linter) version() *problem.Error {
	said := read[[]string](l.conf.CNIVersions)
	if one := read[string](l.conf.CNIVersion); one != "" {
		said = append(said, one)
	}
	if slices.ContainsFunc(said, func(v string) bool { return slices.Contains(cni.Versions(), v) }) {
		return nil
	}
	if len(said) == 0 {
		return problem.UnsupportedVersion.New(fmt.Sprintf("network %s says none", l.name))
	}
	return problem.UnsupportedVersion.New(fmt.Sprintf("network %s says %s", l.name, short(strings.Join(said, ", "))))
}

func (l linter) unsupported() *problem.Error {
	for _, p := range l.mains() {
		refusal := cni.Refusal
		if p.delegated {
			refusal = cni.DelegateRefusal
		}
		why, err := refusal(p.kind(), p.raw)
		if err != nil {
			return problem.BadConfig.New(fmt.Sprintf("plugin %s of network %s: %s", short(p.kind()), l.name, err)).WithCause(err)
		}
		if why != "" {
			return problem.UnsupportedMain.New(fmt.Sprintf("plugin %s of network %s", p.kind(), l.name), why)
		}
	}
	return nil
}

// macsAlone finds plugins that want addresses from a pool that has none.
func (l linter) macsAlone() *problem.Error {
	if l.pool == nil || len(l.pool.Spec.Subnets) > 0 {
		return nil
	}
	for _, p := range l.mains() {
		if p.ipam() == cni.Type {
			return problem.MACsAlone.New(l.pool.Name, l.name)
		}
	}
	return nil
}

// parentUnknown finds delegates that name no master and have a pool that names no parent. Whether a node has one that it names is the node's to
// say.
func (l linter) parentUnknown() *problem.Error {
	if l.pool == nil || len(l.pool.Spec.Parents) > 0 {
		return nil
	}
	for _, p := range l.mains() {
		if p.delegated && cni.NeedsMaster(p.kind(), p.raw) {
			return problem.ParentUnknown.New(l.name, l.pool.Name, "any node")
		}
	}
	return nil
}

// secondIPAM finds the ipam blocks beside the first. A plugin that makes no interface may not read its own, but whoever
// wrote it thought that it would.
func (l linter) secondIPAM() *problem.Error {
	var blocks []string
	for _, p := range l.conf.plugins {
		if p.wraps() {
			ipam := cni.Type
			if p.main().hasOwnIPAM() {
				ipam = short(p.main().ipam())
			}
			blocks = append(blocks, fmt.Sprintf("%s in plugin %s", ipam, short(p.main().kind())))
		} else if ipam := p.ipam(); ipam != "" {
			blocks = append(blocks, fmt.Sprintf("%s in plugin %s", short(ipam), short(p.kind())))
		}
	}
	if len(blocks) < 2 {
		return nil
	}
	return problem.SecondIPAM.New(l.name, enumerate(blocks))
}

// addressSettings are the keys by which other IPAM plugins are told what to give out: static, host-local and whereabouts.
var addressSettings = []string{
	"addresses", "exclude", "gateway", "ipRanges", "range", "rangeEnd", "rangeStart", "range_end", "range_start", "ranges", "subnet",
}

func (l linter) ignoredSettings() *problem.Error {
	var ignored []string
	for _, p := range l.mains() {
		if p.hasOwnIPAM() {
			continue
		}
		block := read[map[string]json.RawMessage](p.IPAM)
		for _, key := range addressSettings {
			if _, ok := block[key]; ok && !slices.Contains(ignored, key) {
				ignored = append(ignored, key)
			}
		}
	}
	if len(ignored) == 0 {
		return nil
	}
	return problem.IgnoredSettings.New(l.name, enumerate(ignored))
}

func (l linter) chainedMissing() *problem.Error {
	if l.Chained {
		return nil
	}
	return problem.ChainedEntryMissing.New(l.name)
}

// enumerate is a list in words.
func enumerate(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

// short keeps a text that somebody else wrote from filling a message.
func short(text string) string {
	const limit = 64
	if len(text) <= limit {
		return text
	}
	return problem.Cut(text, limit) + "…"
}
