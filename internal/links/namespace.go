// SPDX-License-Identifier: Apache-2.0

package links

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"runtime"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/macpool/macpool/internal/rtnl"
)

// ErrNotNamespace is returned by Open for a file that is no network namespace: an empty one, say, which the mount of one has left behind.
var ErrNotNamespace = errors.New("it is no network namespace")

// Namespace is a network namespace of which the links are looked at and changed. It is held by a handle, so that it stays the one that it was
// whatever is done with its path, and so that its id is nobody else's. It is not safe for concurrent use.
type Namespace struct {
	// Own: it is the caller's, whose links are the node's.
	Own bool

	fd     int
	kernel *rtnl.Socket
	// from: the socket is the caller's namespace's, which knows the other one by this id.
	from bool
	id   int32
}

// Open opens a network namespace, to look at it from the caller's. Its errors wrap fs.ErrNotExist for one that is gone, and ErrNotNamespace.
func Open(path string) (*Namespace, error) {
	return open(path, func(n *Namespace) (err error) {
		if n.kernel, err = rtnl.Open(); err != nil || n.Own {
			return err
		}
		n.from = true
		n.id, err = n.identify()
		return err
	})
}

// Enter opens a network namespace like Open, and goes there for a socket, which takes CAP_SYS_ADMIN: links are changed from inside only. (To the
// kernel the namespace of such a request is where the link is to move, do_setlink.)
func Enter(path string) (*Namespace, error) {
	return open(path, func(n *Namespace) (err error) {
		if n.Own {
			n.kernel, err = rtnl.Open()
			return err
		}
		n.kernel, err = n.openInside()
		return err
	})
}

// Here is the namespace that the caller is in.
func Here() (*Namespace, error) { return Enter(ownPath) }

// open opens the namespace, and its socket. The file is not opened as an os.File, which Go's poller would be asked to watch; see package rtnl.
func open(path string, socket func(*Namespace) error) (*Namespace, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	n := &Namespace{fd: fd}
	if n.Own, err = isOwn(fd); err == nil {
		err = socket(n)
	}
	if err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// openInside goes to the namespace, opens a socket there, and comes back.
func (n *Namespace) openInside() (*rtnl.Socket, error) {
	runtime.LockOSThread()
	own, err := unix.Open(ownPath, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("opening the own network namespace: %w", err)
	}
	defer func() { _ = unix.Close(own) }()
	if err := unix.Setns(n.fd, unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("entering a network namespace: %w", err)
	}
	socket, err := rtnl.Open()
	if back := unix.Setns(own, unix.CLONE_NEWNET); back != nil {
		// The thread stays locked, and ends with its goroutine: no other is to run where it is.
		if err == nil {
			socket.Close()
		}
		return nil, fmt.Errorf("leaving a network namespace: %w", back)
	}
	runtime.UnlockOSThread()
	return socket, err
}

// ownPath is the network namespace of the calling thread.
const ownPath = "/proc/thread-self/ns/net"

// Close forgets the namespace.
func (n *Namespace) Close() {
	if n.kernel != nil {
		n.kernel.Close()
	}
	_ = unix.Close(n.fd)
}

// Path is a path to the namespace for as long as it is open, in this process.
func (n *Namespace) Path() string { return fmt.Sprintf("/proc/self/fd/%d", n.fd) }

// isOwn tells whether the file of a network namespace is that of the caller.
func isOwn(fd int) (bool, error) {
	var kind unix.Statfs_t
	if err := unix.Fstatfs(fd, &kind); err != nil {
		return false, err
	}
	if kind.Type != unix.NSFS_MAGIC {
		return false, ErrNotNamespace
	}
	var own, this unix.Stat_t
	if err := unix.Stat(ownPath, &own); err != nil {
		return false, err
	}
	if err := unix.Fstat(fd, &this); err != nil {
		return false, err
	}
	return own.Dev == this.Dev && own.Ino == this.Ino, nil
}

// What names a namespace in messages about ids (linux/net_namespace.h).
const (
	netNSID = 1 // NETNSA_NSID
	netNSFD = 3 // NETNSA_FD
	noID    = -1
)

// identify finds the id by which this namespace knows the other one, which is given one if it has none. It keeps it for as long as it lives.
func (n *Namespace) identify() (int32, error) {
	id, err := n.lookUp()
	if err != nil || id != noID {
		return id, err
	}
	// -1 lets the kernel choose. Somebody else may have been quicker.
	err = n.kernel.Tell(unix.RTM_NEWNSID, nl.NewRtGenMsg(), number(netNSFD, n.fd), number(netNSID, noID))
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return 0, fmt.Errorf("giving a network namespace an id: %w", err)
	}
	id, err = n.lookUp()
	if err == nil && id == noID {
		err = errors.New("giving a network namespace an id: the kernel gives it none")
	}
	return id, err
}

func (n *Namespace) lookUp() (int32, error) {
	body, err := n.kernel.Get(unix.RTM_GETNSID, unix.RTM_NEWNSID, nl.NewRtGenMsg(), number(netNSFD, n.fd))
	if err != nil {
		return 0, fmt.Errorf("finding the id of a network namespace: %w", err)
	}
	if header := nl.NewRtGenMsg().Len(); len(body) >= header {
		attrs, err := nl.ParseRouteAttr(body[header:])
		if err != nil {
			return 0, fmt.Errorf("reading the kernel's answer: %w", err)
		}
		for _, a := range attrs {
			if a.Attr.Type == netNSID && len(a.Value) >= 4 {
				return int32(binary.NativeEndian.Uint32(a.Value)), nil //nolint:gosec // an int32 to the kernel
			}
		}
	}
	return 0, errors.New("finding the id of a network namespace: the kernel's answer has none")
}

// number is an attribute with a number of 32 bits.
func number(kind, value int) *nl.RtAttr {
	return nl.NewRtAttr(kind, nl.Uint32Attr(uint32(value))) //nolint:gosec // the bits are what is wanted
}

// target has a request carried out in the namespace, and not in the one of the socket.
func (n *Namespace) target(attribute int, parts []nl.NetlinkRequestData) []nl.NetlinkRequestData {
	if !n.from {
		return parts
	}
	return append(parts, number(attribute, int(n.id)))
}
