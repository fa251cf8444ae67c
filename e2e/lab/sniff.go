// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Frame is what a capture keeps of a frame.
type Frame struct {
	// Source is the sender's MAC.
	Source string
	// VLAN is the id in the frame's 802.1Q tag, 0 without one.
	VLAN int
	// EtherType is that of the payload, behind the tag.
	EtherType uint16
	// At is when the kernel has received it.
	At time.Time
	// Sender is the sender's IP address of an ARP frame.
	Sender netip.Addr
	// IPv6 is the source address of an IPv6 packet.
	IPv6 netip.Addr
	// Announced is the address that a gratuitous ARP or an unsolicited neighbour advertisement announces, AnnouncedMAC the
	// MAC at which it says that the address is.
	Announced    netip.Addr
	AnnouncedMAC string
}

// Asks tells whether the frame's sender asks for an address without having one: it probes (RFC 5227, RFC 4862), as agents do before a pod gets
// an address. Pods' kernels do so too for IPv6, and never for IPv4.
func (f *Frame) Asks() bool {
	return f.EtherType == unix.ETH_P_ARP && f.Sender == netip.IPv4Unspecified() ||
		f.EtherType == unix.ETH_P_IPV6 && f.IPv6 == netip.IPv6Unspecified()
}

// Capture records the frames that come in at one port of the switch.
type Capture struct {
	port string
	fd   int
	see  func(*Frame) // instead of keeping it

	done chan struct{} // closed when run has ended; err is final then

	mu     sync.Mutex
	stop   bool
	frames []Frame
	err    error
}

// capture begins to record what the nodes at the other end of the port send.
func (s *Switch) capture(port string) (c *Capture, err error) {
	err = within(s.ns, func() error {
		c, err = CaptureLink(port)
		return err
	})
	return c, err
}

// CaptureLink begins to record what comes in at a link of the current network namespace. On a bridge that is promiscuous, that
// is every frame that crosses it.
func CaptureLink(name string) (*Capture, error) { return captureLink(name, nil) }

func captureLink(name string, see func(*Frame)) (*Capture, error) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("capturing at %s: %w", name, err)
	}
	c := &Capture{port: name, see: see, done: make(chan struct{})}
	if c.fd, err = openCapture(link.Attrs().Index); err != nil {
		return nil, fmt.Errorf("capturing at %s: %w", name, err)
	}
	go c.run()
	return c, nil
}

// Watch hands every frame that comes in at the node's ports of the switch to see, one at a time for each port, and keeps none.
func (n *Node) Watch(see func(*Frame)) (all []*Capture, err error) {
	err = within(n.lab.Switch.ns, func() error {
		links, err := netlink.LinkList()
		if err != nil {
			return fmt.Errorf("listing the switch's ports: %w", err)
		}
		for _, l := range links {
			if !isPort(l.Attrs().Name, n.Name) {
				continue
			}
			c, err := captureLink(l.Attrs().Name, see)
			if err != nil {
				return err
			}
			all = append(all, c)
		}
		return nil
	})
	return all, err
}

func openCapture(ifindex int) (int, error) {
	all := networkOrder(unix.ETH_P_ALL)
	// Protocol 0 until the socket is bound: otherwise it would first hear every other link of the namespace.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("opening a packet socket: %w", err)
	}
	err = errors.Join(
		// The kernel strips the tag and tells it beside the frame.
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<20),
		// So that the reader sees that it was closed.
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifindex}),
	)
	if err != nil {
		_ = unix.Close(fd)
		return 0, fmt.Errorf("preparing a packet socket: %w", err)
	}
	return fd, nil
}

func (c *Capture) run() {
	defer close(c.done)
	defer func() { _ = unix.Close(c.fd) }()
	frame := make([]byte, 2048)
	control := make([]byte, unix.CmsgSpace(int(unsafe.Sizeof(unix.TpacketAuxdata{})))+unix.CmsgSpace(int(unsafe.Sizeof(unix.Timespec{}))))
	for !c.stopping() {
		n, oobn, _, from, err := unix.Recvmsg(c.fd, frame, control, 0)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue
		}
		if errors.Is(err, unix.ENETDOWN) && c.see != nil {
			continue // said once when the port goes down; it is heard again when it is up
		}
		if err != nil {
			c.fail(fmt.Errorf("capturing at %s: %w", c.port, err))
			return
		}
		if ll, ok := from.(*unix.SockaddrLinklayer); ok && ll.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		f, ok := parseFrame(frame[:n], control[:oobn])
		switch {
		case !ok:
		case c.see != nil:
			c.see(&f)
		default:
			c.mu.Lock()
			c.frames = append(c.frames, f)
			c.mu.Unlock()
		}
	}
	if stats, err := unix.GetsockoptTpacketStats(c.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil && stats.Drops > 0 {
		c.fail(fmt.Errorf("capturing at %s: %d frames were lost", c.port, stats.Drops))
	}
}

func (c *Capture) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

func (c *Capture) stopping() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stop
}

// Frames are the frames so far, in order.
func (c *Capture) Frames() []Frame {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.frames)
}

// Stop ends the capture and returns its frames; an error if it has missed any, since then it proves nothing.
func (c *Capture) Stop() ([]Frame, error) {
	c.mu.Lock()
	c.stop = true
	c.mu.Unlock()
	<-c.done
	return c.Frames(), c.err
}

const ethHeader = 14

func parseFrame(b, control []byte) (Frame, bool) {
	if len(b) < ethHeader {
		return Frame{}, false
	}
	f := Frame{Source: net.HardwareAddr(b[6:12]).String(), EtherType: binary.BigEndian.Uint16(b[12:])}
	f.readControl(control)
	payload := b[ethHeader:]
	if f.EtherType == unix.ETH_P_8021Q && len(payload) >= 4 { // a tag that the kernel has left in the frame
		f.VLAN = int(binary.BigEndian.Uint16(payload) & 0xfff)
		f.EtherType = binary.BigEndian.Uint16(payload[2:])
		payload = payload[4:]
	}
	switch f.EtherType {
	case unix.ETH_P_ARP:
		f.parseARP(payload)
	case unix.ETH_P_IPV6:
		if len(payload) >= ip6Header {
			f.IPv6 = netip.AddrFrom16([16]byte(payload[ip6Source:]))
		}
		f.parseNeighbourAdvertisement(payload)
	}
	return f, true
}

// readControl reads the tag and the time among the control messages of a frame.
func (f *Frame) readControl(control []byte) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return
	}
	for _, m := range messages {
		switch {
		case m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA && len(m.Data) >= int(unsafe.Sizeof(unix.TpacketAuxdata{})):
			aux := (*unix.TpacketAuxdata)(unsafe.Pointer(&m.Data[0])) //nolint:gosec // the kernel's own layout, length checked
			if aux.Status&unix.TP_STATUS_VLAN_VALID != 0 {
				f.VLAN = int(aux.Vlan_tci & 0xfff)
			}
		case m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= int(unsafe.Sizeof(unix.Timespec{})):
			at := (*unix.Timespec)(unsafe.Pointer(&m.Data[0])) //nolint:gosec // as above
			f.At = time.Unix(at.Unix())
		}
	}
}
