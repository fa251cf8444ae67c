// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/utils/clock"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
)

// FuzzServe : whatever somebody sends to the socket, the agent answers with one whole message or hangs up, and serves the next one. What is no
// request reaches no handler (T14).
func FuzzServe(f *testing.F) {
	for _, seed := range []string{
		`{"command":"ADD","containerID":"c1","interface":"net1"}`, `{"command":"STATUS"}` + "\n", `{"command":"panic"}`, `{"command":"x","valid":[{},{}]}`,
		`{"command":"ADD"}{"command":"DEL"}`, `{"command":["ADD"]}`, `{"command":"ADD"`, `nonsense`, "", "\x00\xff",
	} {
		f.Add([]byte(seed))
	}
	handled := 0
	s := &server{trusted: true, clock: clock.RealClock{}, log: logr.Discard(), limits: limitOf, reading: readTimeout, writing: writeTimeout, handle: func(_ context.Context, req *agentapi.Request) outcome {
		handled++
		if req.Command == "panic" {
			panic("at the command " + req.Command)
		}
		return outcome{response: agentapi.Response{Lease: &agentapi.Lease{Name: string(req.Command)}}}
	}}
	dir, err := os.MkdirTemp("", "mp-")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = os.RemoveAll(dir) })
	s.path = filepath.Join(dir, "agent.sock")
	listener, err := s.listen(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = listener.Close() })
	f.Fuzz(func(t *testing.T, data []byte) {
		before := handled
		var req agentapi.Request
		wrong := agentapi.Read(bytes.NewReader(data), &req)
		conn, err := tryDial(t.Context(), s.path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		go func() { // what is too long is not read to its end
			_, _ = conn.Write(data)
			if wrong != nil { // else that would be to hang up
				if socket, ok := conn.(*net.UnixConn); ok {
					_ = socket.CloseWrite()
				}
			}
		}()
		peer, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		s.converse(t.Context(), peer)
		_ = peer.Close()
		text, _ := io.ReadAll(conn) // ends with a reset where something was left over
		var resp agentapi.Response
		if err := agentapi.Read(bytes.NewReader(text), &resp); err != nil || bytes.Count(text, []byte{'\n'}) != 1 {
			t.Fatalf("%q was answered by %q: %v", data, text, err)
		}
		if called := handled - before; (wrong == nil) != (called == 1) || called > 1 {
			t.Errorf("%q reached a handler %d times", data, called)
		}
		switch {
		case wrong != nil && (resp.Error == nil || resp.Error.Code != problem.BadRequest.Code || resp.Lease != nil),
			wrong == nil && (resp.Error == nil) != (req.Command != "panic"):
			t.Errorf("%q was answered by %s", data, text)
		}
	})
}

// FuzzJournal : whatever a disk makes of the journal, the agent starts, and knows exactly what the whole lines say. What it writes then is
// read back alike.
func FuzzJournal(f *testing.F) {
	key := attemptKey{"c1", "net1"}
	dir := f.TempDir()
	j, err := openJournal(dir, testingclock.NewFakePassiveClock(now), logr.Discard())
	if err != nil {
		f.Fatal(err)
	}
	if _, err := j.attach(testAttempt("c1", "p1")); err != nil {
		f.Fatal(err)
	}
	if _, err := j.attach(testAttempt("c2", "p1")); err != nil {
		f.Fatal(err)
	}
	if _, err := j.detach(key); err != nil {
		f.Fatal(err)
	}
	if err := j.close(); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(dir, journalName))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole, false)
	f.Add(whole[:len(whole)-7], false)
	for _, seed := range []string{
		`{"container":"c1","interface":"net1","state":"attached","at":"2026-11-24T12:00:00Z"}`, `{"container":"c1","state":"deleted","at":"2026-11-24T11:59:00Z"}`,
		`{"state":"withdrawn"}`, `{"state":"other","at":"9999-12-31T23:59:59Z","generation":-1}`, `{"at":"0000-01-01T00:00:00Z","state":"detached"}`,
		`{"lease":{"ips":[{"address":""}]},"workload":{"ordinal":-1}}`, `null`, `{`, "{}\n{}",
	} {
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, sound bool) {
		if sound { // the fuzzer finds no checksums: what is behind them is reached so
			var lines []byte
			for line := range bytes.SplitSeq(data, []byte{'\n'}) {
				lines = append(append(fmt.Appendf(lines, "%08x ", crc32.Checksum(line, castagnoli)), line...), '\n')
			}
			data = lines
		}
		dir := t.TempDir()
		path := filepath.Join(dir, journalName)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		want := map[attemptKey]bool{}
		for line := range bytes.SplitSeq(data, []byte{'\n'}) {
			if a, err := decodeAttempt(line); err == nil {
				want[a.key()] = true
			}
		}
		j := openTestJournal(t, dir, now)
		known := holdings(j)
		for key := range known {
			if !want[key] {
				t.Errorf("the journal knows %v, which no line says", key)
			}
		}
		j.mustAttach(t, testAttempt("new", "p9"))
		known = holdings(j)
		closeJournal(t, j)
		again := openTestJournal(t, dir, now)
		defer closeJournal(t, again)
		if diff := cmp.Diff(known, holdings(again), compareAttempts, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("after a restart (-before +after):\n%s", diff)
		}
		if _, ok := again.get(attemptKey{"new", "net1"}); !ok {
			t.Error("what was attached is lost")
		}
	})
}

