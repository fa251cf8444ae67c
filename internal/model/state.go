// SPDX-License-Identifier: Apache-2.0

package model

// The sizes of the world. Two pods are of one identity, and so of one claim; the third has a claim of its own.
const (
	nPods     = 3
	nClaims   = 2
	nNodes    = 2
	nAddrs    = 2
	nSandbox  = 2 // containers that a pod can have, one after another
	nManagers = 2
)

// claimOf is the claim of a pod.
var claimOf = [nPods]uint8{0, 0, 1}

// state is one state of the world. All of it is small numbers, so that states are compared and copied as values. Names of
// pods and addresses are stored as index + 1 where 0 means none.
type state struct {
	lease [nAddrs]lease
	claim [nClaims]claim
	pod   [nPods]pod
	box   [nPods][nSandbox]sandbox
	node  [nNodes]node
	cache [nNodes][nClaims]cached
	mgr   [nManagers]message
	// late is a write that its sender has given up on, and that is on its way all the same.
	late message
	// faults and retries count what the scope limits.
	faults, retries uint8

	past     snapshot
	restores uint8
	// timeline is the pools', paused that nothing is given out and nothing released.
	timeline, paused uint8
}

// The states of an address.
const (
	free uint8 = iota // no lease object, or one that is reusable: both may be had by one write that can fail
	leased
	cooling
)

// lease is a MacLease. claim and uid are its claimRef: the uid of a claim is the number of times it was made.
type lease struct {
	st, claim, uid uint8
	// out: the pool does not have the address any more.
	out uint8
}

// claim is a MacClaim.
type claim struct {
	// exists, and uid: how often it was made.
	exists, uid uint8
	lease       uint8 // address + 1
	holder      uint8 // pod + 1
	gen         uint8
	// held and lost are sets of pods: that have held it, and whose hold was ended without the word of their node.
	held, lost uint8
}

// The states of a pod in the API.
const (
	unborn uint8 = iota
	alive
	gone // or finished
)

// pod is a Pod. reaped is the record in the journal of its node that stands for a holder without a container.
type pod struct {
	st, node uint8
	reaped   uint8 // journal state: none, detached or deleted
	reapGen  uint8
	reapMsg  uint8
}

// The steps of an ADD.
const (
	stepNone   uint8 = iota
	stepSent         // the runtime has called, the agent decides
	stepRecord       // the lease is made
	stepTake         // another pod holds the claim, its node is silent, and nothing answered
	stepEnter        // the pod is the holder
	stepAnswer       // the journal is written
	stepDone         // answered, and the interface is up
	stepEnded        // refused, or cut off
)

// The states of a record in the journal.
const (
	unknown uint8 = iota
	attached
	detached
	deleted
)

// What has become of a message.
const (
	msgNone uint8 = iota
	msgFresh
	msgStale
)

// The states of a DEL.
const (
	delNone uint8 = iota
	delSent
	delDone // or lost for ever
)

// sandbox is a container of a pod: the ADD for it, its netns, and what the journal says.
type sandbox struct {
	step uint8
	addr uint8 // address + 1: chosen, leased, on the link
	uid  uint8 // of the claim that the ADD has read
	gen  uint8
	// fresh: nobody has written the claim since the ADD read it.  mine: it set the holder.
	fresh, made, mine uint8
	// orphan: the runtime does not wait for the ADD any more, and has hung up.
	orphan uint8
	// lapsed: the node was silent for long since the ADD began.
	lapsed      uint8
	netns, link uint8
	del         uint8

	journal        uint8
	cleared, tried uint8
	newer          uint8 // attached after the other sandbox of the pod
	msg            uint8 // a clear on its way
	reported       uint8
	// lost: the hold was ended without the word of the node. Nothing in the system knows it but by the objects.
	lost uint8
}

// How a node is connected.
const (
	netOK      uint8 = iota
	netHealing       // connected again, and its agent has not compared yet
	netNoAPI         // the VLAN is there, the API is not
	netCut           // neither is
)

