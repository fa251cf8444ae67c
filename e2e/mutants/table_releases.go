// SPDX-License-Identifier: Apache-2.0

package main

// releases are M01 to M09: something was given back that another had by then, or was never given back.
var releases = []mutant{
	{
		id: "M01", bug: "a release goes by the name, whoever has the address by then",
		edits: []edit{{
			"internal/binding/holder.go",
			"\t\tholder := HolderOf(claim, podUID)\n\t\tif holder == nil || holder.Generation > generation {",
			"\t\tholder := claim.Status.Holder\n\t\tif holder == nil {",
		}, {
			"internal/binding/holder.go",
			"b.endHoldOf(&updated.Status, podUID, end)\n\t\twriteErr",
			"b.endHoldOf(&updated.Status, holder.PodUID, end)\n\t\twriteErr",
		}},
		pkg: "internal/binding", tests: []string{"TestHolder"},
	},
	{
		id: "M01b", bug: "the DEL of a sandbox ends what the pod's next sandbox has",
		edits: []edit{{
			"internal/agent/clears.go",
			"if other.Number > entry.Number {\n\t\t\treturn newerAttached",
			"if other.Number > entry.Number {\n\t\t\tcontinue",
		}},
		pkg: "internal/agent", tests: []string{"TestAttemptsInARow", "TestNewContainerBeforeTheClear"},
	},
	{
		id: "M01c", bug: "a release that is late arrives when the pod is attached again",
		edits: []edit{{
			"internal/agent/acquire.go",
			"if holder.Generation > doubtful {",
			"if holder.Generation > doubtful || doubtful > 0 {",
		}},
		pkg: "internal/agent", tests: []string{"TestClearThatArrivesLate"},
	},
	{
		id: "M02", bug: "the pods are read, then the leases: what was attached between the two is given back",
		edits: []edit{{
			"internal/binding/holder.go",
			"holder *v1alpha1.Holder, end End) (*v1alpha1.MacClaim, error) {\n\tupdated := claim.DeepCopy()\n",
			`holder *v1alpha1.Holder, end End) (*v1alpha1.MacClaim, error) {
	updated := &v1alpha1.MacClaim{}
	if err := b.Client.Get(ctx, client.ObjectKeyFromObject(claim), updated); err != nil || updated.Status.Holder == nil {
		return updated, err
	}
	holder = updated.Status.Holder
`,
		}},
		pkg: "controllers", tests: []string{"TestPausedBetweenReadAndWrite"},
	},
	{
		id: "M03", bug: "a pod without the annotation network-status has no address",
		edits: []edit{{
			"controllers/holder_evidence.go",
			"\tif pod != nil {\n\t\tfacts.Pod = stateOf(pod)",
			"\tif pod != nil && pod.Annotations[nadv1.NetworkStatusAnnot] != \"\" {\n\t\tfacts.Pod = stateOf(pod)",
		}},
		pkg: "controllers", tests: []string{"TestT2EditedPodIsNoEvidence"},
	},
	{
		id: "M04", bug: "the next pod of the name keeps what the one before has left",
		edits: []edit{{
			"controllers/holder_evidence.go",
			"err == nil && binding.PodUID(pod) != holder.PodUID:",
			"err == nil && binding.PodUID(pod) == \"\":",
		}},
		pkg: "controllers", tests: []string{"TestEvidenceKeeps", "TestReplacedPodAfterAFence"},
	},
	{
		id: "M05", bug: "a release takes the address from the identity's next claim",
		edits: []edit{{
			"internal/binding/release.go",
			"if lease.Spec.ClaimRef.UID != claim || lease.Spec.ReleasedAt != nil {",
			"if lease.Spec.ReleasedAt != nil {",
		}},
		pkg: "internal/binding", tests: []string{"TestSuccessorAgainstRelease"},
	},
	{
		id: "M06", bug: "the address of a StatefulSet's pod is collected before its next pod is there",
		edits: []edit{{
			"controllers/claim_policy.go",
			"if in.SetExists {",
			"if in.SetExists && in.Pod != podGone {",
		}},
		pkg: "controllers", tests: []string{"TestJudgeLife", "TestStatefulSetKeepsItsAddress"},
	},
	{
		id: "M07", bug: "a write has failed, and the address is answered",
		edits: []edit{{
			"internal/binding/bind.go",
			"if writeErr == nil {\n\t\tb.bound(",
			"if !apierrors.IsConflict(writeErr) {\n\t\tb.bound(",
		}},
		pkg: "internal/agent", tests: []string{"TestBusyAPI"},
	},
	{
		id: "M08", bug: "an answer was lost, and another address is taken",
		edits: []edit{{
			"internal/binding/take.go",
			"\t\t// It exists, or the answer was lost and nobody knows: what is under the name now decides (R-A4).\n",
			"\t\tif !apierrors.IsAlreadyExists(createErr) {\n\t\t\treturn nil, errTaken\n\t\t}\n",
		}},
		pkg: "internal/binding", tests: []string{"TestResponseDroppedAfterCommit"},
	},
	{
		id: "M09", bug: "a hold that has begun since is ended on what was known of the one before",
		edits: []edit{{
			"internal/binding/holder.go",
			"if holder == nil || holder.Generation > generation {",
			"if holder == nil {",
		}},
		pkg: "internal/binding", tests: []string{"TestHolder"},
	},
}
