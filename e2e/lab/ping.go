// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"k8s.io/utils/clock"
)

// pingWait is how long one echo request of several waits for its reply.
const pingWait = time.Second

// Ping sends ICMP echo requests from the pod until one is answered, and returns how long that one took. An address that is still
// being checked for duplicates by the kernel cannot be used for a second or two, hence several.
func (s *Sandbox) Ping(ctx context.Context, to netip.Addr) (time.Duration, error) {
	var last error
	for seq := 1; ctx.Err() == nil; seq++ {
		rtt, err := s.pingOnce(to, seq, pingWait)
		if err == nil {
			return rtt, nil
		}
		last = err
		// An error at once, such as no route, must not spin.
		if errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		select {
		case <-ctx.Done():
		case <-clock.RealClock{}.After(pingWait / 4):
		}
	}
	return 0, fmt.Errorf("pinging %s from pod %s: %w", to, s.Pod.Name, last)
}

// PingOnce sends one ICMP echo request from the pod and waits for its reply.
func (s *Sandbox) PingOnce(to netip.Addr, patience time.Duration) (time.Duration, error) {
	rtt, err := s.pingOnce(to, 1, patience)
	if err != nil {
		return 0, fmt.Errorf("pinging %s once from pod %s: %w", to, s.Pod.Name, err)
	}
	return rtt, nil
}

func (s *Sandbox) pingOnce(to netip.Addr, seq int, patience time.Duration) (rtt time.Duration, err error) {
	err = within(s.ns, func() error {
		network, request, protocol := "ip4:icmp", icmp.Type(ipv4.ICMPTypeEcho), 1
		if to.Is6() {
			network, request, protocol = "ip6:ipv6-icmp", ipv6.ICMPTypeEchoRequest, 58
		}
		conn, err := icmp.ListenPacket(network, "")
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		rtt, err = echo(conn, to, icmp.Message{Type: request, Body: &icmp.Echo{ID: os.Getpid() & 0xffff, Seq: seq}}, protocol, patience)
		return err
	})
	return rtt, err
}

// echo sends the request and waits for its reply among whatever else arrives.
func echo(conn *icmp.PacketConn, to netip.Addr, request icmp.Message, protocol int, patience time.Duration) (time.Duration, error) {
	body, err := request.Marshal(nil)
	if err != nil {
		return 0, err
	}
	watch := clock.RealClock{}
	sent := watch.Now()
	if err := conn.SetDeadline(sent.Add(patience)); err != nil {
		return 0, err
	}
	if _, err := conn.WriteTo(body, &net.IPAddr{IP: to.AsSlice()}); err != nil {
		return 0, err
	}
	buffer := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return 0, err
		}
		reply, err := icmp.ParseMessage(protocol, buffer[:n])
		if err != nil || from.String() != to.String() {
			continue
		}
		got, ok := reply.Body.(*icmp.Echo)
		want, _ := request.Body.(*icmp.Echo)
		isReply := reply.Type == ipv4.ICMPTypeEchoReply || reply.Type == ipv6.ICMPTypeEchoReply
		if isReply && ok && got.ID == want.ID && got.Seq == want.Seq {
			return watch.Since(sent), nil
		}
	}
}
