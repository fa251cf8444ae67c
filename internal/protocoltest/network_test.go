// SPDX-License-Identifier: Apache-2.0

//go:build property

package protocoltest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/macpool/macpool/internal/memapi"
)

// connectionLife is how long a request waits on a connection over which nothing comes, as client-go's health check has it.
const connectionLife = 45 * time.Second

var (
	errReset   = fmt.Errorf("read: %w", syscall.ECONNRESET)
	errRefused = fmt.Errorf("dial: %w", syscall.ECONNREFUSED)
	errSilent  = errors.New("http2: client connection lost")
	errEnded   = errors.New("the process has ended")
)

// process is one that talks to the API: an agent or a manager.
type process struct {
	name string
	// cut: nothing goes from here to the API or back.
	cut bool
	// dead: the process has ended. What it still does, since a goroutine cannot be killed, has no effect.
	dead atomic.Bool
	// answered is told of each answer that shows that the API serves this process, with when its request was sent.
	answered func(sent time.Time)
}

// message is a request on its way to the API, or its answer on the way back.
type message struct {
	*memapi.Call

	from  *process
	text  string
	sent  time.Time
	reply chan error
	// given up: nobody waits for the answer any more. The request may arrive all the same.
	givenUp bool
	// held: it is not delivered before it is let go.
	held bool
}

// network carries requests. Nothing moves by itself: the world delivers one message after another, so that any two of them may
// be in either order.
type network struct {
	arrived chan struct{} // capacity 1: there is a new message

	// carrying is the message that is being delivered. One goroutine delivers.
	carrying *message

	mu    sync.Mutex
	queue []*message
}

func newNetwork() *network { return &network{arrived: make(chan struct{}, 1)} }

// transport is a process's way to the API.
func (n *network) transport(from *process) memapi.Transport {
	return func(ctx context.Context, call *memapi.Call) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		m := &message{Call: call, from: from, text: call.Text(), sent: time.Now(), reply: make(chan error, 1)}
		n.mu.Lock()
		if from.dead.Load() {
			n.mu.Unlock()
			return errEnded
		}
		n.queue = append(n.queue, m)
		n.mu.Unlock()
		select {
		case n.arrived <- struct{}{}:
		default:
		}
		lost := time.NewTimer(connectionLife)
		defer lost.Stop()
		select {
		case err := <-m.reply:
			return err
		case <-ctx.Done():
			n.giveUp(m)
			return ctx.Err()
		case <-lost.C:
			n.giveUp(m)
			return errSilent
		}
	}
}

func (n *network) giveUp(m *message) {
	n.mu.Lock()
	defer n.mu.Unlock()
	m.givenUp = true
}

// waiting are the messages that may be delivered, in an order that does not depend on which goroutine ran first.
func (n *network) waiting() []*message {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []*message
	for _, m := range n.queue {
		if !m.held && !m.from.cut {
			all = append(all, m)
		}
	}
	if len(all) < 2 {
		return all
	}
	slices.SortStableFunc(all, func(a, b *message) int {
		return cmp.Or(a.sent.Compare(b.sent), cmp.Compare(a.from.name, b.from.name), cmp.Compare(a.text, b.text))
	})
	return all
}

// all are the messages in the network, oldest first.
func (n *network) all() []*message {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.queue)
}

func (n *network) remove(m *message) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.queue = slices.DeleteFunc(n.queue, func(other *message) bool { return other == m })
}

// fate is what becomes of a message.
type fate int

const (
	delivered   fate = iota
	lostAnswer       // it is done, and its sender hears of a reset
	reset            // it is not done, and its sender hears of a reset: the two look the same
	refused          // it was not sent
	throttled        // 429
	unavailable      // 503
	failed           // 500
	conflicted       // 409, as of an object that changes all the time
	doubled          // it is done twice, as by a proxy that repeats
)

func (f fate) String() string {
	return [...]string{"delivered", "lost answer", "reset", "refused", "429", "503", "500", "409", "doubled"}[f]
}

// carry delivers a message, in its own way, and returns what its sender was told.
func (n *network) carry(m *message, how fate) error {
	n.remove(m)
	n.carrying = m
	defer func() { n.carrying = nil }()
	var err error
	switch how {
	case delivered:
		err = m.Do()
	case doubled:
		if err = m.Do(); m.Verb.Writes() {
			err = m.Do()
		}
	case lostAnswer:
		_ = m.Do()
		err = errReset
	case reset:
		err = errReset
	case refused:
		err = errRefused
	case throttled:
		err = apierrors.NewTooManyRequests("too many requests", 1)
	case unavailable:
		err = apierrors.NewServiceUnavailable("the server is starting")
	case failed:
		err = apierrors.NewInternalError(errors.New("etcdserver: leader changed"))
	case conflicted:
		err = apierrors.NewConflict(schema.GroupResource{Resource: m.Kind}, m.Key.Name, errors.New("the object has been modified"))
	}
	n.mu.Lock()
	heard := !m.givenUp && !m.from.dead.Load()
	n.mu.Unlock()
	if heard && proves(err) && m.from.answered != nil {
		m.from.answered(m.sent)
	}
	m.reply <- err
	return err
}

// sent is when the request that is being carried out was sent.
func (n *network) sent() time.Time {
	if n.carrying == nil {
		return time.Now()
	}
	return n.carrying.sent
}

// proves tells whether an answer shows that the API serves who asked, as the agent's transport judges it.
func proves(err error) bool {
	if err == nil {
		return true
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	switch code := status.Status().Code; code {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests:
		return false
	default:
		return code < http.StatusInternalServerError
	}
}

// drop loses what a process has sent.
func (n *network) drop(from *process) {
	for _, m := range n.all() {
		if m.from == from {
			n.remove(m)
		}
	}
}

// letGo has held messages delivered.
func (n *network) letGo() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, m := range n.queue {
		m.held = false
	}
}
