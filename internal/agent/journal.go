// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"cmp"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/macpool/macpool/internal/agentapi"
)

// Compaction: a file that is smaller than the one, or than so many times what it holds, is left alone.
const (
	compactAbove = 1 << 20
	compactRatio = 4
)

// maxBatch bounds how much waits for one fsync.
const maxBatch = 256

var errJournalClosed = errors.New("the journal is closed")

// journal remembers what is attached on this node, and which containers were deleted. What a method returns is on the disk. Readers do not wait
// for a write that is under way: to them it happens when the disk has it, which is before it returns to who wrote. Safe for concurrent use;
// make one with openJournal.
type journal struct {
	clock clock.PassiveClock
	log   logr.Logger

	writes chan *journalWrite
	closed chan struct{}
	done   chan struct{}

	mu sync.RWMutex // never held while the disk is waited for
	// state is what is on the disk.
	state *journalState

	// records counts what was written.
	records atomic.Int64

	// The writer's alone. next is the state with what is being written, on which decisions are made. The records are shared; none changes.
	next      *journalState
	file      *journalFile
	compactAt int64
}

// journalWrite is one decision about the state and the record that it leads to.
type journalWrite struct {
	// decide looks at the state, all earlier writes included, and returns the record to write, or nil for none.
	decide func(s *journalState, now time.Time) (*attempt, error)
	result *attempt
	err    error
	done   chan struct{}
}

// openJournal reads the journal of a state directory and takes it for this process; errJournalLocked while another one has it.
func openJournal(dir string, clk clock.PassiveClock, log logr.Logger) (*journal, error) {
	file, lines, err := openJournalFile(dir)
	if err != nil {
		return nil, err
	}
	j := &journal{
		clock: clk, log: log, state: newJournalState(), file: file,
		writes: make(chan *journalWrite), closed: make(chan struct{}), done: make(chan struct{}),
	}
	j.replay(lines)
	j.next = j.state.clone()
	if err := j.compact(); err != nil {
		// A full disk must not keep the agent from answering DELs: the old file is still whole.
		log.Error(err, "Compacting the journal did not succeed")
	}
	go j.run()
	return j, nil
}

// replay enters the records that are whole. A damaged line is what a power cut left of a write that was never answered, or
// a bad sector: either way the lines around it stand for themselves.
func (j *journal) replay(lines [][]byte) {
	now, damaged := j.clock.Now(), 0
	for _, line := range lines {
		a, err := decodeAttempt(line)
		if err != nil {
			damaged++
			continue
		}
		if a.At.After(now) {
			a.At = now // the clock was set back: count from now, rather than never
		}
		a.tried = a.State == detached
		j.state.put(a)
	}
	j.state.expire(now)
	if damaged > 0 {
		j.log.Info("The journal had damaged records", "damaged", damaged, "records", len(lines))
	}
}

// close waits for the writes that were accepted, and lets the next agent have the state directory.
func (j *journal) close() error {
	close(j.closed)
	<-j.done
	return j.file.close()
}

// write has decide decided and its record written.
func (j *journal) write(decide func(s *journalState, now time.Time) (*attempt, error)) (*attempt, error) {
	w := &journalWrite{decide: decide, done: make(chan struct{})}
	select {
	case j.writes <- w:
		<-w.done
		return w.result, w.err
	case <-j.closed:
		return nil, errJournalClosed
	}
}

// run is the one writer. It takes all that waits into one fsync (group commit).
func (j *journal) run() {
	defer close(j.done)
	for {
		select {
		case w := <-j.writes:
			j.commit(j.gather(w))
		case <-j.closed:
			return
		}
	}
}

func (j *journal) gather(first *journalWrite) []*journalWrite {
	batch := []*journalWrite{first}
	for len(batch) < maxBatch {
		select {
		case w := <-j.writes:
			batch = append(batch, w)
		default:
			return batch
		}
	}
	return batch
}

// commit decides and writes a batch. If the disk refuses it, none of it has happened.
func (j *journal) commit(batch []*journalWrite) {
	var lines []byte
	var changes []*attempt
	now := j.clock.Now()
	for _, w := range batch {
		w.result, w.err = w.decide(j.next, now)
		if w.err != nil || w.result == nil {
			continue
		}
		line, err := w.result.encode()
		if err != nil {
			w.result, w.err = nil, err
			continue
		}
		lines = append(lines, line...)
		changes = append(changes, w.result)
		j.next.put(w.result)
	}
	if len(changes) > 0 {
		if err := j.store(lines, now); err != nil {
			j.mu.RLock()
			j.next = j.state.clone()
			j.mu.RUnlock()
			for _, w := range batch {
				w.result, w.err = nil, cmp.Or(w.err, err)
			}
		} else {
			j.publish(changes)
		}
	}
	for _, w := range batch {
		close(w.done)
	}
}

// publish lets readers see what is on the disk now.
func (j *journal) publish(changes []*attempt) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, a := range changes {
		j.state.put(a)
	}
	j.records.Add(int64(len(changes)))
}

// store makes next durable, of which lines are what is new.
func (j *journal) store(lines []byte, now time.Time) error {
	if j.file.suspect {
		return j.compact()
	}
	if j.file.size+int64(len(lines)) > j.compactAt {
		j.expire(now)
		err := j.compact()
		if err == nil {
			return nil
		}
		j.log.Error(err, "Compacting the journal did not succeed")
	}
	return j.file.append(lines)
}

// expire drops old tombstones. What the file still has of them is dropped when it is read.
func (j *journal) expire(now time.Time) {
	j.next.expire(now)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.state.expire(now)
}

// compact writes what next holds into a new file.
func (j *journal) compact() error {
	var lines []byte
	for _, a := range j.next.attempts {
		line, err := a.encode()
		if err != nil {
			return err
		}
		lines = append(lines, line...)
	}
	err := j.file.replace(lines)
	j.compactAt = max(compactAbove, compactRatio*j.file.size)
	return err
}

// get returns what is known about an attempt.
func (j *journal) get(k attemptKey) (attempt, bool) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	if a := j.state.attempts[k]; a != nil {
		return *a, true
	}
	return attempt{}, false
}

// ofClaim returns the attempts of a claim in any state.
func (j *journal) ofClaim(claim agentapi.ClaimRef) []attempt {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return valuesOf(j.state.ofClaim(claim))
}

// ofLease returns the attempts that are attached with a lease.
func (j *journal) ofLease(lease string) []attempt {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return valuesOf(j.state.ofLease(lease))
}

func valuesOf(records []*attempt) []attempt {
	var all []attempt
	for _, a := range records {
		all = append(all, *a)
	}
	return all
}

// in returns the attempts in a state.
func (j *journal) in(state attemptState) []attempt {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.state.in(state)
}
