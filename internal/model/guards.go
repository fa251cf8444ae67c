// SPDX-License-Identifier: Apache-2.0

package model

// Guard is one rule of the protocol that can be left out.
type Guard uint8

// The guards.
const (
	AtomicCreate Guard = iota
	ConfirmedWrite
	RecordPrecondition
	Earlier
	AdoptByWrite
	ClearUID
	ClearGeneration
	ClearPrecondition
	Renew
	NewerAttempt
	ClaimLock
	Tombstone
	HangUp
	Reaper
	ForgetPrecondition
	DeletePrecondition
	ClaimInUse
	EvidenceOrder
	ReleaseUID
	NodeEvidence
	OrphanRepair
	VoidBind
	OrphanVersion
	Cooldown
	Probe
	SilentFirst
	FencingWindow
	WindowAgain
	FenceOnHeal
	FenceReleased
	KeepOutside

	// Not guards, but what is assumed of time.
	HealTogether
	StayConnected
	TakeOverFast
	AddsEnd
	nGuards
)

// Guards is a set of guards.
type Guards uint64

// Off is the set of the guards.
func Off(guards ...Guard) (all Guards) {
	for _, g := range guards {
		all |= 1 << g
	}
	return all
}

// guardText is what a guard says, and the code that says it.
type guardText struct{ name, rule, code string }

var guardTexts = [nGuards]guardText{
	AtomicCreate:       {"AtomicCreate", "the address is the lease's name, and of two creates one wins", "binding.taker.create"},
	ConfirmedWrite:     {"ConfirmedWrite", "a write that failed is read back before anything is answered", "binding.Binder.record"},
	RecordPrecondition: {"RecordPrecondition", "the lease is recorded in the claim as it was read, with its resourceVersion", "binding.Binder.record"},
	Earlier:            {"Earlier", "what an earlier attempt has made is looked for before anything is chosen", "binding.taker.earlier"},
	AdoptByWrite:       {"AdoptByWrite", "a lease that an earlier attempt has made is written before it is recorded", "binding.taker.pickUp"},
	ClearUID:           {"ClearUID", "a clear is about one pod, by its UID", "binding.Binder.ClearHolder"},
	ClearGeneration:    {"ClearGeneration", "a clear is about holds up to one generation", "binding.Binder.ClearHolder"},
	ClearPrecondition:  {"ClearPrecondition", "a clear is a write of the claim as it was read", "binding.Binder.ClearHolder"},
	Renew:              {"Renew", "an ADD gives the holder a new generation, if its node may have sent a clear of the one it has", "agent.addition.renew"},
	NewerAttempt:       {"NewerAttempt", "nothing is cleared while the pod has a newer sandbox attached", "agent.clearWorker.inUse"},
	ClaimLock:          {"ClaimLock", "on a node, one ADD or one clear of a claim at a time", "keylock.Locks.Lock"},
	Tombstone:          {"Tombstone", "an ADD whose DEL has come is refused", "agent.journal.attach"},
	HangUp:             {"HangUp", "an ADD whose caller has gone undoes itself", "agent.server.converse"},
	Reaper:             {"Reaper", "what no DEL will end is looked for", "agent.reaper.judge"},
	ForgetPrecondition: {"ForgetPrecondition", "the record of a lease is deleted as it was read, by UID and resourceVersion", "controllers.LeaseReconciler.cool"},
	DeletePrecondition: {"DeletePrecondition", "a claim is deleted as it was read, by UID and resourceVersion", "controllers.MacClaimReconciler.remove"},
	ClaimInUse:         {"ClaimInUse", "a claim with a holder cannot be deleted (admission policy)", ""},
	EvidenceOrder:      {"EvidenceOrder", "the lease is read before the evidence that it is over", "controllers.LeaseReconciler.end"},
	ReleaseUID:         {"ReleaseUID", "what is released is the lease of one claim, by its UID", "binding.Binder.Release"},
	NodeEvidence:       {"NodeEvidence", "that a pod is gone from the API does not end its hold", "controllers.judgeHold"},
	OrphanRepair:       {"OrphanRepair", "a lease that no claim names is released", "controllers.LeaseReconciler.releaseOrphan"},
	VoidBind:           {"VoidBind", "before that the claim is written, so that nobody records the lease any more", "controllers.LeaseReconciler.releaseOrphan"},
	OrphanVersion:      {"OrphanVersion", "and the lease is released as it was read", "binding.Binder.ReleaseAsRead"},
	Cooldown:           {"Cooldown", "a released address waits before another identity may have it", "controllers.LeaseReconciler.cool"},
	Probe:              {"Probe", "the VLAN is asked before a hold is taken over", "agent.addition.probe"},
	SilentFirst:        {"SilentFirst", "nothing is taken over from a node that was silent for less than 40 s", "agent.standoff.judge"},
	FencingWindow:      {"FencingWindow", "an agent without contact for 20 s answers nothing from its caches", "agent.contact.cachesHold"},
	WindowAgain:        {"WindowAgain", "it looks at that again after the journal is written", "agent.addition.enter"},
	FenceOnHeal:        {"FenceOnHeal", "an agent that is back removes what has lost its address, before it serves", "agent.fence.all"},
	FenceReleased:      {"FenceReleased", "that a claim is gone and its lease released counts as lost, too (**the code does not do this yet**)", "agent.judgeLease"},
	KeepOutside:        {"KeepOutside", "an edit of the pool releases nothing", "controllers.LeaseReconciler.verify"},

	HealTogether:  {"HealTogether", "API and VLAN of a node that was cut off come back within seconds of each other", ""},
	StayConnected: {"StayConnected", "a node that is back is not cut off again in the seconds that a takeover or a fence takes", ""},
	TakeOverFast:  {"TakeOverFast", "the write of a takeover is made before an agent that is back has compared and serves", ""},
	AddsEnd:       {"AddsEnd", "an interface comes up, or not, within 20 s after the agent has answered", ""},
}

