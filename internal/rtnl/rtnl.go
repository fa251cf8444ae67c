// SPDX-License-Identifier: Apache-2.0

// Package rtnl puts questions to the kernel's rtnetlink by a socket that blocks. Netlink libraries have their sockets watched by Go's poller, which
// costs a process that lives for two milliseconds more than the question (docs/design/0020). The kernel answers before it returns from the
// sending (rtnetlink_rcv), so that nobody waits in any case. The messages are made and read by github.com/vishvananda/netlink/nl.
package rtnl

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

const (
	// room is for one message, or one part of a list: the kernel makes parts no longer than what is read at once (netlink_dump).
	room = 8 << 10
	// interruptions is how often a list is read again that the kernel has seen change meanwhile.
	interruptions = 5
)

var (
	// ErrInterrupted is returned for a list that changed each time it was read.
	ErrInterrupted = errors.New("the kernel's list has changed each time while it was read")

	errAnswer = errors.New("the kernel's answer is no answer to what was asked")
)

// Socket is a socket of the network namespace that its opener was in, whichever thread asks by it. It is not safe for concurrent use.
type Socket struct {
	fd       int
	sequence uint32
	buffer   []byte
}

// Open opens a socket.
func Open() (*Socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("opening a netlink socket: %w", err)
	}
	return &Socket{fd: fd, buffer: make([]byte, room)}, nil
}

// Close closes the socket.
func (s *Socket) Close() { _ = unix.Close(s.fd) }

// Strict has the kernel refuse what it does not understand, instead of ignoring it (Linux 4.20).
func (s *Socket) Strict() error {
	if err := unix.SetsockoptInt(s.fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1); err != nil {
		return fmt.Errorf("having requests checked: %w", err)
	}
	return nil
}

// Tell has the kernel do something. Its errors are the kernel's, as unix.Errno.
func (s *Socket) Tell(kind int, parts ...nl.NetlinkRequestData) error {
	_, err := s.exchange(kind, unix.NLM_F_ACK, 0, parts)
	return err
}

// Get asks for one thing, and returns the body of the answer, which is of the kind. Its errors are the kernel's, as unix.Errno.
func (s *Socket) Get(kind int, answer uint16, parts ...nl.NetlinkRequestData) ([]byte, error) {
	all, err := s.exchange(kind, 0, answer, parts)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// List asks for a list, and returns the bodies of all answers of the kind. Its errors are the kernel's, as unix.Errno, and ErrInterrupted.
func (s *Socket) List(kind int, answer uint16, parts ...nl.NetlinkRequestData) ([][]byte, error) {
	for range interruptions {
		all, err := s.exchange(kind, unix.NLM_F_DUMP, answer, parts)
		if !errors.Is(err, ErrInterrupted) {
			return all, err
		}
	}
	return nil, ErrInterrupted
}

func (s *Socket) exchange(kind, flags int, answer uint16, parts []nl.NetlinkRequestData) ([][]byte, error) {
	s.sequence++
	req := nl.NetlinkRequest{
		NlMsghdr: unix.NlMsghdr{Len: unix.SizeofNlMsghdr, Type: uint16(kind), Flags: uint16(unix.NLM_F_REQUEST | flags), Seq: s.sequence}, //nolint:gosec // constants
		Data:     parts,
	}
	if err := unix.Sendto(s.fd, req.Serialize(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	var all [][]byte
	interrupted := false
	for {
		messages, err := s.receive()
		if err != nil {
			return nil, err
		}
		for i := range messages {
			m := &messages[i]
			if m.Header.Seq != s.sequence {
				continue
			}
			interrupted = interrupted || m.Header.Flags&unix.NLM_F_DUMP_INTR != 0
			switch {
			case m.Header.Type == unix.NLMSG_ERROR || m.Header.Type == unix.NLMSG_DONE:
				if err := errnoOf(m.Data); err != nil {
					return nil, err
				}
				if interrupted {
					return nil, ErrInterrupted
				}
				return all, nil
			case m.Header.Type != answer:
				return nil, errAnswer
			case flags == 0:
				return [][]byte{m.Data}, nil
			default:
				all = append(all, bytes.Clone(m.Data)) // what comes next is read into the same place
			}
		}
	}
}

// receive reads what the kernel has sent at once.
func (s *Socket) receive() ([]syscall.NetlinkMessage, error) {
	for {
		n, _, err := unix.Recvfrom(s.fd, s.buffer, unix.MSG_TRUNC)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, err
		case n > len(s.buffer):
			return nil, fmt.Errorf("the kernel's answer has %d octets, more than %d", n, len(s.buffer))
		}
		return syscall.ParseNetlinkMessage(s.buffer[:n])
	}
}

// errnoOf is the error at the beginning of the body of an error, or of the end of a list; nil for success.
func errnoOf(body []byte) error {
	if len(body) < 4 {
		return errAnswer
	}
	if code := int32(binary.NativeEndian.Uint32(body)); code != 0 { //nolint:gosec // an int32 to the kernel
		return unix.Errno(-code) //nolint:gosec // the kernel has them as negative numbers
	}
	return nil
}
