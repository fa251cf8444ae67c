// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

// TestDelWithoutAPI proves R-C6: DELs while the API is away succeed, survive a restart of the agent, and are carried out once
// when the API is back.
func TestDelWithoutAPI(t *testing.T) {
	f := newFixture(t)
	n := startNode(t)
	pod := f.newPod(t, "db-0", n.name, "db")
	f.add(t, n, "c1", pod)
	n.wire.set(refuse)
	for range 3 {
		del(t, n, "c1")
	}
	n.stop()
	n.start(t) // never becomes ready, and serves DEL
	refused := n.agent.cluster.cache.now()
	start := time.Now()
	for range 3 {
		del(t, n, "c1")
		del(t, n, "unknown")
	}
	// The kubelet waits for each: nothing in a DEL may wait for caches that cannot be filled.
	if took := time.Since(start); took > agentapi.DelTimeout/2 {
		t.Errorf("six DELs took %s", took)
	}
	if f.claimOf(t, pod).Status.Holder == nil {
		t.Fatal("the holder was cleared without an API")
	}
	n.wire.set(nil)
	f.awaitNoHolder(t, pod)
	if past := f.claimOf(t, pod).Status.PreviousHolders; len(past) != 1 {
		t.Errorf("previous holders = %+v, want one", past)
	}
	n.awaitReady(t)
	eventually(t, "the caches that were refused to be made anew", func() error {
		if n.agent.cluster.cache.now() == refused {
			return errNotReady
		}
		return nil
	})
}

// TestNewContainerBeforeTheClear proves M01 across an outage: a container that comes before the old one's clear was carried
// out keeps the holder.
func TestNewContainerBeforeTheClear(t *testing.T) {
	f := newFixture(t)
	n := startNode(t)
	pod := f.newPod(t, "db-0", n.name, "db")
	f.add(t, n, "c1", pod)
	before := f.claimOf(t, pod)
	unlock, err := n.agent.locks.Lock(t.Context(), agentapi.ClaimRef{Namespace: before.Namespace, Name: before.Name})
	f.must(t, err)
	del(t, n, "c1")
	answered := start(t, n, f.addition("c2", pod))
	unlock() // for the worker or for the ADD, whichever is first
	if resp := <-answered; resp.Error != nil {
		t.Fatal(*resp.Error)
	}
	eventually(t, "the DEL to be settled", func() error {
		if len(n.agent.journal.in(detached)) > 0 {
			return errNotReady
		}
		return nil
	})
	holder := f.claimOf(t, pod).Status.Holder
	entry, _ := n.agent.journal.get(attemptKey{"c2", "net1"})
	if holder == nil || holder.PodUID != pod.UID || holder.Generation != entry.Generation {
		t.Errorf("the holder is %+v, the journal has %+v", holder, entry)
	}
}

// TestClearThatArrivesLate proves interleaving 3 of the package: a clear whose answer was lost, and which the API server carries out
// only after the pod's next container was attached, finds the holder renewed and changes nothing.
func TestClearThatArrivesLate(t *testing.T) {
	f := newFixture(t)
	n := startNode(t)
	pod := f.newPod(t, "db-0", n.name, "db")
	f.add(t, n, "c1", pod)

	type sending struct {
		req  *http.Request
		next http.RoundTripper
	}
	late := make(chan sending, 1)
	n.wire.hook(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		if !isStatusWrite(req) || setsHolder(t, req) {
			return next.RoundTrip(req)
		}
		kept := req.Clone(context.WithoutCancel(req.Context()))
		kept.Body, _ = req.GetBody()
		select {
		case late <- sending{kept, next}: // it lies in a queue somewhere
		default:
		}
		return nil, errNoNetwork
	})
	del(t, n, "c1")
	clearing := <-late
	f.add(t, n, "c2", pod)
	resp, err := clearing.next.RoundTrip(clearing.req)
	f.must(t, err)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusConflict {
		t.Errorf("the late clear was answered with %s", resp.Status)
	}
	holder := f.claimOf(t, pod).Status.Holder
	if holder == nil || holder.PodUID != pod.UID || holder.Generation != 2 {
		t.Fatalf("the late clear left the holder %+v, want the pod with generation 2", holder)
	}
	if entry, _ := n.agent.journal.get(attemptKey{"c2", "net1"}); entry.Generation != holder.Generation {
		t.Errorf("the journal has generation %d, the claim %d", entry.Generation, holder.Generation)
	}
}

