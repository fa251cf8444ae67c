// SPDX-License-Identifier: Apache-2.0

package model

// A state is packed into words: one for each pod with its sandboxes, one for the objects, one for what is in memory or on its way,
// and two for what only restores need.
const keyWords = 7

// key is a state in few bits. The words that its scope does not need are zero.
type key [keyWords]uint64

const podBits = 10

func (o *pod) pack() uint64 {
	return uint64(o.st) | uint64(o.node)<<2 | uint64(o.reaped)<<3 | uint64(o.reapGen)<<5 | uint64(o.reapMsg)<<8
}

func (o *pod) unpack(w uint64) {
	o.st = uint8(w & 3)
	o.node = uint8(w >> 2 & 1)
	o.reaped = uint8(w >> 3 & 3)
	o.reapGen = uint8(w >> 5 & 7)
	o.reapMsg = uint8(w >> 8 & 3)
}

const sandboxBits = 27

func (b *sandbox) pack() uint64 {
	return uint64(b.step) | uint64(b.addr)<<3 | uint64(b.uid)<<5 | uint64(b.gen)<<7 | uint64(b.del)<<10 |
		uint64(b.journal)<<12 | uint64(b.msg)<<14 | uint64(b.fresh)<<16 | uint64(b.made)<<17 | uint64(b.mine)<<18 |
		uint64(b.orphan)<<19 | uint64(b.lapsed)<<20 | uint64(b.netns)<<21 | uint64(b.link)<<22 |
		uint64(b.cleared|b.tried)<<23 | uint64(b.newer)<<24 | uint64(b.reported)<<25 | uint64(b.lost)<<26
}

func (b *sandbox) unpack(w uint64) {
	b.step = uint8(w & 7)
	b.addr = uint8(w >> 3 & 3)
	b.uid = uint8(w >> 5 & 3)
	b.gen = uint8(w >> 7 & 7)
	b.del = uint8(w >> 10 & 3)
	b.journal = uint8(w >> 12 & 3)
	b.msg = uint8(w >> 14 & 3)
	b.fresh = uint8(w >> 16 & 1)
	b.made = uint8(w >> 17 & 1)
	b.mine = uint8(w >> 18 & 1)
	b.orphan = uint8(w >> 19 & 1)
	b.lapsed = uint8(w >> 20 & 1)
	b.netns = uint8(w >> 21 & 1)
	b.link = uint8(w >> 22 & 1)
	if b.journal == detached {
		b.tried = uint8(w >> 23 & 1)
	} else {
		b.cleared = uint8(w >> 23 & 1)
	}
	b.newer = uint8(w >> 24 & 1)
	b.reported = uint8(w >> 25 & 1)
	b.lost = uint8(w >> 26 & 1)
}

const leaseBits = 6

func (l *lease) pack() uint64 {
	return uint64(l.st) | uint64(l.uid)<<2 | uint64(l.claim)<<4 | uint64(l.out)<<5
}

func (l *lease) unpack(w uint64) {
	l.st = uint8(w & 3)
	l.uid = uint8(w >> 2 & 3)
	l.claim = uint8(w >> 4 & 1)
	l.out = uint8(w >> 5 & 1)
}

const claimBits = 16

func (c *claim) pack() uint64 {
	return uint64(c.uid) | uint64(c.lease)<<2 | uint64(c.holder)<<4 | uint64(c.gen)<<6 | uint64(c.held)<<9 | uint64(c.lost)<<12 |
		uint64(c.exists)<<15
}

func (c *claim) unpack(w uint64) {
	c.uid = uint8(w & 3)
	c.lease = uint8(w >> 2 & 3)
	c.holder = uint8(w >> 4 & 3)
	c.gen = uint8(w >> 6 & 7)
	c.held = uint8(w >> 9 & 7)
	c.lost = uint8(w >> 12 & 7)
	c.exists = uint8(w >> 15 & 1)
}

const nodeBits = 6

func (n *node) pack() uint64 {
	return uint64(n.net) | uint64(n.down)<<2 | uint64(n.silent)<<3 | uint64(n.fenced)<<4 | uint64(n.lag)<<5
}

func (n *node) unpack(w uint64) {
	n.net = uint8(w & 3)
	n.down = uint8(w >> 2 & 1)
	n.silent = uint8(w >> 3 & 1)
	n.fenced = uint8(w >> 4 & 1)
	n.lag = uint8(w >> 5 & 1)
}

const cachedBits = 7

func (h *cached) pack() uint64 {
	return uint64(h.holder) | uint64(h.gen)<<2 | uint64(h.addr)<<5
}

func (h *cached) unpack(w uint64) {
	h.holder = uint8(w & 3)
	h.gen = uint8(w >> 2 & 7)
	h.addr = uint8(w >> 5 & 3)
}

const messageBits = 11

func (m *message) pack() uint64 {
	return uint64(m.kind) | uint64(m.x)<<4 | uint64(m.uid)<<6 | uint64(m.y)<<8 | uint64(m.fresh)<<9 | uint64(m.leaseFresh)<<10
}

