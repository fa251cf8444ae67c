// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/macpool/macpool/internal/mac"
)

// Query is what a person asks about: an IP, a MAC, or an object, which is a pod or a claim. One of them is set.
type Query struct {
	IP     netip.Addr
	MAC    mac.Addr
	Object types.NamespacedName
}

// String is the question as macpool would write it.
func (q Query) String() string {
	switch {
	case q.IP.IsValid():
		return q.IP.String()
	case !q.MAC.IsZero():
		return q.MAC.String()
	}
	return q.Object.String()
}

// ParseQuery reads a question: an IP of either family in any spelling, with a prefix length or not; a MAC in any case, with colons, hyphens or
// dots; namespace/name, or a name alone, which is looked for in namespace.
func ParseQuery(text, namespace string) (Query, error) {
	text = strings.TrimSpace(text)
	if ip, ok := parseIP(text); ok {
		return Query{IP: ip}, nil
	}
	if m, err := mac.Parse(text); err == nil {
		if m.IsZero() {
			return Query{}, fmt.Errorf("MAC %s is no interface's: write one such as 02:32:00:a8:32:08", m)
		}
		return Query{MAC: m}, nil
	}
	switch {
	case strings.Contains(text, ":"):
		return Query{}, fmt.Errorf("%q is neither an IP nor a MAC: write 192.168.50.8, fd00:50::8 or 02:32:00:a8:32:08", text)
	case text != "" && strings.Trim(text, "0123456789./") == "":
		return Query{}, fmt.Errorf("%q is not an IP: write one such as 192.168.50.8", text)
	}
	name := text
	if before, after, found := strings.Cut(text, "/"); found {
		namespace, name = before, after
		if slices.Contains([]string{"pod", "pods", "po", "macclaim", "macclaims", "mc"}, before) {
			return Query{}, fmt.Errorf("%q names no namespace: write namespace/name, or -n namespace and the name", text)
		}
	}
	if len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
		return Query{}, fmt.Errorf("%q is neither an IP, nor a MAC, nor the name of a pod or claim: write 192.168.50.8, 02:32:00:a8:32:08 or namespace/name", text)
	}
	return Query{Object: types.NamespacedName{Namespace: namespace, Name: name}}, nil
}

// parseIP reads an address as it stands in people's terminals: also as 192.168.50.8/24, and fe80::1%eth0. It is plain then, as in the API.
func parseIP(text string) (netip.Addr, bool) {
	ip, err := netip.ParseAddr(text)
	if err != nil {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return netip.Addr{}, false
		}
		ip = prefix.Addr()
	}
	return ip.Unmap().WithZone(""), true
}
