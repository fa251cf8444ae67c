// SPDX-License-Identifier: Apache-2.0

package main

// networks are M21 to M30: pools, runtimes, takeovers, and what holds it all together.
var networks = []mutant{
	{
		id: "M21", bug: "a pool that shrinks forgets what it has leased outside",
		edits: []edit{{
			"internal/allocator/allocator.go",
			"\t\ta.removePoolLocked(name)\n\t}\n\ta.addPoolLocked(name, p)\n",
			`		a.removePoolLocked(name)
		for n, l := range a.leases.byName {
			if s, ok := p.SlotOf(n.Addr); l.Pool == name && (!ok || p.Classify(s).Class == Outside) {
				a.leases.remove(n)
			}
		}
	}
	a.addPoolLocked(name, p)
`,
		}},
		pkg: "internal/allocator", tests: []string{"TestEditedRanges"},
	},
	{
		id: "M22", bug: "GC with an empty list ends everything",
		edits: []edit{{
			"internal/agent/gc.go",
			"case a.netnsAlive(entry.NetNS):\n\t\t\talive++\n",
			"case valid && a.netnsAlive(entry.NetNS):\n\t\t\talive++\n",
		}},
		pkg: "internal/agent", tests: []string{"TestGC"},
	},
	{
		id: "M22b", bug: "GC of one network ends what another has",
		edits: []edit{{"internal/agent/gc.go", "if entry.Network != req.Network {", "if entry.Network == \"\" {"}},
		pkg:   "internal/agent", tests: []string{"TestGC"},
	},
	{
		id: "M22c", bug: "a runtime that has lost its records is told that all is well",
		edits: []edit{{"internal/agent/gc.go", "if len(req.Valid) == 0 && alive > 0 {", "if len(req.Valid) > 0 && alive < 0 {"}},
		pkg:   "internal/agent", tests: []string{"TestGC"},
	},
	{
		id: "M23", bug: "an ADD whose DEL has come is attached all the same",
		edits: []edit{{
			"internal/agent/journal_verbs.go",
			"if known := s.attempts[a.key()]; known != nil && known.State != attached {",
			"if known := s.attempts[a.key()]; known != nil && known.Number < 0 {",
		}},
		pkg: "internal/agent", tests: []string{"TestTombstones", "TestDelOvertakesAdd"},
	},
	{
		id: "M23b", bug: "an ADD goes on when its caller was killed",
		edits: []edit{{"internal/agent/conversation.go", "\t\t\thangUp(errHungUp)\n", "\t\t\t_ = errHungUp\n"}},
		pkg:   "internal/agent", tests: []string{"TestHangUp"},
	},
	{
		id: "M23c", bug: "an ADD that nobody waited for is not undone",
		edits: []edit{{
			"internal/agent/add.go",
			"\t\t} else {\n\t\t\tt.log.Info(\"The caller of an ADD was gone",
			"\t\t} else if undo == nil {\n\t\t\tt.log.Info(\"The caller of an ADD was gone",
		}},
		pkg: "internal/agent", tests: []string{"TestHangUpAfterTheJournal"},
	},
	{
		id: "M24", bug: "an address is taken over while the old pod may send",
		edits: []edit{{
			"internal/agent/takeover.go",
			"return v1alpha1.EndTakenOver, s.takeover != v1alpha1.TakeoverImmediate, nil",
			"return v1alpha1.EndTakenOver, false, nil",
		}},
		pkg: "internal/agent", tests: []string{"TestTakeoverRules"},
	},
	{
		id: "M24b", bug: "an address is taken over from a node that may be slow and no more",
		edits: []edit{{"internal/agent/takeover.go", "case s.silent < after:", "case s.silent < 0:"}},
		pkg:   "internal/agent", tests: []string{"TestTakeoverRules"},
	},
	{
		id: "M24c", bug: "a node that is back sends with what was taken over meanwhile",
		edits: []edit{{
			"internal/agent/lost.go",
			"case holder != nil && holder.Generation > entry.Generation:\n\t\treturn loses, podOf(claim)",
			"case holder != nil && holder.Generation > entry.Generation:\n\t\treturn keeps, podOf(claim)",
		}},
		pkg: "internal/agent", tests: []string{"TestJudgeByClaim"},
	},
	{
		id: "M25", bug: "two pools make the same MACs",
		edits: []edit{{
			"internal/mac/prefix.go",
			"return Prefix{byte(vlan>>8&0x0f)<<4 | localBit, byte(vlan & 0xff), 0}",
			"return Prefix{localBit, byte(vlan >> 16), 0}",
		}},
		pkg: "internal/mac", tests: []string{"TestDefaultPrefixOfEveryVLAN"},
	},
	{
		id: "M25b", bug: "a MAC that a person gives goes past the reservation",
		edits: []edit{{
			"internal/binding/wish.go",
			"\t\tif asked && s != slot {\n\t\t\treturn 0, false, mismatch(first, w.MAC.String(), pool, plan, slot)\n\t\t}\n\t\tslot, asked = s, true\n",
			"\t\tif asked && s != slot {\n\t\t\treturn 0, false, mismatch(first, w.MAC.String(), pool, plan, slot)\n\t\t}\n",
		}},
		pkg: "internal/binding", tests: []string{"TestWishes"},
	},
	{
		id: "M27", bug: "the API server of the tests lets two create one name",
		edits: []edit{{
			"internal/memapi/write.go",
			"if k.get(r.key) != nil {\n\t\treturn nil, apierrors.NewAlreadyExists(",
			"if k.get(r.key) != nil && err != nil {\n\t\treturn nil, apierrors.NewAlreadyExists(",
		}},
		pkg: "internal/memapi", tests: []string{"TestTheTableSeesWeakServers", "TestSameAsTheRealServer"},
	},
	{
		id: "M28", bug: "what is late removes the interface of the pod that is there now",
		edits: []edit{{
			"internal/agent/fence_judge.go",
			"if other.NetNS == entry.NetNS && other.ContainerID != entry.ContainerID && !other.At.Before(entry.At) {\n\t\t\treturn true",
			"if other.NetNS == entry.NetNS && other.ContainerID != entry.ContainerID && !other.At.Before(entry.At) {\n\t\t\treturn false",
		}},
		pkg: "internal/agent", tests: []string{"TestFenceOfAPathThatIsUsedAgain"},
	},
	{
		id: "M28b", bug: "what is late changes the link that was made again under the name",
		edits: []edit{{
			"plugin/link.go",
			"if err := l.sandbox.SetMAC(l.Link, mac); err != nil {",
			`link, err := l.sandbox.Link(l.name)
	if err == nil {
		err = l.sandbox.SetMAC(link, mac)
	}
	if err != nil {`,
		}},
		pkg: "plugin", tests: []string{"TestSetMACOfTheLinkThatWasLookedAt"},
	},
	{
		id: "M29", bug: "a DEL that never comes leaves its address leased for ever",
		edits: []edit{{
			"internal/agent/reaper.go",
			"if !r.netnsAlive(entry.NetNS) && !r.podRuns(ctx, entry.Pod) {",
			"if entry.NetNS == \"\" && !r.podRuns(ctx, entry.Pod) {",
		}},
		pkg: "internal/agent", tests: []string{"TestReaper"},
	},
	{
		id: "M30", bug: "one of several maps is not told when a lease goes",
		edits: []edit{{
			"internal/allocator/lease.go",
			"\t\ts.byIdentity.remove(s.memberHash(member{n.Segment, r.Claim}), r, inIdentity)\n",
			"",
		}},
		pkg: "internal/allocator", tests: []string{"TestByIdentity", "TestModel"},
	},
	{
		id: "M30b", bug: "the lock of each claim that was ever attached is kept",
		edits: []edit{{"internal/keylock/keylock.go", "\t\tdelete(l.locks, key)\n", ""}},
		pkg:   "internal/keylock", tests: []string{"TestLocks"},
	},
}
