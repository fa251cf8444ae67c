// SPDX-License-Identifier: Apache-2.0

package main

import "slices"

// mutants are the bugs of the catalogue of incidents, in its order: row by row what others' software did, put into ours.
var mutants = slices.Concat(releases, states, networks)

// unexpressed are the rows that no change of our code brings back.
var unexpressed = []unexpressible{
	{
		"M19", "the token in the CNI's kubeconfig ran out",
		"nothing of macpool on the host has one: the plugin speaks to the agent alone, as TestNoKubernetesLibrary sees, which reads what is built",
	},
	{
		"M26", "an admission policy that named beta versions only did nothing where v1 was served",
		"policies are no Go but files that the tests apply as they are; TestDeletionOfClaims and TestNotations see that they refuse",
	},
}
