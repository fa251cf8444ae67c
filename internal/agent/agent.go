// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/keylock"
	"github.com/macpool/macpool/internal/links"
	"github.com/macpool/macpool/internal/timeline"
	"github.com/macpool/macpool/internal/wire"
)

// Agent serves one node. Make one with New and call Run once.
type Agent struct {
	nodeName string
	options  Options
	times    Times
	clock    clock.WithTicker
	log      logr.Logger

	contact *contact
	cluster *cluster
	// holders reads and writes holders. It never chooses an address, so its index is empty.
	holders *binding.Binder
	views   *views
	people  *people
	// namespaces and pools are live reads of them, by name.
	namespaces *reads[*corev1.Namespace]
	pools      *reads[*v1alpha1.MacPool]
	lately     lately
	locks      keylock.Locks[agentapi.ClaimRef] // what is done for one claim is one at a time
	journal    *journal
	metrics    *metrics
	clears     *clearWorker
	// reporter writes this node's MacNode.
	reporter *reporter
	// recovery keeps from believing an API that has gone back in time.
	recovery *recovery
	fence    *fence
	says     *speaker
	silences *silences
	// verdicts, ahead and watcher look for strangers who use addresses; announcer tells them whose they are.
	verdicts  *verdicts
	ahead     *forerunner
	watcher   *watcher
	announcer *announcer
	usher     *usher
	parents   *parents
	nodeUID   atomic.Pointer[types.UID]
	// nodeLabels are those of the own Node, as they were read last; nil while they are not known.
	nodeLabels atomic.Pointer[map[string]string]

	// What Parts may replace.
	ask        func(ctx context.Context, link string, q wire.Query) (answeredBy string, err error)
	listener   func(ctx context.Context) (net.Listener, error)
	netnsAlive func(path string) bool
	jitter     func(n time.Duration) time.Duration
	hasLink    func(name string) bool
	hear       func(link string) (Ear, error)
	look       func(netns, iface string) (links.State, error)

	// inspect looks at an attached interface, for who asks what is attached.
	inspect func(netns, iface string) (links.Detail, error)

	// ready is closed when the caches are filled and every attempt of the journal was compared with the API (R-K3).
	ready chan struct{}
	// listening tells the health probe that requests are taken.
	listening atomic.Bool
}

// New makes an agent that talks to the API as config says. It does nothing yet, and needs no API to be made.
func New(config *rest.Config, options Options) (*Agent, error) {
	return NewOn(config, Parts{}, options)
}

