// SPDX-License-Identifier: Apache-2.0

package allocator

import (
	"net/netip"

	"github.com/macpool/macpool/internal/mac"
)

// Slot is the place of an address in a pool: its offset from the first address of its subnet. The addresses of both families that have
// one slot are one lease, and the slot's first address decides the MAC. In a pool without subnets it is the low 24 bits of the MAC.
type Slot uint64

// Identity is the claim that an address is for: its namespace and name. It outlives the claim's UID. The zero Identity is nobody.
type Identity struct {
	Namespace, Name string
}

// Config is what a pool's owner wrote.
type Config struct {
	// Segment is the layer 2 domain in which addresses are unique.
	Segment string
	// Prefix is what the pool's MACs begin with.
	Prefix mac.Prefix
	// Subnets are one or two, at most one of each family; or none, and a lease is a MAC alone.
	Subnets []Subnet
	// Reservations are addresses that go to one claim, or to nobody.
	Reservations []Reservation
}

// Subnet is one network of a pool.
type Subnet struct {
	CIDR netip.Prefix
	// Gateway is never leased. The zero Addr is none.
	Gateway netip.Addr
	// Ranges are what may be leased; none means the whole subnet.
	Ranges []Range
	// Exclude is never leased.
	Exclude []mac.Range
}

// Range is a range of addresses that may be leased.
type Range struct {
	mac.Range

	// ExplicitOnly : only to claims that ask for one of its addresses.
	ExplicitOnly bool
}

// Reservation keeps an address, and the address of the other family with the same slot, for a claim.
type Reservation struct {
	IP netip.Addr
	// Claim is who gets it. The zero Identity: nobody.
	Claim Identity
	// MAC is what goes with the address instead of what the pool would make. The zero Addr: nothing else.
	MAC mac.Addr
}