// TestFencing proves the fencing window: inside it a prebound ADD is answered while the API is away; outside every ADD is
// refused with code 11, a repeated one too, and none takes longer than the API's part of it. Back in contact, ADDs are
// served.
func TestFencing(t *testing.T) {
	f := newFixture(t)
	n := startNode(t, func(o *Options) { o.FencingWindow, o.Times.API = time.Hour, 2*time.Second })
	pod, other := f.newPod(t, "db-0", n.name, "db"), f.newPod(t, "db-1", n.name, "db")
	f.prebind(t, n, pod)
	f.prebind(t, n, other)
	for _, p := range []agentapi.Pod{podRef(pod), podRef(other)} {
		eventually(t, "the pods in the agent's cache", func() error {
			_, err := n.agent.findPod(t.Context(), p)
			return err
		})
	}
	n.wire.set(refuse)
	f.add(t, n, "inside", pod)

	n.clock.ahead.Store(int64(time.Hour + time.Minute))
	for name, req := range map[string]agentapi.Request{
		"a new one": f.addition("outside", other), "a repeated one": f.addition("inside", pod),
	} {
		resp := n.ask(t, req)
		wantProblem(t, resp, problem.APIUnreachable)
		if resp.Error != nil && resp.Error.CNI != problem.CNITryAgain {
			t.Errorf("%s: CNI code %d, want %d", name, resp.Error.CNI, problem.CNITryAgain)
		}
	}
	check := f.addition("inside", pod)
	check.Command = agentapi.Check
	wantProblem(t, n.ask(t, check), problem.APIUnreachable)

	n.wire.set(nil)
	f.add(t, n, "outside-again", other)
	f.add(t, n, "inside", pod)
	eventually(t, "the caches to be believed again", func() error {
		if !n.agent.contact.cachesHold() {
			return errNotReady
		}
		return nil
	})
}

// TestSilenceWhileTheJournalWasWritten: an ADD that was stopped meanwhile is not answered by what it knew before, and begins again: the API server
// may have ended a watch early, and then each ADD that is under way on the node is such a one (F9, F12).
func TestSilenceWhileTheJournalWasWritten(t *testing.T) {
	f := newFixture(t)
	n := startNode(t)
	pod := f.newPod(t, "db-0", n.name, "db")
	claim := f.prebind(t, n, pod)
	req := f.addition("c1", pod)
	a := &addition{
		Agent: n.agent, req: &req, key: attemptKey{"c1", "net1"}, pod: pod, pool: f.pool,
		claim: agentapi.ClaimRef{Namespace: claim.Namespace, Name: claim.Name},
	}
	if err := a.enter(t.Context(), claim, false, n.agent.contact.silence()-1); !errors.Is(err, errUnjudged) {
		t.Fatalf("it ended with %v, want that it begins again", err)
	}
	if entry, ok := n.agent.journal.get(a.key); ok {
		t.Errorf("the journal has it as %s", entry.State)
	}
	f.add(t, n, "c1", pod)
	del(t, n, "c1")
	if err := a.enter(t.Context(), claim, false, n.agent.contact.silence()); !problem.ContainerDeleted.Is(err) {
		t.Errorf("after its DEL it ended with %v", err)
	}
}

