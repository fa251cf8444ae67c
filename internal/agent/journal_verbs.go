// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"time"

	"github.com/macpool/macpool/internal/agentapi"
)

// errTombstone says that the container was deleted already.
var errTombstone = errors.New("the container was deleted already")

// attach enters an attempt, and returns it with its number. errTombstone if its DEL has come already.
func (j *journal) attach(a attempt) (*attempt, error) {
	return j.write(func(s *journalState, now time.Time) (*attempt, error) {
		if known := s.attempts[a.key()]; known != nil && known.State != attached {
			return nil, errTombstone
		}
		entry := a
		entry.State, entry.At = attached, now
		entry.Number = s.nextNumber(a.Claim, a.Pod.UID)
		return &entry, nil
	})
}

// withdraw takes an attempt out again that was not answered, and that its ADD tries once more. One whose DEL has come meanwhile stays.
func (j *journal) withdraw(k attemptKey) error {
	_, err := j.write(func(s *journalState, now time.Time) (*attempt, error) {
		known := s.attempts[k]
		if known == nil || known.State != attached {
			return nil, nil
		}
		entry := *known
		entry.State, entry.At, entry.Lease = withdrawn, now, nil
		return &entry, nil
	})
	return err
}

// detach notes that the container is gone. An attempt that is known is to have its holder cleared; of an unknown one the
// tombstone is all. It tells whether there is something to clear.
func (j *journal) detach(k attemptKey) (bool, error) {
	written, err := j.write(func(s *journalState, now time.Time) (*attempt, error) {
		known := s.attempts[k]
		switch {
		case known == nil:
			return &attempt{ContainerID: k.ContainerID, Interface: k.Interface, State: deleted, At: now}, nil
		case known.State == attached:
			entry := *known
			entry.State, entry.At, entry.Lease = detached, now, nil
			return &entry, nil
		default:
			return nil, nil // a repeated DEL
		}
	})
	return written != nil && written.State == detached, err
}

// abandon notes that an ADD that was not answered is over: a tombstone, and the holder of the generation to be cleared if a
// has one. An attempt whose DEL has come meanwhile keeps what it has to clear.
func (j *journal) abandon(a attempt) error {
	_, err := j.write(func(s *journalState, now time.Time) (*attempt, error) {
		known := s.attempts[a.key()]
		if known != nil && known.State == detached && known.Generation >= a.Generation {
			return nil, nil
		}
		entry := a
		entry.At, entry.Lease = now, nil
		entry.State = deleted
		if entry.Generation > 0 {
			entry.State = detached
		}
		return &entry, nil
	})
	return err
}

// giveWay notes, as detach does, that the container has no interface any more: the agent has removed it, for another pod.
func (j *journal) giveWay(k attemptKey, to string) error {
	_, err := j.write(func(s *journalState, now time.Time) (*attempt, error) {
		known := s.attempts[k]
		if known == nil || known.State != attached {
			return nil, nil // its DEL has come meanwhile
		}
		entry := *known
		entry.State, entry.At, entry.Lease, entry.For = detached, now, nil, to
		return &entry, nil
	})
	return err
}

// fence notes that the interface of an attempt that was attached was removed, because its address is another's. There is
// nothing to clear: the holder is not this attempt's. It tells whether this call has noted it.
func (j *journal) fence(k attemptKey) (bool, error) {
	written, err := j.write(func(s *journalState, now time.Time) (*attempt, error) {
		known := s.attempts[k]
		if known == nil || known.State != attached {
			return nil, nil // its DEL has come meanwhile
		}
		entry := *known
		entry.State, entry.At, entry.Lease = deleted, now, nil
		return &entry, nil
	})
	return written != nil, err
}

// settle notes the end of a detached attempt: its holder was cleared, or need not be because a newer attempt has it.
func (j *journal) settle(k attemptKey, cleared bool) error {
	_, err := j.write(func(s *journalState, now time.Time) (*attempt, error) {
		known := s.attempts[k]
		if known == nil || known.State != detached {
			return nil, nil
		}
		entry := *known
		entry.State, entry.At, entry.Cleared = deleted, now, cleared
		return &entry, nil
	})
	return err
}

// trying notes, in memory, that a clear of the attempt's generation is about to be sent.
func (j *journal) trying(k attemptKey) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if known := j.state.attempts[k]; known != nil && known.State == detached {
		entry := *known
		entry.tried = true
		j.state.put(&entry)
	}
}

// doubtful is the highest generation, of the pod as the claim's holder, that this node has cleared, or may have: up to it, what
// a cache or even a live read says about the holder may be overtaken by this node's own clear. A clear touches no other pod.
func (j *journal) doubtful(claim agentapi.ClaimRef, podUID string) int64 {
	var highest int64
	for _, a := range j.ofClaim(claim) {
		if !a.ofHolder(claim, podUID) {
			continue
		}
		if a.State == detached && a.tried || a.State == deleted && a.Cleared {
			highest = max(highest, a.Generation)
		}
	}
	return highest
}