func newAgent(options Options, parts Parts, reach func(*contact, string) (*cluster, error)) (*Agent, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	var a *Agent
	link := &timeline.Link{
		Clock: options.Clock, Broken: func() { a.recovery.away() }, Back: func() { a.recovery.back() },
	}
	a = &Agent{
		nodeName: options.NodeName, options: options, times: options.Times, clock: options.Clock, log: options.Log,
		contact:  &contact{clock: options.Clock, window: options.FencingWindow, link: link},
		ready:    make(chan struct{}),
		silences: &silences{clock: options.Clock},
		listener: parts.Listen, netnsAlive: parts.NetNSAlive, jitter: parts.Jitter, ask: parts.Ask,
		hasLink: parts.HasLink, hear: parts.Hear, look: parts.LookAtLink, inspect: links.Inspect,
	}
	if a.ask == nil {
		a.ask = wire.Ask
	}
	if a.hasLink == nil {
		a.hasLink = hasLink
	}
	if a.hear == nil {
		a.hear = hear
	}
	if a.look == nil {
		a.look = links.Look
	}
	if a.netnsAlive == nil {
		a.netnsAlive = netnsAlive
	}
	if a.jitter == nil {
		a.jitter = rand.N[time.Duration]
	}
	if a.cluster, err = reach(a.contact, a.nodeName); err != nil {
		return nil, err
	}
	a.cluster.cache.watch, a.cluster.cache.log = a.watch, a.log
	a.recovery = newRecovery(a, options.Times.Gate)
	a.metrics = newMetrics(a)
	a.holders = &binding.Binder{
		Client: a.cluster, Index: binding.NewIndex(), Clock: a.clock, Gate: a.recovery.mayGive,
		Audit: a.options.Audit.With(a.metrics.leases.Recorded), Meter: a.metrics.leases, Node: a.nodeName,
	}
	lists := &lists{client: a.cluster, clock: a.clock}
	a.views = newViews(lists, a.knownPods, a.clock, a.times)
	a.people = newPeople(lists, a.knownPods, a.clock, a.times.View)
	a.namespaces = newReads(func(ctx context.Context, name string) (*corev1.Namespace, error) {
		ns := &corev1.Namespace{}
		err := a.cluster.Get(ctx, types.NamespacedName{Name: name}, ns)
		if err == nil {
			a.lately.note(ns)
		}
		return ns, err
	})
	a.pools = newReads(func(ctx context.Context, name string) (*v1alpha1.MacPool, error) {
		pool := &v1alpha1.MacPool{}
		return pool, a.cluster.Get(ctx, poolKey(name), pool)
	})
	a.clears = newClearWorker(a)
	a.reporter = newReporter(a)
	a.says = newSpeaker(a)
	a.fence = newFence(a, parts.RemoveLink)
	a.verdicts, a.ahead, a.watcher = newVerdicts(a), newForerunner(a), newWatcher(a)
	a.announcer = newAnnouncer(a, parts.Announce)
	a.usher = newUsher(a)
	a.parents = newParents(a, parts.LinkUsable)
	a.fence.current = a.recovery.current
	a.contact.returned = func(again bool) {
		if again {
			a.recovery.away()
		}
		if a.Ready() != nil && a.contact.hasFailed() {
			// Caches that were refused ask again after up to a minute (client-go's reflectors back off); new ones ask now.
			a.cluster.cache.renew()
		}
		a.fence.kick()
		a.reporter.kick()
	}
	return a, a.metrics.register(options.Metrics)
}

// Run serves until ctx ends; then it lets the requests that are being served end, and returns.
func (a *Agent) Run(ctx context.Context) error {
	if err := a.openJournal(ctx); err != nil {
		return err
	}
	defer func() {
		if err := a.journal.close(); err != nil {
			a.log.Error(err, "Closing the journal did not succeed")
		}
	}()
	marks, err := openMarks(a.options.StateDir)
	if err != nil {
		return err
	}
	a.recovery.marks = marks
	// What the plugin left while no agent was there comes before anything that may build on it.
	a.applySpool()

	// The workers live as long as requests are being served, which is longer than ctx.
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	var workers sync.WaitGroup
	defer workers.Wait()
	defer stopWork()
	for name, run := range map[string]func(context.Context) error{
		"caches":    a.cluster.cache.run,
		"heartbeat": a.heartbeat,
		"readiness": a.becomeReady,
		"clears":    a.clears.run,
		"spool":     a.every(a.times.Spool, func(context.Context) { a.applySpool() }),
		"reaper":    a.reap,
		"report":    a.reporter.run,
		"fence":     a.fence.run,
		"node":      a.followNode,
		"lingering": a.linger,
		"events":    a.says.run,
		"questions": newAsker(a).run,
		"views":     a.every(a.times.View, func(ctx context.Context) { a.views.drop(ctx); a.people.drop(ctx); a.lately.forget() }),
		"verdicts":  a.every(verdictLife, a.verdicts.expire),
		"ahead":     a.ahead.run,
		"strangers": a.watcher.run,
		"announcer": a.announcer.run,
		"usher":     a.usher.run,
		"parents":   a.parents.run,
	} {
		workers.Go(func() {
			if err := run(work); err != nil && work.Err() == nil {
				a.log.Error(err, "A worker ended", "worker", name)
			}
		})
	}

	// DEL is served from now on, ADD when the agent is ready.
	s := newServer(a.options.Socket, a.options.AllowedUID, a.clock, a.log, a.serve)
	listen := s.listen
	if a.listener != nil {
		listen, s.trusted = a.listener, true
	}
	listener, err := listen(ctx)
	if err != nil {
		return err
	}
	a.listening.Store(true)
	a.log.Info("Serving", "node", a.nodeName, "socket", a.options.Socket)
	return s.serve(ctx, listener)
}

