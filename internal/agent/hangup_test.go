// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"net/http"
	"path"
	"strings"
	"testing"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
)

// TestHangUpIsUndone proves R-C9: the caller of an ADD goes while the agent is at one of its steps, and whatever was done is undone: no
// holder stays, the container is refused afterwards, and the pod's next container is served.
func TestHangUpIsUndone(t *testing.T) {
	tests := map[string]func(req *http.Request) bool{ // the request during which the caller goes
		"before anything is made": isRead("/apis/macpool.dev/v1alpha1/macpools/*"), // which bind begins with
		"claim":                   func(req *http.Request) bool { return isCreate(req, "macclaims") },
		"lease":                   func(req *http.Request) bool { return isCreate(req, "macleases") },
		"holder":                  isStatusWrite,
	}
	for name, at := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			n := startNode(t)
			pod := f.newPod(t, "db-0", n.name, "db")
			conn := dial(t, n.socket)
			gone := make(chan struct{})
			n.wire.hook(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
				if !at(req) {
					return next.RoundTrip(req)
				}
				n.wire.hook(nil)
				// The API server carries it out, as the agent hears when it has noticed that nobody waits.
				resp, err := next.RoundTrip(req)
				_ = conn.Close()
				close(gone)
				<-req.Context().Done()
				return resp, err
			})
			if err := agentapi.Write(conn, f.addition("c1", pod)); err != nil {
				t.Fatal(err)
			}
			<-gone
			eventually(t, "the tombstone", func() error {
				if entry, ok := n.agent.journal.get(attemptKey{"c1", "net1"}); !ok || entry.State == attached {
					return errNotReady
				}
				return nil
			})
			wantProblem(t, n.ask(t, f.addition("c1", pod)), problem.ContainerDeleted)
			f.add(t, n, "c2", pod)
			if leases := f.leases(t); len(leases) != 1 {
				t.Errorf("there are %d leases", len(leases))
			}
			del(t, n, "c2")
			f.awaitNoHolder(t, pod)
		})
	}
}

func isRead(pattern string) func(*http.Request) bool {
	return func(req *http.Request) bool {
		matched, err := path.Match(pattern, req.URL.Path)
		return err == nil && matched && req.Method == http.MethodGet
	}
}

func isCreate(req *http.Request, resource string) bool {
	return req.Method == http.MethodPost && strings.HasSuffix(req.URL.Path, "/"+resource)
}

// TestHangUpAfterTheJournal proves that an ADD whose caller goes between the journal and the answer is undone, whether it
// made the holder itself or found it made.
func TestHangUpAfterTheJournal(t *testing.T) {
	for name, prebound := range map[string]bool{"bound by itself": false, "prebound": true} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			n := startNode(t)
			pod := f.newPod(t, "db-0", n.name, "db")
			if prebound {
				f.prebind(t, n, pod)
			}
			req := f.addition("c1", pod)
			out := n.agent.serve(t.Context(), &req)
			if out.response.Error != nil {
				t.Fatal(*out.response.Error)
			}
			out.settle(false)
			wantProblem(t, n.ask(t, req), problem.ContainerDeleted)
			if !prebound {
				f.awaitNoHolder(t, pod)
			} else if f.claimOf(t, pod).Status.Holder == nil {
				t.Error("the pod lost the holder that was made for it")
			}
			f.add(t, n, "c2", pod)
		})
	}
}

// TestDelOvertakesAdd proves R-C9 for a DEL that comes while its ADD is still at work: the ADD ends as ContainerDeleted and
// leaves no holder.
func TestDelOvertakesAdd(t *testing.T) {
	f := newFixture(t)
	n := startNode(t)
	pod := f.newPod(t, "db-0", n.name, "db")
	writing, deleted := make(chan struct{}), make(chan struct{})
	n.wire.hook(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		if isStatusWrite(req) {
			n.wire.hook(nil)
			close(writing)
			<-deleted
		}
		return next.RoundTrip(req)
	})
	answered := start(t, n, f.addition("c1", pod))
	<-writing
	del(t, n, "c1")
	close(deleted)
	wantProblem(t, <-answered, problem.ContainerDeleted)
	f.awaitNoHolder(t, pod)
	if past := f.claimOf(t, pod).Status.PreviousHolders; len(past) != 1 {
		t.Errorf("previous holders = %+v, want the one that was undone", past)
	}
}

// TestDELBetweenJournalAndAnswer: the runtime has given an ADD up, and its DEL comes when the journal is written and the answer is not
// (R-C9). The ADD is refused: an answer without a lease ended the agent, with the node's other pods.
func TestDELBetweenJournalAndAnswer(t *testing.T) {
	f := newFixture(t)
	n := startNode(t)
	pod := f.newPod(t, "db-0", n.name, "db")
	f.add(t, n, "c1", pod)
	req := f.addition("c1", pod)
	a := &addition{Agent: n.agent, req: &req, key: attemptKey{"c1", "net1"}}
	undone := false
	undo := func() error { undone = true; return nil }
	g, err := a.give(func() {}, undo)
	f.must(t, err)
	if g.lease == nil {
		t.Fatal("an ADD without a DEL is answered without a lease")
	}
	del(t, n, "c1")
	if g, err := a.give(func() {}, undo); !problem.ContainerDeleted.Is(err) {
		t.Errorf("after its DEL it is answered with %v, %v", g, err)
	}
	if undone {
		t.Error("the DEL's work was done twice")
	}
	f.awaitNoHolder(t, pod)
}
