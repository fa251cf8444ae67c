// SPDX-License-Identifier: Apache-2.0

package model

import "strings"

// action is a kind of step.
type action uint8

// label is a step: what happened, and to whom.
type label struct {
	action  action
	x, y, z uint8
	// write is what is written, if the step is a write by a message.
	write message
	// read is what a slow manager has read before the step.
	read message
}

func at(a action, x, y, z uint8) label { return label{action: a, x: x, y: y, z: z} }

func writing(a action, w message, done bool) label { return label{action: a, write: w, z: bit(done)} }

const (
	podCreated action = iota
	podDeleted
	poolShrunk
	claimDeleted
	addKilled
	addForsaken
	sandboxStopped
	sandboxDied
	netnsRemoved
	delServed
	delLate
	delLost
	sandboxMade
	agentCrashed
	powerCut
	apiLost
	nodeCut
	nodeSilent
	nodeFenced
	nodeBooted
	nodeHealed
	vlanHealed
	managerCrashed
	addHeld
	addProbed
	addTook
	addAnswered
	addHungUp
	addFailed
	addGaveUp
	addHeard
	addTimedOut
	addRefused
	addFound
	addCreated
	addExhausted
	addRecorded
	addEntered
	agentCompared
	cacheFilled
	cacheLags
	lostDelReaped
	interfaceFenced
	clearSettled
	holderCleared
	clearTimedOut
	holderReaped
	reapTimedOut
	clearArrived
	writeArrived
	claimMade
	managerWrote
	managerWroteLate
	nActions
)

// description is what a kind of step stands for.
type description struct {
	// text says what happens. %p is the pod x, %b its sandbox y, %n the node x, %m the node y, %c the claim x, %a the address x, and
	// %w what is written.
	text string
	// also are continuations by z: the z-th is appended.
	also []string
	// code is the function that the step stands for, as package.function; empty for what is none of macpool's.
	code string
	// mends: the step needs neither user nor fault, and so may be counted on.
	mends bool
}

var descriptions = [nActions]description{
	podCreated:       {text: "pod %p is created and scheduled to node %m"},
	podDeleted:       {text: "the API forgets pod %p"},
	poolShrunk:       {text: "the pool is edited and does not have %a any more", code: "allocator.Plan.Classify"},
	claimDeleted:     {text: "a person deletes claim %c"},
	addKilled:        {text: "the runtime gives up the ADD of %b and kills the plugin", code: "agent.awaitHangUp", mends: true},
	addForsaken:      {text: "the plugin of %b lives on, and the netns"},
	sandboxStopped:   {text: "the runtime stops sandbox %b", mends: true},
	sandboxDied:      {text: "sandbox %b dies; its DEL is late"},
	netnsRemoved:     {text: "the netns of %b is removed", mends: true},
	delServed:        {text: "the DEL of %b arrives", code: "agent.Agent.del", mends: true},
	delLate:          {text: "the DEL of %b is late"},
	delLost:          {text: "the DEL of %b is lost"},
	sandboxMade:      {text: "the kubelet makes sandbox %b"},
	agentCrashed:     {text: "the agent of %n crashes and starts again", code: "agent.journal.replay"},
	powerCut:         {text: "node %n loses power"},
	apiLost:          {text: "node %n loses the API, but not the VLAN"},
	nodeCut:          {text: "node %n loses API and VLAN"},
	nodeSilent:       {text: "node %n has been silent for 40 s"},
	nodeFenced:       {text: "somebody says that node %n is off: out-of-service"},
	nodeBooted:       {text: "node %n boots", mends: true},
	nodeHealed:       {text: "node %n has API and VLAN again", code: "agent.contact.note", mends: true},
	vlanHealed:       {text: "node %n has the VLAN again, and not the API"},
	managerCrashed:   {text: "the manager crashes before it %w"},
	addHeld:          {text: "ADD of %b ", also: []string{"makes its pod the holder", "finds its pod to be the holder"}, code: "binding.Binder.SetHolder", mends: true},
	addProbed:        {text: "ADD of %b asks the VLAN for the old holder: silence", code: "agent.addition.probe", mends: true},
	addTook:          {text: "ADD of %b takes the claim over", also: []string{", too late: somebody wrote it", ""}, code: "binding.Binder.TakeOver", mends: true},
	addAnswered:      {text: "ADD of %b ", also: []string{"is answered, the interface comes up", "finds that nobody waits for it"}, code: "agent.addition.give", mends: true},
	addHungUp:        {text: "ADD of %b notices that its caller is gone", code: "agent.addition.abandon", mends: true},
	addFailed:        {text: "ADD of %b fails after that, its answer from the API is lost", code: "agent.Agent.live"},
	addGaveUp:        {text: "ADD of %b gives up, the API does not answer", code: "agent.Agent.live", mends: true},
	addHeard:         {text: "ADD of %b asks the VLAN for the old holder: it answers", code: "agent.addition.probe", mends: true},
	addTimedOut:      {text: "ADD of %b gives up on a write that is on its way", code: "agent.Agent.live"},
	addRefused:       {text: "ADD of %b is refused: ", also: []string{"the container was deleted", "the scope has no other claim", "the pod is gone"}, code: "agent.Agent.findPod", mends: true},
	addFound:         {text: "ADD of %b finds in the cache that its pod is the holder", code: "agent.addition.prebound", mends: true},
	addCreated:       {text: "ADD of %b makes the lease of ", also: []string{"a1", "a2"}, code: "binding.taker.create", mends: true},
	addExhausted:     {text: "ADD of %b finds no address", code: "binding.taker.any", mends: true},
	addRecorded:      {text: "ADD of %b ", also: []string{"cannot record the lease: somebody wrote the claim", "records lease and holder in the claim"}, code: "binding.Binder.record", mends: true},
	addEntered:       {text: "ADD of %b ", also: []string{"is given up", "writes the journal"}, code: "agent.journal.attach", mends: true},
	agentCompared:    {text: "the agent of %n has compared what is attached with the API", code: "agent.fence.all", mends: true},
	cacheFilled:      {text: "the watches of %n catch up", code: "agent.Agent.compareCaches", mends: true},
	cacheLags:        {text: "the watches of %n fall behind"},
	lostDelReaped:    {text: "the reaper ends %b, whose netns is gone", code: "agent.reaper.judge", mends: true},
	interfaceFenced:  {text: "the agent removes the interface of %b, which has lost its address", code: "agent.fence.judgeLocked", mends: true},
	clearSettled:     {text: "the clear of %b has nothing to do", code: "agent.journal.settle", mends: true},
	holderCleared:    {text: "the clear of %b ends the hold", code: "binding.Binder.ClearHolder", mends: true},
	clearTimedOut:    {text: "the clear of %b is sent, and gets no answer"},
	holderReaped:     {text: "the reaper ends the hold of %p", code: "agent.reaper.judge", mends: true},
	reapTimedOut:     {text: "the clear of %p's hold is sent, and gets no answer"},
	clearArrived:     {text: "the clear for %p arrives", also: nil, code: "binding.Binder.ClearHolder", mends: true},
	writeArrived:     {text: "the late write arrives, it %w", also: []string{": too late", ""}, mends: true},
	claimMade:        {text: "the manager makes claim %c", code: "controllers.PodReconciler.ensure", mends: true},
	managerWrote:     {text: "the manager %w", mends: true},
	managerWroteLate: {text: "the slow manager %w", also: []string{": too late", ""}, mends: true},
}