func (m *message) unpack(w uint64) {
	m.kind = messageKind(w & 15)
	m.x = uint8(w >> 4 & 3)
	m.uid = uint8(w >> 6 & 3)
	m.y = uint8(w >> 8 & 1)
	m.fresh = uint8(w >> 9 & 1)
	m.leaseFresh = uint8(w >> 10 & 1)
}

// pack is the state as a key.
func (s *state) pack(restores bool) (k key) {
	for p := range s.pod {
		k[p] = s.pod[p].pack() | s.box[p][0].pack()<<podBits | s.box[p][1].pack()<<(podBits+sandboxBits)
	}
	var w packer
	for i := range s.lease {
		w.put(s.lease[i].pack(), leaseBits)
	}
	for i := range s.claim {
		w.put(s.claim[i].pack(), claimBits)
	}
	for i := range s.node {
		w.put(s.node[i].pack(), nodeBits)
	}
	w.put(uint64(s.faults), 3)
	w.put(uint64(s.retries), 2)
	k[3] = w.word
	w = packer{}
	for i := range s.cache {
		for c := range s.cache[i] {
			w.put(s.cache[i][c].pack(), cachedBits)
		}
	}
	for i := range s.mgr {
		w.put(s.mgr[i].pack(), messageBits)
	}
	w.put(s.late.pack(), messageBits)
	k[4] = w.word
	if restores {
		k[5], k[6] = s.packPast()
	}
	return k
}

// unpack is the state of a key.
func (k *key) unpack(restores bool) (s state) {
	for p := range s.pod {
		s.pod[p].unpack(k[p])
		s.box[p][0].unpack(k[p] >> podBits)
		s.box[p][1].unpack(k[p] >> (podBits + sandboxBits))
	}
	w := packer{word: k[3]}
	for i := range s.lease {
		s.lease[i].unpack(w.take(leaseBits))
	}
	for i := range s.claim {
		s.claim[i].unpack(w.take(claimBits))
	}
	for i := range s.node {
		s.node[i].unpack(w.take(nodeBits))
	}
	s.faults = uint8(w.take(3) & 7)
	s.retries = uint8(w.take(2) & 3)
	w = packer{word: k[4]}
	for i := range s.cache {
		for c := range s.cache[i] {
			s.cache[i][c].unpack(w.take(cachedBits))
		}
	}
	for i := range s.mgr {
		s.mgr[i].unpack(w.take(messageBits))
	}
	s.late.unpack(w.take(messageBits))
	if restores {
		s.unpackPast(k[5], k[6])
	}
	return s
}

// packPast packs what only restores need.
func (s *state) packPast() (first, second uint64) {
	var w packer
	w.put(uint64(s.past.taken), 1)
	w.put(uint64(s.past.paused), 1)
	w.put(uint64(s.past.timeline), 2)
	for i := range s.past.lease {
		w.put(s.past.lease[i].pack(), leaseBits)
	}
	for i := range s.past.claim {
		w.put(s.past.claim[i].pack(), claimBits)
	}
	for i := range s.past.pod {
		w.put(uint64(s.past.pod[i]), 2)
	}
	for i := range s.past.nodes {
		w.put(uint64(s.past.nodes[i]), 2)
	}
	first, w = w.word, packer{}
	for i := range s.node {
		n := &s.node[i]
		w.put(uint64(n.timeline)|uint64(n.ahead)<<2|uint64(n.reported)<<3|uint64(n.renewed)<<4, 5)
	}
	w.put(uint64(s.restores)|uint64(s.timeline)<<2|uint64(s.paused)<<4, 5)
	return first, w.word
}

func (s *state) unpackPast(first, second uint64) {
	w := packer{word: first}
	s.past.taken = uint8(w.take(1) & 1)
	s.past.paused = uint8(w.take(1) & 1)
	s.past.timeline = uint8(w.take(2) & 3)
	for i := range s.past.lease {
		s.past.lease[i].unpack(w.take(leaseBits))
	}
	for i := range s.past.claim {
		s.past.claim[i].unpack(w.take(claimBits))
	}
	for i := range s.past.pod {
		s.past.pod[i] = uint8(w.take(2) & 3)
	}
	for i := range s.past.nodes {
		s.past.nodes[i] = uint8(w.take(2) & 3)
	}
	w = packer{word: second}
	for i := range s.node {
		v := w.take(5)
		n := &s.node[i]
		n.timeline, n.ahead, n.reported, n.renewed = uint8(v&3), uint8(v>>2&1), uint8(v>>3&1), uint8(v>>4&1)
	}
	v := w.take(5)
	s.restores, s.timeline, s.paused = uint8(v&3), uint8(v>>2&3), uint8(v>>4&1)
}

// packer appends fields to a word, or takes them from it.
type packer struct {
	word uint64
	at   uint
}

func (p *packer) put(v uint64, bits uint) {
	p.word |= v << p.at
	p.at += bits
}

// take is the rest of the word; who takes a field knows its width.
func (p *packer) take(bits uint) uint64 {
	v := p.word >> p.at
	p.at += bits
	return v
}
