// SPDX-License-Identifier: Apache-2.0

package export

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// keaReservation is an element of reservations, https://kea.readthedocs.io/en/stable/arm/dhcp4-srv.html#host-reservations-in-dhcpv4 and
// https://kea.readthedocs.io/en/stable/arm/dhcp6-srv.html#host-reservations-in-dhcpv6.
type keaReservation struct {
	MAC  string   `json:"hw-address"`
	IP   string   `json:"ip-address,omitempty"`
	IPs  []string `json:"ip-addresses,omitempty"`
	Host string   `json:"hostname"`
}

type keaSubnet struct {
	Subnet       string            `json:"subnet"`
	Reservations []*keaReservation `json:"reservations"`
}

type keaDHCP4 struct {
	// Reservations are those of MACs whose address the server chooses: Kea knows them by no subnet.
	Reservations []*keaReservation `json:"reservations,omitempty"`
	Subnets      []*keaSubnet      `json:"subnet4,omitempty"`
}

type keaDHCP6 struct {
	Subnets []*keaSubnet `json:"subnet6,omitempty"`
}

// kea writes the parts of Kea's configurations that hold reservations. A subnet has no id, although Kea 3 wants one: leases are kept by it, so that
// a guessed one would do harm. The lists are to be pasted into, or included by, subnets that are there.
func kea(w io.Writer, e *export) error {
	var config struct {
		Dhcp4 *keaDHCP4 `json:"Dhcp4,omitempty"`
		Dhcp6 *keaDHCP6 `json:"Dhcp6,omitempty"`
	}
	subnets := map[netip.Prefix]*keaSubnet{}
	add := func(to *[]*keaSubnet, prefix netip.Prefix, r *keaReservation) {
		s, ok := subnets[prefix]
		if !ok {
			s = &keaSubnet{Subnet: prefix.String()}
			subnets[prefix] = s
			*to = append(*to, s)
		}
		s.Reservations = append(s.Reservations, r)
	}
	for _, r := range e.records {
		if config.Dhcp4 == nil && (len(r.ips) == 0 || r.ips[0].Is4()) {
			config.Dhcp4 = &keaDHCP4{}
		}
		if len(r.ips) == 0 {
			config.Dhcp4.Reservations = append(config.Dhcp4.Reservations, &keaReservation{MAC: r.mac.String(), Host: r.host})
		}
		for _, ip := range r.ips {
			prefix, err := e.subnet(r, ip)
			if err != nil {
				return err
			}
			if ip.Is4() {
				add(&config.Dhcp4.Subnets, prefix, &keaReservation{MAC: r.mac.String(), IP: ip.String(), Host: r.host})
				continue
			}
			if config.Dhcp6 == nil {
				config.Dhcp6 = &keaDHCP6{}
			}
			add(&config.Dhcp6.Subnets, prefix, &keaReservation{MAC: r.mac.String(), IPs: []string{ip.String()}, Host: r.host})
		}
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(config)
}

// dnsmasq writes lines for --conf-file or --conf-dir: man dnsmasq, --dhcp-host.
func dnsmasq(w io.Writer, e *export) error {
	for _, r := range e.records {
		parts := []string{r.mac.String()}
		for _, ip := range r.ips {
			if ip.Is4() {
				parts = append(parts, ip.String())
			} else {
				parts = append(parts, "["+ip.String()+"]")
			}
		}
		if _, err := fmt.Fprintln(w, "dhcp-host="+strings.Join(append(parts, r.host), ",")); err != nil {
			return err
		}
	}
	return nil
}

// isc writes host declarations of ISC dhcpd: man dhcpd.conf, THE HOST STATEMENT. One may have one fixed address, so a lease of both families is
// two; no host's own name has a dot. The DHCPv4 and the DHCPv6 server read both kinds, and each uses its own.
func isc(w io.Writer, e *export) error {
	for _, r := range e.records {
		declarations := map[string]string{} // name -> its fixed address
		if len(r.ips) == 0 {
			declarations[r.host] = ""
		}
		for _, ip := range r.ips {
			if ip.Is4() {
				declarations[r.host] = fmt.Sprintf("  fixed-address %s;\n", ip)
			} else {
				declarations[r.host+".ipv6"] = fmt.Sprintf("  fixed-address6 %s;\n", ip)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(declarations)) {
			_, err := fmt.Fprintf(w, "host %s {\n  hardware ethernet %s;\n%s  option host-name \"%s\";\n}\n", name, r.mac, declarations[name], r.host)
			if err != nil {
				return err
			}
		}
	}
	return nil
}