// TestStaleCachesAreNotBelieved proves interleaving 7: contact that comes back does not vouch for caches whose watches have not.
func TestStaleCachesAreNotBelieved(t *testing.T) {
	f := newFixture(t)
	n := startNode(t, func(o *Options) { o.FencingWindow = time.Hour })
	pod := f.newPod(t, "db-0", n.name, "db")
	claim := f.prebind(t, n, pod)
	// From now on no watch is answered; all else is.
	n.wire.set(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		if req.URL.Query().Has("watch") {
			return n.wire.hang(req, next)
		}
		return next.RoundTrip(req)
	})
	// The holder goes behind the agent's back, as evidence may have it one day.
	f.must(t, n.agent.holders.ClearHolder(t.Context(), claimKey(agentapi.ClaimRef{Namespace: claim.Namespace, Name: claim.Name}),
		pod.UID, claim.Status.Holder.Generation, binding.End{Reason: v1alpha1.EndForced, Evidence: "forced"}))
	n.clock.ahead.Store(int64(2 * time.Hour))
	eventually(t, "contact", func() error {
		if !n.agent.contact.inside() {
			return errNotReady
		}
		return nil
	})
	f.add(t, n, "c1", pod)
	if holder := f.claimOf(t, pod).Status.Holder; holder == nil || holder.Generation != 2 {
		t.Errorf("the ADD was answered from the cache: the holder is %+v", holder)
	}
	if n.agent.contact.cachesHold() {
		t.Error("caches that differ from the API are believed")
	}
}

// TestStartWithoutAPI proves R-K3, R-C6 and R-C12: an agent that has never heard of the API refuses ADD, serves DEL, and answers
// STATUS in time.
func TestStartWithoutAPI(t *testing.T) {
	f := newFixture(t)
	n := newNode(t, func(o *Options) { o.Times.ReadyWait = 50 * time.Millisecond })
	n.wire.set(n.wire.hang)
	n.start(t)
	pod := f.newPod(t, "db-0", n.name, "db")
	wantProblem(t, n.ask(t, f.addition("c1", pod)), problem.APIUnreachable)
	del(t, n, "c1")
	start := time.Now()
	resp := n.ask(t, agentapi.Request{Command: agentapi.Status, Pool: f.pool.Name})
	if took := time.Since(start); took > agentapi.StatusTimeout {
		t.Errorf("STATUS took %s", took)
	}
	wantProblem(t, resp, problem.APIUnreachable)
	if resp.Error != nil && resp.Error.CNI != problem.CNIUnavailable {
		t.Errorf("CNI code of STATUS is %d, want %d", resp.Error.CNI, problem.CNIUnavailable)
	}
	f.noTrace(t)
	n.wire.set(nil)
	n.awaitReady(t)
	f.add(t, n, "c2", pod)
}

// TestBusyAPI proves R-C8: answers that ask to try again are tried again, and an ADD that never gets another ends in time,
// with code 11.
func TestBusyAPI(t *testing.T) {
	f := newFixture(t)
	n := startNode(t, func(o *Options) { o.Times.API = agentapi.AddTimeout })
	answer := func(req *http.Request, code int) *http.Response {
		return &http.Response{
			Status: http.StatusText(code), StatusCode: code, Body: http.NoBody, Request: req,
			Header: http.Header{"Content-Type": {"application/json"}},
		}
	}
	pod := f.newPod(t, "db-0", n.name, "db")
	var mu sync.Mutex
	refused := map[string]bool{}
	n.wire.hook(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		key := req.Method + req.URL.Path
		if req.URL.Query().Has("watch") || req.URL.Query().Get("limit") == "1" || refused[key] {
			return next.RoundTrip(req)
		}
		refused[key] = true
		return answer(req, http.StatusServiceUnavailable), nil
	})
	f.add(t, n, "c1", pod)
	// What was answered was written (I3, M07).
	if status := f.claimOf(t, pod).Status; status.LeaseName == "" || status.Holder == nil || status.Holder.PodUID != pod.UID {
		t.Errorf("the ADD was answered, and its claim has %+v", status)
	}

	n = startNode(t, func(o *Options) { o.Times.API = time.Second })
	n.wire.hook(func(req *http.Request, _ http.RoundTripper) (*http.Response, error) {
		return answer(req, http.StatusServiceUnavailable), nil
	})
	other := f.newPod(t, "db-1", n.name, "db")
	start := time.Now()
	resp := n.ask(t, f.addition("c2", other))
	if took := time.Since(start); took > agentapi.AddTimeout {
		t.Errorf("the ADD took %s", took)
	}
	wantProblem(t, resp, problem.APIUnreachable)
}

