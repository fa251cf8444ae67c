// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// refusalsRest is the time between two lines of log about callers who may not ask: they decide how often they try.
const refusalsRest = time.Minute

// door takes connections of those who may ask, and closes all others (R-S7).
//
// Who may ask is root in the node's own network namespace: a container that has the socket's directory mounted is another user's, or has
// a network of its own, unless it is privileged in both ways; then it could do without us. That is what the kernel tells to an agent that
// has two capabilities. It tells nothing of PID and mount namespaces. SO_PEERCRED has the PID 0 for everybody outside of the agent's own
// PID namespace, the node's processes and those of other containers alike. SO_PEERPIDFD (Linux 6.5) gives a pidfd, but its
// PIDFD_GET_PID_NAMESPACE and PIDFD_GET_MNT_NAMESPACE (6.11) ask for what ptrace would take, CAP_SYS_PTRACE, and PIDFD_GET_INFO (6.13)
// for a process that is visible from here. Nor could they be asked for: a plugin that Multus' daemon executes is in the mount namespace
// of that pod, and in its PID namespace. In the node's network namespace it is everywhere, as it could not make a link of the node's else.
type door struct {
	*server

	listener net.Listener
	// network is the cookie of the own network namespace; 0 if the kernel has none, before Linux 5.14.
	network uint64
	refused int
	told    time.Time
}

func newDoor(s *server, listener net.Listener) *door {
	d := &door{server: s, listener: listener}
	if !s.trusted {
		d.network, _ = networkOf(listener)
	}
	return d
}

// accept returns the next connection of somebody who may ask, not sooner than the pace lets it. Those who may not do not use it up.
func (d *door) accept(ctx context.Context) (net.Conn, error) {
	for {
		conn, err := d.listener.Accept()
		if err != nil {
			return nil, err
		}
		if err := d.check(conn); err != nil {
			_ = conn.Close()
			d.tell(err)
			continue
		}
		if err := d.wait(ctx); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return conn, nil
	}
}

// wait holds the next connection back for as long as the pace says.
func (d *door) wait(ctx context.Context) error {
	now := d.clock.Now()
	delay := d.pace.ReserveN(now, 1).DelayFrom(now)
	if delay <= 0 {
		return nil
	}
	return pause(ctx, d.clock, delay)
}

func (d *door) tell(err error) {
	d.refused++
	if now := d.clock.Now(); d.told.IsZero() || now.Sub(d.told) >= refusalsRest {
		d.log.Error(err, "Connections were refused", "number", d.refused)
		d.refused, d.told = 0, now
	}
}

// check tells whether the other end may ask. It is checked although the socket's mode and directory say so too: a container may have
// the directory mounted. In a user namespace the kernel translates the uid, so that its root is 0 here, and a pod's root with a user
// namespace of its own is not.
func (d *door) check(conn net.Conn) error {
	if d.trusted {
		return nil
	}
	var peer *unix.Ucred
	err := control(conn, func(fd int) (err error) {
		peer, err = unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		return err
	})
	if err != nil {
		return fmt.Errorf("checking the peer: %w", err)
	}
	if peer.Uid != d.uid {
		return fmt.Errorf("checking the peer: uid %d may not ask, only %d", peer.Uid, d.uid)
	}
	if d.network == 0 {
		return nil
	}
	network, err := networkOf(conn)
	if err != nil {
		return fmt.Errorf("checking the peer: %w", err)
	}
	if network != d.network {
		return errors.New("checking the peer: it is in another network namespace, as in a container")
	}
	return nil
}

// networkOf is the cookie of the network namespace of a socket. That of an accepted connection is the caller's: the kernel makes it in
// the namespace of the socket that connects.
func networkOf(socket any) (cookie uint64, err error) {
	err = control(socket, func(fd int) (err error) {
		cookie, err = unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
		return err
	})
	return cookie, err
}

func control(socket any, f func(fd int) error) error {
	s, ok := socket.(syscall.Conn)
	if !ok {
		return fmt.Errorf("%T is no socket of the kernel", socket)
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var asked error
	err = raw.Control(func(fd uintptr) { asked = f(int(fd)) })
	return errors.Join(err, asked)
}