// openJournal waits for the state directory: in a rolling update the old agent may still be ending.
func (a *Agent) openJournal(ctx context.Context) error {
	for waited := false; ; waited = true {
		j, err := openJournal(a.options.StateDir, a.clock, a.log)
		if err == nil {
			a.journal = j
			return nil
		}
		if !errors.Is(err, errJournalLocked) {
			return fmt.Errorf("opening the journal in %s: %w", a.options.StateDir, err)
		}
		if !waited {
			a.log.Info("Another agent uses the state directory, waiting for its end", "dir", a.options.StateDir)
		}
		if err := a.pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// pause waits for d or for the end of ctx, whose cause it returns.
func (a *Agent) pause(ctx context.Context, d time.Duration) error { return pause(ctx, a.clock, d) }

func pause(ctx context.Context, clk clock.Clock, d time.Duration) error {
	timer := clk.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// every is a worker that does something at once and then every d.
func (a *Agent) every(d time.Duration, do func(context.Context)) func(context.Context) error {
	return func(ctx context.Context) error {
		do(ctx)
		for a.pause(ctx, d) == nil {
			do(ctx)
		}
		return nil
	}
}

// watch tells a cache what to hold.
func (a *Agent) watch(ctx context.Context, caches cache.Cache) error {
	if err := caches.IndexField(ctx, &v1alpha1.MacClaim{}, holderUID, podsThatHold); err != nil {
		return fmt.Errorf("indexing claims by the pods that hold them: %w", err)
	}
	for _, kind := range []client.Object{&corev1.Pod{}, &v1alpha1.MacClaim{}, &v1alpha1.MacPool{}} {
		informer, err := caches.GetInformer(ctx, kind, cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("watching %T: %w", kind, err)
		}
		if _, ok := kind.(*v1alpha1.MacClaim); ok {
			for _, follower := range []toolscache.ResourceEventHandler{a.fence.follow(), a.ahead.follow(), a.usher.follow()} {
				if _, err := informer.AddEventHandler(follower); err != nil {
					return fmt.Errorf("following %T: %w", kind, err)
				}
			}
		}
	}
	return nil
}

// becomeReady fills the caches and compares the journal with the API.
func (a *Agent) becomeReady(ctx context.Context) error {
	if err := a.cluster.cache.await(ctx); err != nil {
		return err
	}
	if err := a.compareJournal(ctx); err != nil {
		return err
	}
	var agreement agreement
	for {
		agree, err := a.seek(ctx, &agreement)
		if agree {
			break
		}
		wait := compareRetry
		if err != nil {
			a.log.V(1).Info("The caches were not compared with the API", "error", err.Error())
			wait = a.times.Heartbeat
		}
		if err := a.pause(ctx, wait); err != nil {
			return err
		}
	}
	a.readNode(ctx) // its UID goes into the holders
	if err := a.judgeAll(ctx); err != nil {
		return err
	}
	close(a.ready)
	a.log.Info("Ready")
	return nil
}

// judgeAll compares what is attached with the API until that has succeeded: what has lost its address goes before anything is
// attached beside it.
func (a *Agent) judgeAll(ctx context.Context) error {
	for !a.contact.isJudged() {
		err := a.fence.all(ctx)
		if err == nil {
			continue
		}
		a.log.V(1).Info("What is attached was not compared with the API", "error", err.Error())
		if err := a.pause(ctx, compareRetry); err != nil {
			return err
		}
	}
	return nil
}

// Ready tells whether the agent answers ADD; nil if it does. It is the readiness probe.
func (a *Agent) Ready() error {
	select {
	case <-a.ready:
	default:
		return errNotReady
	}
	if !a.listening.Load() {
		return errNotReady
	}
	return nil
}

var errNotReady = errors.New("the agent has just started and has not read the cluster yet")