// TestDelWithoutDisk proves R-C7 and F37: a DEL that cannot be written down is an error, in words that go-cni does not take
// for success; so is an ADD, which leaves no container behind.
func TestDelWithoutDisk(t *testing.T) {
	f := newFixture(t)
	n := startNode(t)
	pod := f.newPod(t, "db-0", n.name, "db")
	f.add(t, n, "c1", pod)
	breakJournal(t, n)
	magic := regexp.MustCompile(`(?i)not found|no such file or directory`)
	for range 2 { // the second finds that even the directory is gone
		resp := n.ask(t, deletion("c1"))
		wantProblem(t, resp, problem.JournalFailed)
		if text := fmt.Sprintf("%+v", *resp.Error); magic.MatchString(text) {
			t.Errorf("go-cni would take this for success: %s", text)
		}
	}
	resp := n.ask(t, f.addition("c2", pod))
	wantProblem(t, resp, problem.JournalFailed)
	if resp.Error != nil && resp.Error.CNI != problem.CNIUnavailable {
		t.Errorf("CNI code of ADD is %d, want %d", resp.Error.CNI, problem.CNIUnavailable)
	}
	if _, ok := n.agent.journal.get(attemptKey{"c2", "net1"}); ok {
		t.Error("the ADD that was refused is in the journal")
	}
	if holder := f.claimOf(t, pod).Status.Holder; holder == nil {
		t.Error("the holder of a container that is attached was cleared")
	}
}

// TestStartWhileTheAPIGoesBack proves R-K3 and F28: an agent whose watch falls silent between its first list and its first comparison, as that
// of an API server which was put back to an older state does, makes its caches anew and becomes ready.
func TestStartWhileTheAPIGoesBack(t *testing.T) {
	f := newFixture(t)
	n := newNode(t)
	compares, change := make(chan struct{}), make(chan struct{})
	silent := make(chan struct{})
	var compared sync.Once
	n.wire.hook(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		if !strings.HasSuffix(req.URL.Path, "/macclaims") {
			return next.RoundTrip(req)
		}
		if isMetadataOnly(req.Header.Get("Accept")) {
			compared.Do(func() { close(compares); <-change })
			return next.RoundTrip(req)
		}
		if !req.URL.Query().Has("watch") {
			return next.RoundTrip(req)
		}
		resp, err := next.RoundTrip(req)
		select {
		case <-compares: // a watch of new caches
		default:
			if err == nil {
				resp.Body = &fallingSilent{ReadCloser: resp.Body, silent: silent, ended: req.Context().Done()}
			}
		}
		return resp, err
	})
	n.start(t)
	<-compares
	close(silent)
	pod := f.newPod(t, "db-0", n.name, "db")
	f.prebind(t, nil, pod)
	close(change)
	n.awaitReady(t)
	f.add(t, n, "c1", pod)
}

// fallingSilent is a watch that says nothing more from some time on.
type fallingSilent struct {
	io.ReadCloser

	silent <-chan struct{}
	ended  <-chan struct{}
}

// Read is io.Reader's.
func (f *fallingSilent) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	select {
	case <-f.silent:
		<-f.ended
		return 0, io.EOF
	default:
		return n, err
	}
}
