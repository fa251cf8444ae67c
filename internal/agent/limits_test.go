// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/time/rate"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
)

// TestPaceOfAStorm is R-S7's rate limit, which no real node meets: 110 pods with 16 interfaces each start at one instant, and their runtime
// asks three times for each. What comes beyond is slowed down, and never refused.
func TestPaceOfAStorm(t *testing.T) {
	s, _ := counted(t)
	now := time.Unix(0, 0)
	storm := 110 * 16 * 3
	for i := range storm {
		if d := s.pace.ReserveN(now, 1).DelayFrom(now); d != 0 {
			t.Fatalf("connection %d of the storm waits for %s", i, d)
		}
	}
	flood := 100_000
	var last time.Duration
	for range flood {
		last = s.pace.ReserveN(now, 1).DelayFrom(now)
	}
	if want := time.Duration(storm+flood-burst) * time.Second / perSecond; last != want {
		t.Errorf("the last of a flood of %d waits for %s, want %s", flood, last, want)
	}
}

// TestFloodIsSlowed attacks the rate limit (R-S7) on the socket: what is beyond it is served when its time has come, and not before.
func TestFloodIsSlowed(t *testing.T) {
	s, asked := counted(t)
	clk := testingclock.NewFakeClock(time.Now())
	s.clock, s.pace = clk, rate.NewLimiter(1, 3)
	startServer(t, s)
	status := agentapi.Request{Command: agentapi.Status}
	for range 3 {
		ask(t, s.path, status)
	}
	answered := make(chan error, 1)
	go func() {
		_, _, err := tryAsk(t.Context(), s.path, status)
		answered <- err
	}()
	// The three that were answered have stopped their timers, or will; a fourth waits for the pace.
	eventually(t, "the fourth to wait", func() error {
		if clk.HasWaiters() {
			return nil
		}
		return errNotReady
	})
	if n := asked.Load(); n != 3 {
		t.Errorf("%d were served at once", n)
	}
	eventually(t, "the fourth to be served", func() error {
		clk.Step(time.Second)
		select {
		case err := <-answered:
			return err
		default:
			return errNotReady
		}
	})
}

// TestSlowCallers attacks the limits of time (R-S7): callers that say nothing, that send a byte now and then, or that do not take their
// answer. Each is given up, and an honest one gets its answer although they have taken all that is served at once.
func TestSlowCallers(t *testing.T) {
	settled := make(chan bool, 1)
	s := socketServer(t, func(_ context.Context, req *agentapi.Request) outcome {
		out := leaseNamed("given")
		if req.Command == agentapi.Add {
			out.response.Lease.Routes = make([]agentapi.Route, 1<<18) // more than the kernel keeps for who does not read
			out.settle = func(sent bool) { settled <- sent }
		}
		return out
	})
	s.reading, s.writing = 300*time.Millisecond, 300*time.Millisecond
	startServer(t, s)

	deaf := dial(t, s.path)
	if err := agentapi.Write(deaf, agentapi.Request{Command: agentapi.Add}); err != nil {
		t.Fatal(err)
	}
	if <-settled {
		t.Error("the answer counts as sent that nobody took")
	}

	drip := dial(t, s.path)
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := io.WriteString(drip, " "); err != nil {
				ended <- err
				return
			}
			time.Sleep(5 * time.Millisecond) // this caller's own pace
		}
	}()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("a byte now and then keeps the connection")
	}

	var silent []net.Conn
	for range maxConnections {
		silent = append(silent, dial(t, s.path))
	}
	if resp, _ := ask(t, s.path, agentapi.Request{Command: agentapi.Status}); resp.Lease == nil {
		t.Errorf("the honest one is answered %+v", resp)
	}
	for _, conn := range silent {
		var resp agentapi.Response
		if err := agentapi.Read(conn, &resp); err != nil || resp.Error == nil || resp.Error.Code != problem.BadRequest.Code {
			t.Fatalf("a silent one is told %+v, %v", resp.Error, err)
		}
	}
}

// TestTalkers attacks what follows a request (R-S7): who goes on talking costs no more than who hangs up, and counts as such.
func TestTalkers(t *testing.T) {
	cause := make(chan error, 1)
	s := socketServer(t, func(ctx context.Context, _ *agentapi.Request) outcome {
		<-ctx.Done()
		cause <- context.Cause(ctx)
		return outcome{}
	})
	startServer(t, s)
	conn := dial(t, s.path)
	if err := agentapi.Write(conn, agentapi.Request{Command: agentapi.Add}); err != nil {
		t.Fatal(err)
	}
	n, _ := io.Copy(conn, io.LimitReader(bytes.NewReader(bytes.Repeat([]byte("x"), 8<<20)), 8<<20))
	if got := <-cause; !errors.Is(got, errHungUp) {
		t.Errorf("the request ended with %v", got)
	}
	if n == 8<<20 {
		t.Error("all of it was read")
	}
}

// TestDeepRequest attacks the decoder: a request may be nested, and is refused in words before the stack ends.
func TestDeepRequest(t *testing.T) {
	s, asked := counted(t)
	startServer(t, s)
	conn := dial(t, s.path)
	go func() { _, _ = io.WriteString(conn, `{"pod":`+strings.Repeat("[", agentapi.MaxMessage/2)) }()
	var resp agentapi.Response
	if err := agentapi.Read(conn, &resp); err != nil || resp.Error == nil || resp.Error.Code != problem.BadRequest.Code || asked.Load() != 0 {
		t.Errorf("the answer is %+v, %v", resp.Error, err)
	}
}
