// SPDX-License-Identifier: Apache-2.0

// Package mac holds the addresses that macpool hands out, as values that compare with ==: MACs, their prefixes, ranges of IP
// addresses, and the name that locks an address in the API. They become strings only where they leave the process.
package mac

import (
	"fmt"
	"net"
)

const (
	multicastBit = 0x01 // I/G: a group of stations; the kernel gives it to no interface
	localBit     = 0x02 // U/L: locally administered; without it the address belongs to a manufacturer
)

// Addr is a MAC-48 address. The zero value is 00:00:00:00:00:00, which no interface can carry and which stands for none.
type Addr [6]byte

// Parse reads an address in any notation that net.ParseMAC knows, but of six octets only: those of eight or twenty belong to
// other kinds of links, and plugins that let them through fail at the kernel.
func Parse(s string) (Addr, error) {
	hw, err := net.ParseMAC(s)
	if err != nil {
		return Addr{}, fmt.Errorf("parsing MAC %q: must be six octets such as 02:32:00:a8:32:08", s)
	}
	if len(hw) != len(Addr{}) {
		return Addr{}, fmt.Errorf("parsing MAC %q: must be six octets, not %d", s, len(hw))
	}
	return Addr(hw), nil
}

// String is the canonical form: lower case, separated by colons. Other forms differ as strings, and the tuning plugin's CHECK
// compares strings.
func (a Addr) String() string { return a.HardwareAddr().String() }

// IsMulticast tells whether the multicast bit is set, as it is in half of all MACs typed at random.
func (a Addr) IsMulticast() bool { return a[0]&multicastBit != 0 }

// IsLocal tells whether the address is locally administered.
func (a Addr) IsLocal() bool { return a[0]&localBit != 0 }

// IsZero tells whether all octets are zero.
func (a Addr) IsZero() bool { return a == Addr{} }

// Nearest is the address that differs least from a and is a person's to choose: f1:fd:59:0b:bd:2b becomes f2:fd:59:0b:bd:2b.
func (a Addr) Nearest() Addr {
	a[0] = a[0]&^multicastBit | localBit
	return a
}

// HardwareAddr is the address for package net and netlink. The slice is the caller's.
func (a Addr) HardwareAddr() net.HardwareAddr { return a[:] }
