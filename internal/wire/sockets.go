// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// sockets ask and listen, one for ARP and one for neighbour discovery, as far as there are addresses of that family.
type sockets struct {
	judge judge
	conns []*conn

	reading sync.WaitGroup
	heard   chan string // the first answer
	broken  chan error  // the first error of a reader
}

// conn is one socket, and what is sent through it in each round.
type conn struct {
	*packet.Conn

	frames []frame
	// judge tells who answers by a frame that was heard.
	judge func(frame []byte) (by string)
}

// openSockets begins to listen, before anything is sent.
func openSockets(l *ethernetLink, ips []netip.Addr, leased net.HardwareAddr, question bool) (_ *sockets, err error) {
	sender := l.senderFor(leased)
	s := &sockets{
		judge: judge{ips: ips, leased: leased, own: sender},
		heard: make(chan string, 1), broken: make(chan error, 1),
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	promiscuous := !bytes.Equal(sender, l.MAC)
	var v4, v6 []frame
	var groups []net.HardwareAddr
	for _, ip := range ips {
		if ip.Is4() {
			f, err := arpProbe(sender, ip, question)
			if err != nil {
				return nil, err
			}
			v4 = append(v4, f)
			continue
		}
		f, err := solicitation(sender, ip, question)
		if err != nil {
			return nil, err
		}
		v6 = append(v6, f)
		groups = append(groups, f.to) // where others probe
	}
	if v4 != nil {
		if err := s.open(l, unix.ETH_P_ARP, v4, s.judge.arp, nil, promiscuous); err != nil {
			return nil, err
		}
	}
	if v6 != nil {
		if err := s.open(l, unix.ETH_P_IPV6, v6, s.judge.neighbour, append(groups, allNodesMAC), promiscuous); err != nil {
			return nil, err
		}
	}
	for _, c := range s.conns {
		s.reading.Go(func() { s.read(c) })
	}
	return s, nil
}

func (s *sockets) open(
	l *ethernetLink, protocol int, frames []frame, judge func([]byte) string, groups []net.HardwareAddr, promiscuous bool,
) error {
	filter, err := filterFor(protocol, promiscuous)
	if err != nil {
		return err
	}
	// The protocol's own frames, not all: those that are sent by this node, its pods included, are not among them.
	p, err := packet.Listen(&net.Interface{Index: int(l.Index), Name: l.name, HardwareAddr: l.MAC}, packet.Raw, protocol, &packet.Config{Filter: filter})
	if err != nil {
		return downOr("opening a packet socket", err)
	}
	s.conns = append(s.conns, &conn{Conn: p, frames: frames, judge: judge})
	if promiscuous { // answers go to a MAC that the link does not have
		if err := p.SetPromiscuous(true); err != nil {
			return fmt.Errorf("listening to all frames: %w", err)
		}
	}
	for _, g := range groups {
		if err := join(p, int(l.Index), g); err != nil {
			return err
		}
	}
	return nil
}

// join has the link let a multicast group in: without an IPv6 address of its own it lets none.
func join(p *packet.Conn, index int, group net.HardwareAddr) error {
	raw, err := p.SyscallConn()
	if err != nil {
		return err
	}
	member := unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_MULTICAST, Alen: ethernetAddrLen} //nolint:gosec // an index fits
	copy(member.Address[:], group)
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptPacketMreq(int(fd), unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &member)
	})
	if err := errors.Join(err, failed); err != nil {
		return fmt.Errorf("joining group %s: %w", group, err)
	}
	return nil
}

// filterFor lets through what may be an answer, so that a busy link does not overrun the socket. A frame with the tag of a VLAN that has no
// link here reaches sockets without its tag; the kernel tells it from those of this VLAN by calling it another host's.
func filterFor(protocol int, promiscuous bool) ([]bpf.RawInstruction, error) {
	const (
		otherHost  = 3  // PACKET_OTHERHOST
		nextHeader = 20 // of an IPv6 frame
		icmpType   = 54
	)
	var program []bpf.Instruction
	if !promiscuous {
		program = append(program,
			bpf.LoadExtension{Num: bpf.ExtType},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: otherHost, SkipTrue: 1},
			bpf.RetConstant{},
		)
	}
	if protocol == unix.ETH_P_IPV6 {
		program = append(program,
			bpf.LoadAbsolute{Off: nextHeader, Size: 1},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_ICMPV6, SkipTrue: 1},
			bpf.RetConstant{},
			bpf.LoadAbsolute{Off: icmpType, Size: 1},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: typeSolicitation, SkipTrue: 2},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: typeAdvertisement, SkipTrue: 1},
			bpf.RetConstant{},
		)
	}
	raw, err := bpf.Assemble(append(program, bpf.RetConstant{Val: maxFrame}))
	if err != nil {
		return nil, fmt.Errorf("making a filter: %w", err)
	}
	return raw, nil
}

// send sends one round.
func (s *sockets) send() error {
	for _, c := range s.conns {
		for _, f := range c.frames {
			if _, err := c.WriteTo(f.bytes, &packet.Addr{HardwareAddr: f.to}); err != nil {
				return downOr("sending", err)
			}
		}
	}
	return nil
}

// read judges what comes in until the socket is closed or told to stop.
func (s *sockets) read(c *conn) {
	buf := make([]byte, maxFrame)
	for {
		n, _, err := c.ReadFrom(buf)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrClosed):
			return
		case err != nil:
			select {
			case s.broken <- downOr("listening", err):
			default:
			}
			return
		}
		s.take(c, buf[:n])
	}
}

func (s *sockets) take(c *conn, frame []byte) {
	if by := c.judge(frame); by != "" {
		select {
		case s.heard <- by:
		default:
		}
	}
}

// longAgo stops readers at once.
var longAgo = time.Unix(1, 0)

// finish reads what has come in and was not read yet, on a machine that is busy, and says whether all was heard.
func (s *sockets) finish() (answeredBy string, err error) {
	for _, c := range s.conns {
		if err := c.SetReadDeadline(longAgo); err != nil {
			return "", err
		}
	}
	s.reading.Wait()
	for _, c := range s.conns {
		if err := s.drain(c); err != nil {
			return "", err
		}
	}
	select {
	case by := <-s.heard:
		return by, nil
	default:
	}
	select {
	case err := <-s.broken:
		return "", err
	default:
	}
	for _, c := range s.conns {
		stats, err := c.Stats()
		if err != nil {
			return "", err
		}
		if stats.Drops > 0 {
			return "", ErrFramesLost
		}
	}
	return "", nil
}

// drain reads without waiting, and without regard to the deadline that has stopped the reader.
func (s *sockets) drain(c *conn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	buf := make([]byte, maxFrame)
	var failed error
	err = raw.Control(func(fd uintptr) {
		for {
			n, _, err := unix.Recvfrom(int(fd), buf, unix.MSG_DONTWAIT)
			switch {
			case errors.Is(err, unix.EINTR):
				continue
			case err != nil:
				if !errors.Is(err, unix.EAGAIN) {
					failed = downOr("listening", err)
				}
				return
			}
			s.take(c, buf[:n])
		}
	})
	return errors.Join(err, failed)
}

func (s *sockets) close() {
	for _, c := range s.conns {
		_ = c.Close()
	}
	s.reading.Wait()
}

// downOr is the error with its own name if it says that the link went down.
func downOr(doing string, err error) error {
	if errors.Is(err, unix.ENETDOWN) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("%s: %w: %w", doing, ErrLinkDown, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