// holdings is all that a journal holds, in whatever state.
func holdings(j *journal) map[attemptKey]attempt {
	j.mu.RLock()
	defer j.mu.RUnlock()
	all := map[attemptKey]attempt{}
	for key, a := range j.state.attempts {
		copied := *a
		copied.tried = false
		all[key] = copied
	}
	return all
}

// FuzzMark : a file of the epoch that is damaged says nothing, and one that says something says what was kept (R-B1).
func FuzzMark(f *testing.F) {
	dir := f.TempDir()
	m, err := openMarks(dir)
	if err != nil {
		f.Fatal(err)
	}
	if err := m.keep(mark{Epoch: 41, Timeline: 3, NodeUID: "uid"}); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(m.path())
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{whole, whole[:10], {}, []byte("null"), []byte(`{"sum":0}`), []byte(`{"epoch":9223372036854775807,"timeline":-1,"sum":1}`)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, epochName), data, 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := openMarks(dir)
		if err != nil {
			t.Fatal(err)
		}
		got, known := m.get()
		if !known && got != (mark{}) {
			t.Errorf("%q: nothing is known, and it is %+v", data, got)
		}
		if err := m.keep(got); err != nil {
			t.Fatal(err)
		}
		back, err := openMarks(dir)
		if err != nil {
			t.Fatal(err)
		}
		if again, ok := back.get(); !ok || again != got {
			t.Errorf("%+v was kept, and %+v is there", got, again)
		}
	})
}

// FuzzSpooled : whatever lies in the spool, a DEL is applied once and its file removed, and anything else is set aside under a name that is not
// read again. Nothing else on the node is touched.
func FuzzSpooled(f *testing.F) {
	for _, seed := range []string{
		`{"command":"DEL","containerID":"c1","interface":"net1","pool":"iot"}`, `{"command":"DEL","containerID":"../x","interface":"\u0000"}`,
		`{"command":"DEL"}`, `{"command":"ADD","containerID":"c1"}`, `{"command":"DEL"`, `[]`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		spool := filepath.Join(dir, agentapi.SpoolDir)
		if err := os.Mkdir(spool, 0o700); err != nil {
			t.Fatal(err)
		}
		name := "c1@net1.json"
		if err := os.WriteFile(filepath.Join(spool, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
		later := time.Now().Add(2 * spoolWriting) // what cannot be read is not being written any more
		a := &Agent{options: Options{StateDir: dir}, clock: testingclock.NewFakeClock(later), log: logr.Discard()}
		a.journal = openTestJournal(t, dir, later)
		defer closeJournal(t, a.journal)
		var req agentapi.Request
		isDEL := agentapi.Read(bytes.NewReader(data), &req) == nil && req.Command == agentapi.Del && req.ContainerID != "" && req.Interface != ""
		a.applySpool()
		entries, err := os.ReadDir(spool)
		if err != nil {
			t.Fatal(err)
		}
		names := make([]string, 0, 1)
		for _, e := range entries {
			names = append(names, e.Name())
		}
		switch {
		case len(a.spooled()) != 0:
			t.Errorf("%q would be read for ever: %v", data, names)
		case isDEL && len(names) != 0:
			t.Errorf("%q was applied, and there is %v", data, names)
		case !isDEL && (len(names) != 1 || names[0] != spoolRejected+name || len(holdings(a.journal)) != 0):
			t.Errorf("%q is no DEL, and there is %v; the journal has %v", data, names, holdings(a.journal))
		}
	})
}
