// SPDX-License-Identifier: Apache-2.0

package main

// states are M10 to M20: something was decided on what was not so, or not so any more.
var states = []mutant{
	{
		id: "M10", bug: "addresses are given out before it is known which are",
		edits: []edit{{
			"internal/agent/ready.go",
			"\tif err := t.awaitReady(ctx); err != nil {\n\t\treturn err\n\t}\n\treturn t.awaitJudged(ctx)\n",
			"\treturn nil\n",
		}},
		pkg: "internal/agent", tests: []string{"TestStartWithoutAPI"},
	},
	{
		id: "M10b", bug: "who has just started believes an API of which it does not know how old it is",
		edits: []edit{{"internal/timeline/gate.go", "g.doubts.Store(1)", "g.nodes.listed = true"}},
		pkg:   "internal/timeline", tests: []string{"TestGate"},
	},
	{
		id: "M10c", bug: "a node is taken for silent although nobody has listened",
		edits: []edit{{"internal/timeline/nodes.go", "case n.at.Sub(is.since) >= times.Silence:", "case time.Since(is.since) >= times.Silence:"}},
		pkg:   "internal/timeline", tests: []string{"TestUnheardInACrowd"},
	},
	{
		id: "M10d", bug: "a node that has yet to report that the API has gone back counts itself as away",
		edits: []edit{{"internal/agent/recovery.go", "if why != \"\" {\n\t\treturn &timeline.Unsettled", "if why == r.nodeName {\n\t\treturn &timeline.Unsettled"}},
		pkg:   "internal/agent", tests: []string{"TestReportThatTakesLong"},
	},
	{
		id: "M11", bug: "an address is taken back on the word of one stale source",
		edits: []edit{{
			"controllers/holder_controller.go",
			"verdict, err = r.look(ctx, r.APIReader, claim)",
			"verdict, err = r.look(ctx, r.Client, claim)",
		}},
		pkg: "controllers", tests: []string{"TestStaleCacheEndsNothing"},
	},
	{
		id: "M11b", bug: "a node that is cut off goes on by what it saw last",
		edits: []edit{{
			"internal/agent/contact.go",
			"return c.insideLocked() && c.vouched == c.silences && timeline.Elapsed(",
			"return c.vouched == c.silences || timeline.Elapsed(",
		}},
		pkg: "internal/agent", tests: []string{"TestContact"},
	},
	{
		id: "M12", bug: "DEL of a container that nobody knows is an error",
		edits: []edit{{
			"internal/agent/journal_verbs.go",
			"return &attempt{ContainerID: k.ContainerID, Interface: k.Interface, State: deleted, At: now}, nil",
			"return nil, errTombstone",
		}},
		pkg: "internal/agent", tests: []string{"TestTombstones", "TestDelChangesNothingElse"},
	},
	{
		id: "M13", bug: "an error of DEL has the words that a runtime takes for success",
		edits: []edit{{
			"plugin/errors.go",
			`return noSuch.ReplaceAllString(notFound.ReplaceAllString(text, "missing"), "it does not exist")`,
			"return text",
		}},
		pkg: "plugin", tests: []string{"TestDelErrorsAreHarmless"},
	},
	{
		id: "M14", bug: "of two families one is answered, and that is a success",
		edits: []edit{{
			"plugin/result.go",
			"for _, ip := range lease.IPs {\n\t\tif !isNetwork(ip.Address) {",
			"for _, ip := range lease.IPs[:1] {\n\t\tif !isNetwork(ip.Address) {",
		}},
		pkg: "plugin", tests: []string{"TestIPAMResults"},
	},
	{
		id: "M15", bug: "a pod that is gone from the API is taken for dead, although its node does not answer",
		edits: []edit{{
			"controllers/holder_policy.go",
			"default:\n\t\treturn holdVerdict{Suspect: v1alpha1.ClaimReasonNodeSilent, Why: over + \", and its node does not answer\"}",
			"default:\n\t\treturn holdVerdict{End: binding.End{Reason: v1alpha1.EndPodsGone, Evidence: over}}",
		}},
		pkg: "controllers", tests: []string{"TestJudgeHold"},
	},
	{
		id: "M16", bug: "a static pod goes by the UID of its mirror, which the runtime does not know",
		edits: []edit{{
			"internal/binding/identity.go",
			"if mirror, ok := pod.Annotations[annotationConfigMirror]; ok {",
			"if mirror, ok := pod.Annotations[annotationConfigMirror]; ok && mirror == \"\" {",
		}},
		pkg: "internal/binding", tests: []string{"TestPodUID"},
	},
	{
		id: "M17", bug: "an address is anybody's as soon as it was released",
		edits: []edit{{
			"controllers/lease_cooling.go",
			"if left := retention.Cooldown(lease, pool) - now.Sub(first); left > 0 {",
			"if left := retention.Cooldown(lease, pool) - now.Sub(first); left > retention.Cooldown(lease, pool) {",
		}},
		pkg: "controllers", tests: []string{"TestCooldownIsWhatWasSeen"},
	},
	{
		id: "M17b", bug: "an address that cools is offered to others",
		edits: []edit{{
			"internal/allocator/lease.go",
			"return l.State != Reusable }",
			"return l.State != Reusable && l.State != Cooling }",
		}},
		pkg: "internal/allocator", tests: []string{"TestStates"},
	},
	{
		id: "M18", bug: "a cooldown is measured by the clock of whoever released",
		edits: []edit{{
			"controllers/lease_cooling.go",
			"first := r.observed.first(lease.Name, observation{uid: lease.UID, kind: cooling, stamp: lease.Spec.ReleasedAt.Time}, now)",
			"first := lease.Spec.ReleasedAt.Time",
		}},
		pkg: "controllers", tests: []string{"TestCooldownIsWhatWasSeen"},
	},
	{
		id: "M20", bug: "of two that give out one address from memory, both do",
		edits: []edit{{
			"internal/binding/take.go",
			"if !sameIdentity || ref.UID == t.claim.UID {\n\t\t\treturn false, nil",
			"if !sameIdentity || ref.UID == t.claim.UID {\n\t\t\treturn true, nil",
		}},
		pkg: "internal/binding", tests: []string{"TestExactlyAsManyAddressesAsClaims", "TestReusableRecordIsTakenOnce"},
	},
}
