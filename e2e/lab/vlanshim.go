// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/rlimit"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The shim stands in for an 802.1Q sub-interface where the kernel has none. NAME is one end of a veth pair, and a program on
// each side of the tag does what the VLAN driver would:
//
//	wire -> trunk ingress: tagged VID? pop it, redirect to the peer's egress, which is NAME's receive side
//	NAME sends -> peer's ingress: push tag VID, redirect to the trunk's egress -> wire
//
// The filters hold the programs and go with the links, so there is nothing to clean up. The link is of kind veth, not vlan, and does
// not lose its carrier with the trunk: code that makes or inspects VLAN links cannot be tested with it.

// Offsets in struct __sk_buff. The kernel strips an 802.1Q tag into these fields before tc ingress runs.
const (
	offVLANPresent = 20
	offVLANTCI     = 24
)

// Verdicts of a direct-action tc program.
const (
	actUnspec = -1 // go on with the next filter, at last to the stack
	actShot   = 2
)

// addVLANShim makes name, with VLAN id vid, on the trunk; both in the current network namespace.
func addVLANShim(trunk netlink.Link, vid int, name string) error {
	// Kernels before 5.11 count programs against locked memory.
	if err := rlimit.RemoveMemlock(); err != nil {
		return fmt.Errorf("lifting the limit on locked memory: %w", err)
	}
	peer, err := addShimPair(name, fmt.Sprintf("vlan%dp", vid), trunk.Attrs().HardwareAddr)
	if err != nil {
		return err
	}
	// One priority for each VLAN, so that several share a trunk.
	if err := attachShim("vlanpop", trunk.Attrs().Index, uint16(vid), popProgram(vid, peer)); err != nil { //nolint:gosec // at most 4094
		return err
	}
	return attachShim("vlanpush", peer, 1, pushProgram(vid, trunk.Attrs().Index))
}

// addShimPair makes the veth pair, with the trunk's address on name as a real sub-interface has it, and returns the peer's
// index.
func addShimPair(name, peer string, address net.HardwareAddr) (int, error) {
	link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name, HardwareAddr: address}, PeerName: peer}
	if err := netlink.LinkAdd(link); err != nil {
		return 0, fmt.Errorf("adding %s: %w", name, err)
	}
	p, err := netlink.LinkByName(peer)
	if err != nil {
		return 0, fmt.Errorf("looking up %s: %w", peer, err)
	}
	if err := netlink.LinkSetUp(p); err != nil {
		return 0, fmt.Errorf("setting %s up: %w", peer, err)
	}
	return p.Attrs().Index, nil
}

func popProgram(vid, peer int) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R2, asm.R6, offVLANPresent, asm.Word),
		asm.JEq.Imm(asm.R2, 0, "pass"),
		asm.LoadMem(asm.R2, asm.R6, offVLANTCI, asm.Word),
		asm.And.Imm(asm.R2, 0xfff),              // without priority and DEI bits
		asm.JNE.Imm(asm.R2, int32(vid), "pass"), //nolint:gosec // at most 4094
		asm.FnSkbVlanPop.Call(),
		asm.Mov.Imm(asm.R1, int32(peer)), //nolint:gosec // an interface index
		asm.Mov.Imm(asm.R2, 0),
		asm.FnRedirect.Call(),
		asm.Return(),
		asm.Mov.Imm(asm.R0, actUnspec).WithSymbol("pass"),
		asm.Return(),
	}
}

func pushProgram(vid, trunk int) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Imm(asm.R2, int32(networkOrder(unix.ETH_P_8021Q))), // the skb is still in R1
		asm.Mov.Imm(asm.R3, int32(vid)),                            //nolint:gosec // at most 4094
		asm.FnSkbVlanPush.Call(),
		asm.JNE.Imm(asm.R0, 0, "drop"),    // rather nothing than an untagged frame
		asm.Mov.Imm(asm.R1, int32(trunk)), //nolint:gosec // an interface index
		asm.Mov.Imm(asm.R2, 0),
		asm.FnRedirect.Call(),
		asm.Return(),
		asm.Mov.Imm(asm.R0, actShot).WithSymbol("drop"),
		asm.Return(),
	}
}

// attachShim loads the program and hangs it on the link's ingress; clsact may be there already.
func attachShim(name string, link int, priority uint16, prog asm.Instructions) error {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: name, Type: ebpf.SchedCLS, Instructions: prog, License: "GPL"})
	if err != nil {
		return fmt.Errorf("loading %s: %w", name, err)
	}
	defer func() { _ = p.Close() }() // the filter holds it
	clsact := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: link, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}}
	if err := netlink.QdiscAdd(clsact); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("adding clsact: %w", err)
	}
	filter := &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: link, Parent: netlink.HANDLE_MIN_INGRESS, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: priority,
		},
		Fd: p.FD(), Name: name, DirectAction: true,
	}
	if err := netlink.FilterAdd(filter); err != nil {
		return fmt.Errorf("attaching %s: %w", name, err)
	}
	return nil
}

// networkOrder is v as a machine of this byte order has to hold it for network order in memory.
func networkOrder(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}