// writes is what messages write, and by which code.
var writes = map[messageKind]struct{ text, code string }{
	createLease:   {"makes the lease of %y for claim %x", "controllers.MacClaimReconciler.bind"},
	recordLease:   {"records the lease of %y in claim %x", "binding.Binder.record"},
	recordHolder:  {"records the lease of %y and pod %p", "binding.Binder.record"},
	setHolder:     {"makes pod %p the holder", "controllers.PodReconciler.hold"},
	takeOver:      {"takes the claim over for pod %p", "binding.Binder.TakeOver"},
	voidOrphan:    {"sees that no claim names %a, and voids what may be about to", "controllers.LeaseReconciler.releaseOrphan"},
	releaseOrphan: {"releases %a, which no claim names", "controllers.LeaseReconciler.releaseOrphan"},
	releaseEnded:  {"releases %a, whose claim is gone", "controllers.LeaseReconciler.end"},
	deleteClaim:   {"deletes claim %x, whose workload is gone", "controllers.MacClaimReconciler.remove"},
	clearOnFence:  {"ends the hold on claim %x, whose node is off", "controllers.HolderReconciler.end"},
	endCooldown:   {"ends the cooldown of %a", "controllers.LeaseReconciler.endCooldown"},
	takeBack:      {"takes %a back, which its claim names still", "controllers.LeaseReconciler.endCooldown"},
	deleteRecord:  {"deletes the record of %a, whose history is over", "controllers.LeaseReconciler.cool"},
}

func (w message) String() string {
	text := strings.NewReplacer("%x", name(claimNames, w.x), "%y", name(addrNames, w.y), "%a", name(addrNames, w.x),
		"%p", name(podNames, w.x)).Replace(writes[w.kind].text)
	return text
}

// String says what happens in the step.
func (l label) String() string {
	d := &descriptions[l.action]
	text := strings.NewReplacer("%p", name(podNames, l.x), "%b", boxName(l.x, l.y), "%n", name(nodeNames, l.x), "%m", name(nodeNames, l.y),
		"%c", name(claimNames, l.x), "%a", name(addrNames, l.x), "%w", l.write.String()).Replace(d.text)
	if int(l.z) < len(d.also) {
		text += d.also[l.z]
	}
	return text
}

// mends tells whether steps of the kind need neither fault nor user.
func (a action) mends() bool { return descriptions[a].mends }

var (
	addrNames  = []string{"a1", "a2"}
	claimNames = []string{"db", "job"}
	podNames   = []string{"db#1", "db#2", "job"}
	nodeNames  = []string{"n1", "n2"}
)

func name(names []string, i uint8) string {
	if int(i) < len(names) {
		return names[i]
	}
	return "?"
}

func boxName(p, k uint8) string { return name(podNames, p) + "/" + string('1'+rune(k)) }
