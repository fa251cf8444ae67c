// SPDX-License-Identifier: Apache-2.0

package network

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"

	"github.com/macpool/macpool/internal/cni"
	"github.com/macpool/macpool/internal/problem"
)

// vlan compares the VLAN that a network states with its pool's. An untagged pool has none; a link whose name states none may
// be on any.
func (l linter) vlan() *problem.Error {
	if l.pool == nil || l.pool.Spec.VLAN == nil || *l.pool.Spec.VLAN == 0 {
		return nil
	}
	want := int(*l.pool.Spec.VLAN)
	for _, p := range l.mains() {
		if p.delegated && cni.NeedsMaster(p.kind(), p.raw) {
			if wrong := l.vlanOfParents(short(p.kind()), want); wrong != nil {
				return wrong
			}
			continue
		}
		stated := statedVLAN(p, want)
		if stated.vlan == 0 || stated.vlan == want {
			continue
		}
		return problem.VLANMismatch.New(l.name, stated.vlan, stated.by, short(p.kind()), l.pool.Name, want).
			WithFix("Write %s, or name a pool of VLAN %d.", stated.instead, stated.vlan)
	}
	return nil
}

// vlanOfParents compares the VLANs that the names of the pool's parents state, for a delegate that gets its master from there.
func (l linter) vlanOfParents(plugin string, want int) *problem.Error {
	for _, parent := range l.pool.Spec.Parents {
		name, err := json.Marshal(parent.Link)
		if err != nil {
			continue
		}
		if stated := statedByName("link", name, want); stated.vlan != 0 && stated.vlan != want {
			return problem.VLANMismatch.New(l.name, stated.vlan, stated.by+" of the pool's parents, which is the master", plugin, l.pool.Name, want).
				WithFix("Write %s in spec.parents of pool %s.", stated.instead, l.pool.Name)
		}
	}
	return nil
}

// statement is how a plugin's configuration says on which VLAN its interfaces are, and how it would say another one.
type statement struct {
	// vlan is 0 if none is stated.
	vlan        int
	by, instead string
}

// statedVLAN is the VLAN that a main plugin's configuration states, and how it would state another one.
func statedVLAN(p pluginConf, other int) statement {
	switch p.kind() {
	case "vlan":
		return statedByKey("vlanId", p.VLANID, other) // its master is the trunk
	case "bridge":
		if s := statedByKey("vlan", p.VLAN, other); s.vlan != 0 {
			return s // the bridge tags, whatever its name
		}
		return statedByName("bridge", p.Bridge, other)
	case "tap":
		return statedByName("bridge", p.Bridge, other)
	case "host-device":
		return statedByName("device", p.Device, other)
	default:
		return statedByName("master", p.Master, other)
	}
}

func statedByKey(key string, value json.RawMessage, other int) statement {
	vlan := read[int](value)
	if !isVLAN(vlan) {
		return statement{}
	}
	return statement{vlan: vlan, by: fmt.Sprintf("%q: %d", key, vlan), instead: fmt.Sprintf("%q: %d", key, other)}
}

// vlanName is how names of links state a VLAN: as all four schemes of the kernel do (eth0.60, eth0.0060, vlan60, vlan0060),
// and as people do (bond0.60, br-vlan60, eth0-vlan_60). macvlan0 is no VLAN, br60 and eth60 may be the sixtieth.
var vlanName = regexp.MustCompile(`(?i)(?:[^.][.]|(?:^|[^a-z])vlan[-_.]?)([0-9]{1,4})$`)

// VLANOfLink is the VLAN that the name of a link states, 0 if none.
func VLANOfLink(link string) int {
	name, err := json.Marshal(link)
	if err != nil {
		return 0
	}
	return statedByName("link", name, 0).vlan
}

func statedByName(key string, value json.RawMessage, other int) statement {
	name := read[string](value)
	match := vlanName.FindStringSubmatchIndex(name)
	if match == nil {
		return statement{}
	}
	before, digits := name[:match[2]], name[match[2]:]
	vlan, err := strconv.Atoi(digits)
	if err != nil || !isVLAN(vlan) {
		return statement{}
	}
	width := 0
	if digits[0] == '0' {
		width = len(digits)
	}
	return statement{
		vlan: vlan, by: fmt.Sprintf("%q: %q", key, short(name)), instead: fmt.Sprintf("%q: %q", key, short(fmt.Sprintf("%s%0*d", before, width, other))),
	}
}

// isVLAN tells whether 802.1Q has such a VLAN.
func isVLAN(id int) bool { return id > 0 && id <= 4094 }
