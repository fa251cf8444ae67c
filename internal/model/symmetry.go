// SPDX-License-Identifier: Apache-2.0

package model

// canonical renames nodes, so that of two states that differ in these names only one remains: no rule looks at them.
func (s *state) canonical() {
	if s.nodesReversed() {
		s.swapNodes()
	}
}

// nodesReversed : the first pod that is somewhere is on the first node; without pods the nodes are ordered by what they are.
func (s *state) nodesReversed() bool {
	for p := range s.pod {
		if s.pod[p].st != unborn && !s.isSpent(uint8(p)) {
			return s.pod[p].node == 1
		}
	}
	return s.node[0].rank() < s.node[1].rank()
}

func (n *node) rank() uint32 {
	r := uint32(0)
	for _, v := range [...]uint8{n.net, n.down, n.silent, n.fenced, n.lag, n.timeline, n.ahead, n.reported, n.renewed} {
		r = r<<2 | uint32(v)
	}
	return r
}

func (s *state) swapNodes() {
	s.node[0], s.node[1] = s.node[1], s.node[0]
	s.cache[0], s.cache[1] = s.cache[1], s.cache[0]
	s.past.nodes[0], s.past.nodes[1] = s.past.nodes[1], s.past.nodes[0]
	for p := range s.pod {
		if s.pod[p].st != unborn && !s.isSpent(uint8(p)) {
			s.pod[p].node ^= 1
		}
	}
}
