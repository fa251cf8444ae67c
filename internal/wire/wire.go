// SPDX-License-Identifier: Apache-2.0

// Package wire asks a VLAN whether anything on it uses an address. It is the last evidence where a node cannot be asked any
// more: what is silent there does not send (R-G4, R-G5).
//
// What it hears, and what not:
//
//   - Holders of an address answer a probe, whose sender is 0.0.0.0 or ::. They do not answer one that has the address itself as its sender.
//   - Holders are heard whatever their MAC is, the leased one or another, since the probe comes from neither.
//   - The interfaces of pods of this same node are not heard, if they are macvlans on the link that is asked: a parent and its macvlan
//     children never see each other's frames. They are known to the node by other means: its journal, and the kernel, which refuses
//     a second interface with a MAC on one parent (EADDRINUSE).
//   - Where switches snoop on MLD, somebody else's probe for an IPv6 address may not come through. Answers do.
//
// Silence is only returned where it was listened to: a link without carrier, one that went down meanwhile, and frames that were lost
// are errors.
package wire

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"
)

// Why a link cannot be asked. They wrap what the kernel said, if it said something.
var (
	ErrNoLink      = errors.New("there is no such link")
	ErrLinkDown    = errors.New("the link is down or has no carrier")
	ErrNotEthernet = errors.New("the link is not an Ethernet link")
	ErrFramesLost  = errors.New("frames were lost that may have been answers")
)

// defaultRounds is the least that RFC 5227 asks for.
const defaultRounds = 3

// Query is what is asked.
type Query struct {
	// IPs are the leased addresses. Who answers for one of them has the lease.
	IPs []netip.Addr
	// MAC is the leased MAC. Probes come from another one, and any ARP or neighbour discovery from it is an answer.
	MAC string
	// Rounds is how often is asked; 0 means three times.
	Rounds int
	// Question: whoever asks does not want the addresses for itself. Several may ask so at once, which no one of them takes for an answer, and a
	// pod that is just getting the address is not disturbed. Without it the query is a probe as RFC 5227 and RFC 4862 have it: two that
	// probe for one address at the same time hear each other, and neither may have it (R-L1).
	Question bool
}

// Ask asks on a link of the network namespace that the caller is in, and listens until the end of the last round: the MAC that
// answered first, or "" if nothing did. It takes the rounds 200 to 300 ms each, less if there is an answer, and needs CAP_NET_RAW.
func Ask(ctx context.Context, link string, q Query) (answeredBy string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("asking on link %s: %w", link, err)
		}
	}()
	if len(q.IPs) == 0 {
		return "", errors.New("there is no address to ask for")
	}
	leased, err := net.ParseMAC(q.MAC)
	if err != nil {
		return "", err
	}
	l, err := findLink(link)
	if err != nil {
		return "", err
	}
	ips := make([]netip.Addr, len(q.IPs))
	for i, ip := range q.IPs {
		ips[i] = ip.Unmap()
	}
	own, err := l.hasAny(ips)
	if err != nil {
		return "", err
	}
	if own { // it does not answer itself
		return l.MAC.String(), nil
	}
	s, err := openSockets(l, ips, leased, q.Question)
	if err != nil {
		return "", err
	}
	defer s.close()

	rounds := q.Rounds
	if rounds <= 0 {
		rounds = defaultRounds
	}
	for range rounds {
		if err := s.send(); err != nil {
			return "", err
		}
		if by, err := s.listen(ctx); by != "" || err != nil {
			return by, err
		}
		// A round without carrier is none, and its socket says nothing of that.
		if err := l.still(); err != nil {
			return "", err
		}
	}
	return s.finish()
}

// Usable tells why a link of the network namespace that the caller is in cannot be asked, nil if it can: it is there, of Ethernet, up, and has
// carrier.
func Usable(link string) error {
	_, err := findLink(link)
	return err
}

// listen waits for an answer until the next round.
func (s *sockets) listen(ctx context.Context) (answeredBy string, err error) {
	// Jitter, so that agents that were asked together do not ask in step.
	round := time.NewTimer(200*time.Millisecond + rand.N(100*time.Millisecond))
	defer round.Stop()
	select {
	case by := <-s.heard:
		return by, nil
	case err := <-s.broken:
		return "", err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	case <-round.C:
		return "", nil
	}
}