// String is the guard's name.
func (g Guard) String() string { return guardTexts[g].name }

// Case is what becomes of the protocol without some guards.
type Case struct {
	// Incidents are the rows of the catalogue of incidents, or of the fault matrix, that it is.
	Incidents string
	Off       []Guard
	Scope     Scope
	// Invariant is the first that is violated.
	Invariant string
	// Why is for cases that need more than one guard off: what else keeps the invariant.
	Why string
}

// Cases are the guards, one by one; where one covers for another, both.
func Cases() []Case {
	alone := pair("alone", 2)
	lost := pair("lost", 1)
	again := pair("again", 2)
	again.Retries = 1
	made := pair("made again", 2)
	made.Incarnations = 2
	noPerson := pair("nobody deletes claims by hand", 2)
	noPerson.Kinds = allFaults &^ faultClaimDeleted
	strangers := Scope{Name: "two identities", Pods: first | other, Faults: 1, Incarnations: 1, Managers: 1}
	return []Case{
		{Incidents: "M20, R-A1", Off: []Guard{AtomicCreate}, Scope: strangers, Invariant: "I2"},
		{Incidents: "M07", Off: []Guard{ConfirmedWrite}, Scope: alone, Invariant: "I2"},
		{Incidents: "R-A4", Off: []Guard{RecordPrecondition}, Scope: alone, Invariant: "I2"},
		{Incidents: "M08, F1", Off: []Guard{OrphanRepair}, Scope: alone, Invariant: "I5"},
		{Incidents: "M08, F6", Off: []Guard{Earlier, OrphanRepair}, Scope: lost, Invariant: "I5", Why: "the repair releases what is left over"},
		{Incidents: "M01", Off: []Guard{ClearUID, ClearGeneration}, Scope: lost, Invariant: "I2", Why: "generations differ from pod to pod"},
		{Incidents: "M01, R-C3", Off: []Guard{NewerAttempt}, Scope: again, Invariant: "I2"},
		{Incidents: "M09", Off: []Guard{ClearGeneration}, Scope: again, Invariant: "I2"},
		{Incidents: "M09", Off: []Guard{ClearPrecondition}, Scope: alone, Invariant: "I2"},
		{Incidents: "M01, F6", Off: []Guard{Renew}, Scope: again, Invariant: "I2"},
		{Incidents: "R-C9", Off: []Guard{ClaimLock}, Scope: again, Invariant: "I2"},
		{Incidents: "M23, F18", Off: []Guard{Tombstone}, Scope: again, Invariant: "I3"},
		{Incidents: "M23, F2", Off: []Guard{HangUp}, Scope: again, Invariant: "I3"},
		{Incidents: "M29, F20", Off: []Guard{Reaper}, Scope: lost, Invariant: "I5"},
		{Incidents: "M09", Off: []Guard{ForgetPrecondition}, Scope: alone, Invariant: "I2"},
		{Incidents: "M06", Off: []Guard{DeletePrecondition, ClaimInUse}, Scope: noPerson, Invariant: "I2", Why: "the policy refuses"},
		{Incidents: "R-P4, T7", Off: []Guard{ClaimInUse}, Scope: lost, Invariant: "I2"},
		{Incidents: "M02", Off: []Guard{EvidenceOrder}, Scope: alone, Invariant: "I2"},
		{Incidents: "M04, M05", Off: []Guard{ReleaseUID}, Scope: made, Invariant: "I2"},
		{Incidents: "M15, F16", Off: []Guard{NodeEvidence}, Scope: lost, Invariant: "I2"},
		{Incidents: "F11", Off: []Guard{VoidBind}, Scope: lost, Invariant: "I2"},
		{Incidents: "F11, F12", Off: []Guard{OrphanVersion}, Scope: alone, Invariant: "I2"},
		{Incidents: "F11, F12", Off: []Guard{AdoptByWrite}, Scope: alone, Invariant: "I2"},
		{Incidents: "M17, M18", Off: []Guard{Cooldown}, Scope: strangers, Invariant: "I1"},
		{Incidents: "M24, F14", Off: []Guard{Probe}, Scope: lost, Invariant: "I1"},
		{Incidents: "R-G5", Off: []Guard{SilentFirst}, Scope: lost, Invariant: "I1"},
		{Incidents: "M11, R-G5", Off: []Guard{FencingWindow}, Scope: again, Invariant: "I1"},
		{Incidents: "F12", Off: []Guard{WindowAgain}, Scope: alone, Invariant: "I1"},
		{Incidents: "F15, R-G7", Off: []Guard{FenceOnHeal}, Scope: lost, Invariant: "I1"},
		{Incidents: "F15, R-G7", Off: []Guard{FenceReleased}, Scope: lost, Invariant: "I2"},
		{Incidents: "M21, F24", Off: []Guard{KeepOutside}, Scope: lost, Invariant: "I2"},
	}
}

