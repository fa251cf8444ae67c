// SPDX-License-Identifier: Apache-2.0

package problem

// Kinds are all entries, by code.
//
// They are told here, and not by each entry as it is made: so the catalogue is data that nothing has to run for, and a program that tells
// only some of it, as the plugin does at each exec, has only those.
func Kinds() []*Kind {
	return []*Kind{
		MulticastMAC, ImpossibleMAC, ForeignMAC, MACTaken,
		AddressOutside, AddressExcluded, AddressTaken, AddressMismatch, AddressCooling, AddressReserved, AddressConflict,
		WrongPrefixLength, BadAddress, ClaimHeld, ClaimDiffers, ClaimDeleting, NotOurClaim, ClaimRefused, LeaseLost, ClaimInUse, PoolInUse,
		ForceReleaseForbidden, HolderSuspect, ClaimUnknown, ClaimOfAnother, ClaimTwice, RolloutWaits, OneClaimManyPods, ClaimPromised,
		HolderAsked, GateUnneeded, GateOnly, NetworkMissing, HolderUntrue,
		PoolExhausted, PoolUnknown, PoolNotReady, PoolForbidden, NoPoolNamed, OtherPool, AllocationPaused, ReleasesPaused, NamespaceFull,
		ParentUnknown, ParentNotReady, NodeGuarded, NoAddresses, PolicyNotInForce, NotItsNode, OnlyMacpool, ProbeName,
		BadConfig, BadAnnotation, UnknownRole, UnsupportedMain, ChainedEntryMissing, InputTooLarge, UnsupportedVersion, NoPrevResult,
		NotAPod, BadEnvironment, VLANMismatch, SecondIPAM, IgnoredSettings, LeaseOverwritten, DefinitionMissing, BadDelegate, DelegateMissing, DelegateFailed,
		DelegateDiffers, InterfaceExists, MACsAlone, IPAMMissing,
		AgentUnreachable, APIUnreachable, PodUnknown, PodElsewhere, ContainerDeleted, LinkMissing, LinkUp, LinkRefused, LinkDiffers,
		NotAttached, JournalFailed, HostNetwork, StillAttached, BadRequest, DelNotKept, PodFinished, ForeignPlugin, NowhereToInstall,
		PreviousHolderAlive, TakeoverTooSoon, TakeoverForbidden, WireNotAsked, Fenced, SandboxLingers, AddressNotProbed, GatewaySilent,
		ProxyAnswers, TooManyConflicts, StrangerHeard, OldInterfaceAlive, HoldStolen, ParentMissing, OldSandboxUp, MadeWay, Internal,
		UntrustedSocket, ForeignNetNS, ForeignState,
	}
}