type node struct {
	net uint8
	// silent: for so long that others may take from it. fenced: it is known to be off. lag: its watches are behind.
	down, silent, fenced, lag uint8

	// timeline is the agent's; ahead says that the API has an older epoch than the agent's disk; reported that the agent
	// has written its MacNode since the snapshot, renewed since the API went back.
	timeline, ahead, reported, renewed uint8
}

// cached is what an agent's cache says about a claim, as far as it is of use: a holder on this node.
type cached struct{ holder, gen, addr uint8 }

// message is a write that is about to be made, on what was read before.
type message struct {
	kind      messageKind
	x, y, uid uint8
	// fresh: nobody has written the claim that was read. leaseFresh: the lease.
	fresh, leaseFresh uint8
}

// snapshot is a copy of what the API knows.
type snapshot struct {
	taken    uint8
	lease    [nAddrs]lease
	claim    [nClaims]claim
	pod      [nPods]uint8
	timeline uint8
	paused   uint8
	nodes    [nNodes]uint8 // timelines
}

// messageKind is what a message writes.
type messageKind uint8

const (
	writeNothing  messageKind = iota
	createLease               // x: claim, y: address
	recordLease               // x: claim, y: address
	recordHolder              // x: pod, y: address; lease and holder in one write
	setHolder                 // x: pod
	takeOver                  // x: pod
	voidOrphan                // x: address
	releaseOrphan             // x: address, y: claim
	releaseEnded              // x: address, y: claim
	deleteClaim               // x: claim
	clearOnFence              // x: claim
	endCooldown               // x: address, y: claim
	takeBack                  // x: address, y: claim
	deleteRecord              // x: address
)

// reachesAPI tells whether the agent of a node is in contact with the API.
func (s *state) reachesAPI(n uint8) bool {
	return s.node[n].down == 0 && s.node[n].net <= netHealing
}

// isLocked tells whether an ADD of the claim is being served on the node. It keeps the claim's lock until its answer is sent.
func (s *state) isLocked(n, c uint8) bool {
	for p := range uint8(nPods) {
		if claimOf[p] != c || s.pod[p].node != n || s.pod[p].st == unborn {
			continue
		}
		for k := range s.box[p] {
			if step := s.box[p][k].step; step >= stepRecord && step <= stepAnswer {
				return true
			}
		}
	}
	return false
}

// wroteClaim makes all that was read of the claim before old.
func (s *state) wroteClaim(c uint8) {
	for p := range s.box {
		if claimOf[p] != c {
			continue
		}
		for k := range s.box[p] {
			s.box[p][k].fresh = 0
			s.box[p][k].msg = aged(s.box[p][k].msg)
		}
		s.pod[p].reapMsg = aged(s.pod[p].reapMsg)
	}
	for i := range s.mgr {
		if s.mgr[i].isAbout(c) {
			s.mgr[i].fresh = 0
		}
	}
	if s.late.isAbout(c) {
		s.late.fresh = 0
	}
}

func aged(msg uint8) uint8 {
	if msg == msgFresh {
		return msgStale
	}
	return msg
}

// isAbout tells whether the message was made from a read of the claim.
func (m *message) isAbout(c uint8) bool {
	switch m.kind {
	case createLease, recordLease, deleteClaim, clearOnFence:
		return m.x == c
	case recordHolder, setHolder, takeOver:
		return claimOf[m.x] == c
	case voidOrphan:
		return m.y == c
	default:
		return false
	}
}

// wroteLease makes all that was read of the lease before old.
func (s *state) wroteLease(a uint8) {
	for p := range s.box {
		for k := range s.box[p] {
			if b := &s.box[p][k]; b.addr == a+1 {
				b.made = 0
			}
		}
	}
	for i := range s.mgr {
		switch m := &s.mgr[i]; m.kind {
		case voidOrphan, releaseOrphan, releaseEnded, endCooldown, takeBack, deleteRecord:
			if m.x == a {
				m.leaseFresh = 0
			}
		case recordLease:
			if m.y == a {
				m.leaseFresh = 0
			}
		default:
		}
	}
}

// anyAlive tells whether the API has a pod of the claim.
func (s *state) anyAlive(c uint8) bool {
	for p := range s.pod {
		if claimOf[p] == c && s.pod[p].st == alive {
			return true
		}
	}
	return false
}