// Assumptions are what the model takes for granted about time, and what becomes of the protocol where it does not hold. They
// are those of taking over: a pool whose takeover is Strict needs none of them.
func Assumptions() []Case {
	two, three := pair("two", 2), pair("three", 3)
	return []Case{
		{Off: []Guard{HealTogether}, Scope: pair("one", 1), Invariant: "I1"},
		{Off: []Guard{StayConnected}, Scope: two, Invariant: "I2"},
		{Off: []Guard{TakeOverFast}, Scope: three, Invariant: "I2"},
		{Off: []Guard{AddsEnd}, Scope: two, Invariant: "I1"},
	}
}

// WithoutAssumptions is a scope in which the pool's takeover is Strict, and what is not assumed there.
func WithoutAssumptions() (Scope, []Guard) {
	s := pair("one identity, two faults, Strict, nothing assumed of time", 2)
	s.Takeover = Strict
	return s, []Guard{HealTogether, StayConnected, TakeOverFast, AddsEnd}
}

// pair is a scope of the two pods of one identity.
func pair(name string, faults uint8) Scope {
	return Scope{Name: name, Pods: first | second, Faults: faults, Incarnations: 1, Managers: 1}
}

// Long are scopes that take minutes and gigabytes.
func Long() []Scope {
	return []Scope{
		{Name: "three pods, two faults", Pods: allPods, Faults: 2, Incarnations: 1, Managers: 1},
		{Name: "one identity, three faults, a second sandbox, a claim made twice", Pods: first | second, Faults: 3, Retries: 1, Incarnations: 2, Managers: 1},
		{Name: "one identity, four faults", Pods: first | second, Faults: 4, Incarnations: 1, Managers: 1},
		{Name: "one identity, three faults, two slow managers, an index that is behind", Pods: first | second, Faults: 3, Incarnations: 1, Managers: 2, StaleIndex: true},
		{Name: "two identities, three faults", Pods: first | other, Faults: 3, Incarnations: 1, Managers: 1},
	}
}

// Quick are the scopes that are explored whenever the tests run, in about a minute.
func Quick() []Scope {
	return []Scope{
		{Name: "three pods, one fault", Pods: allPods, Faults: 1, Incarnations: 1, Managers: 1},
		{Name: "one identity, three faults", Pods: first | second, Faults: 3, Incarnations: 1, Managers: 1},
		{Name: "one identity, two faults, a second sandbox, a claim made twice", Pods: first | second, Faults: 2, Retries: 1, Incarnations: 2, Managers: 1},
		{Name: "two identities, two faults", Pods: first | other, Faults: 2, Incarnations: 1, Managers: 1},
	}
}
