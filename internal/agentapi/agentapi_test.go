// SPDX-License-Identifier: Apache-2.0

package agentapi_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
)

var addresses = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

func TestRoundTrip(t *testing.T) {
	request := agentapi.Request{
		Command: agentapi.Add, ContainerID: "c1", NetNS: "/var/run/netns/c1", Interface: "net1", Network: "iot-vlan", Pool: "iot",
		Pod:   agentapi.Pod{Namespace: "iot", Name: "db-0", UID: "uid"},
		Wish:  agentapi.Wish{IPs: []string{"192.168.50.8/24"}, MAC: "02:32:00:a8:32:08"},
		Valid: []agentapi.Attachment{{ContainerID: "c2", Interface: "net1"}},
	}
	checkRoundTrip(t, request)
	checkRoundTrip(t, agentapi.Request{Command: agentapi.Status})
	checkRoundTrip(t, agentapi.Response{Error: &agentapi.Error{CNI: 11, Code: "MP502", Message: "no contact", Fix: "Wait."}})
	checkRoundTrip(t, agentapi.Response{Lease: &agentapi.Lease{
		MAC: "02:32:00:a8:32:08",
		IPs: []agentapi.IP{
			{Address: netip.MustParsePrefix("192.168.50.8/24"), Gateway: netip.MustParseAddr("192.168.50.1")},
			{Address: netip.MustParsePrefix("fd00:50::8/64")},
		},
		Routes: []agentapi.Route{{Dst: netip.MustParsePrefix("10.0.0.0/8"), GW: netip.MustParseAddr("192.168.50.1")}, {Dst: netip.MustParsePrefix("fd00::/8")}},
		DNS:    agentapi.DNS{Nameservers: []string{"192.168.50.53"}, Domain: "iot.example", Search: []string{"example"}, Options: []string{"ndots:1"}},
		Name:   "vlan-50.192.168.50.8", Claim: agentapi.ClaimRef{Namespace: "iot", Name: "db-0.iot.net1"},
	}})
}

func checkRoundTrip[T any](t *testing.T, sent T) {
	t.Helper()
	var wire bytes.Buffer
	if err := agentapi.Write(&wire, sent); err != nil {
		t.Fatal(err)
	}
	var got T
	if err := agentapi.Read(&wire, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sent, got, addresses); diff != "" {
		t.Errorf("a message changed on its way (-sent +got):\n%s", diff)
	}
}

// padded is a request of n bytes.
func padded(n int) string {
	const frame = `{"network":""}`
	return `{"network":"` + strings.Repeat("x", n-len(frame)) + `"}`
}

func TestRead(t *testing.T) {
	for name, tc := range map[string]struct {
		stream  string
		wantErr error
		wantAny bool
	}{
		"a message":                  {stream: `{"command":"ADD"}`},
		"unknown field":              {stream: `{"command":"ADD","later":true}`},
		"what follows is left alone": {stream: `{"command":"ADD"}` + "\n" + `{"command":"DEL"}`},
		"as large as allowed":        {stream: padded(agentapi.MaxMessage)},
		"a byte too large":           {stream: padded(agentapi.MaxMessage + 1), wantErr: agentapi.ErrTooLarge},
		"far too large":              {stream: padded(10 * agentapi.MaxMessage), wantErr: agentapi.ErrTooLarge},
		"endless space":              {stream: strings.Repeat(" ", 2*agentapi.MaxMessage), wantErr: agentapi.ErrTooLarge},
		"nothing":                    {stream: "", wantErr: io.EOF},
		"cut off":                    {stream: `{"command":"AD`, wantErr: io.ErrUnexpectedEOF},
		"no JSON":                    {stream: "ADD", wantAny: true},
		"another type":               {stream: `{"command":7}`, wantAny: true},
	} {
		t.Run(name, func(t *testing.T) {
			var got agentapi.Request
			err := agentapi.Read(strings.NewReader(tc.stream), &got)
			switch {
			case tc.wantAny:
				if err == nil || errors.Is(err, agentapi.ErrTooLarge) {
					t.Errorf("got %v, want a syntax error", err)
				}
			case !errors.Is(err, tc.wantErr):
				t.Errorf("got %v, want %v", err, tc.wantErr)
			}
		})
	}
}

// TestReadReadsNoMore is of a peer that never stops: no more than the limit is taken into memory.
func TestReadReadsNoMore(t *testing.T) {
	endless := &counter{}
	if err := agentapi.Read(io.MultiReader(strings.NewReader(`{"network":"`), endless), &agentapi.Request{}); !errors.Is(err, agentapi.ErrTooLarge) {
		t.Errorf("got %v, want %v", err, agentapi.ErrTooLarge)
	}
	if endless.n > agentapi.MaxMessage+1 {
		t.Errorf("%d bytes were read, more than %d", endless.n, agentapi.MaxMessage+1)
	}
}

type counter struct{ n int }

func (c *counter) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	c.n += len(p)
	return len(p), nil
}

func TestNewError(t *testing.T) {
	known := problem.PoolUnknown.New("iot").WithCause(io.ErrClosedPipe)
	for name, tc := range map[string]struct {
		err  error
		want agentapi.Error
	}{
		"a problem":         {known, agentapi.Error{CNI: 302, Code: "MP302", Message: known.Message, Fix: known.Fix}},
		"a wrapped problem": {fmt.Errorf("binding: %w", known), agentapi.Error{CNI: 302, Code: "MP302", Message: known.Message, Fix: known.Fix}},
		"anything else": {io.ErrClosedPipe, agentapi.Error{
			CNI: problem.CNITryAgain, Code: "MP599", Message: "macpool failed unexpectedly: io: read/write on closed pipe", Fix: problem.Internal.Fix,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, *agentapi.NewError(tc.err)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
