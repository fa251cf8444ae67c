// SPDX-License-Identifier: Apache-2.0

package network

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/macpool/macpool/internal/mac"
	"github.com/macpool/macpool/internal/problem"
)

// Who sets a MAC, and which of it counts.
//
//	plugin        by                                              when          what counts
//	main          mac, CNI_ARGS, args.cni.mac, runtimeConfig.mac  before macpool  the lease: macpool sets it over what is there
//	macpool       the lease                                       link down
//	tuning        mac, CNI_ARGS, runtimeConfig.mac, args.cni.mac  after macpool  what tuning sets
//	coordinator   podMACPrefix                                    after macpool  what it makes
//
// A pod's wish is no matter of the network: Multus writes it into CNI_ARGS whatever the capabilities, so that macpool has it
// as well, and leases that very MAC or refuses the pod; then tuning sets what is there already. So is a main plugin's
// args.cni.mac, which is a wish, of all pods. What is left are the MACs that a network has later plugins set.

// overwritten finds the plugins that set a MAC after macpool that macpool does not know of.
func (l linter) overwritten() *problem.Error {
	var culprits []string
	for _, p := range l.conf.plugins {
		switch p.kind() {
		case "tuning":
			if text := fixedByTuning(p); text != "" && !sameMAC(text, l.args.MAC) {
				culprits = append(culprits, "plugin tuning sets "+short(text))
			}
		case "coordinator":
			if prefix := read[string](p.PodMACPrefix); prefix != "" {
				culprits = append(culprits, fmt.Sprintf("plugin coordinator sets one that begins with podMACPrefix, %s", short(prefix)))
			}
		}
	}
	if len(culprits) == 0 {
		return nil
	}
	return problem.LeaseOverwritten.New(l.name, enumerate(culprits))
}

// fixedByTuning is the MAC that tuning sets for pods that ask for none. args count last, also when they are empty.
func fixedByTuning(p pluginConf) string {
	args := read[struct {
		CNI struct{ MAC *string }
	}](p.Args)
	if args.CNI.MAC != nil {
		return *args.CNI.MAC
	}
	return read[string](p.MAC)
}

// impossibleMAC finds a MAC of a main plugin's own that the kernel refuses, before macpool could set the leased one over it.
// One that is possible does no harm, nor does one of a delegate, which gets the leased MAC by a way that counts more.
func (l linter) impossibleMAC() *problem.Error {
	for _, p := range l.mains() {
		text := read[string](p.MAC)
		if kind := p.kind(); text == "" || p.delegated || kind != "macvlan" && kind != "tap" {
			continue // bridge and vlan have no such key
		}
		address, err := mac.Parse(text)
		switch {
		case err != nil || address.IsZero():
			return problem.ImpossibleMAC.New(short(text)).WithFix("%s", l.dropMAC(p.MAC, p.kind()))
		case address.IsMulticast():
			return problem.MulticastMAC.New(short(text)).WithFix("%s", l.dropMAC(p.MAC, p.kind()))
		}
	}
	return nil
}

func (l linter) dropMAC(text json.RawMessage, plugin string) string {
	return fmt.Sprintf(`Remove "mac": %s from plugin %s of network %s: every pod gets a MAC of its own with its lease.`, short(string(text)), plugin, l.name)
}

func sameMAC(a, b string) bool {
	x, errX := mac.Parse(strings.TrimSpace(a))
	y, errY := mac.Parse(strings.TrimSpace(b))
	return errX == nil && errY == nil && x == y
}
