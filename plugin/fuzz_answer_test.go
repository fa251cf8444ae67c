// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/cni"
	"github.com/macpool/macpool/internal/problem"
)

// FuzzAnswer : whatever is on the other end of the socket, the plugin ends with an error that has a code and prints nothing, or with one
// result of the version asked for that has the addresses of the answer and no others. It never prints half of one.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"lease":{"mac":"02:32:00:a8:32:08","ips":[{"address":"192.168.50.8/24","gateway":"192.168.50.1"},{"address":"fd00:50::8/64"}],"name":"vlan-50.192.168.50.8","claim":{"namespace":"home","name":"db"}}}`,
		`{"lease":{"mac":"02:32:00:a8:32:08","ips":[{"address":"192.168.50.8/24"}],"routes":[{"dst":"10.0.0.0/8","gw":"192.168.50.1"},{"dst":""}],"dns":{"nameservers":["x"]}}}`,
		`{"lease":{"mac":"","ips":[{"address":""}]}}`, `{"lease":{"mac":"02-32-00-a8-32-08-00-00","ips":null}}`,
		`{"lease":{"mac":"02:32:00:a8:32:08","ips":[{"address":"::ffff:192.168.50.8/120","gateway":"fe80::1%eth0"}]}}`,
		`{"error":{"cni":11,"code":"MP502","message":"no contact","fix":"Wait."}}`, `{"error":{"cni":0,"code":"","message":"a\u001b[31m"}}`,
		`{"error":null,"lease":null}`, `null`, `[]`, `{`, ``,
	} {
		for i := range cni.Versions() {
			f.Add([]byte(seed), uint8(i))
		}
	}
	answer := &atomic.Pointer[[]byte]{}
	dir, err := os.MkdirTemp("", "mp-")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := dir + "/agent.sock"
	listener, err := listen(f, socket)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			var req agentapi.Request
			_ = agentapi.Read(conn, &req) // else the kernel may drop the answer with what was not read
			_, _ = conn.Write(*answer.Load())
			_ = conn.Close()
		}
	}()
	f.Fuzz(func(t *testing.T, data []byte, v uint8) {
		answer.Store(&data)
		var out bytes.Buffer
		p := &Plugin{Getenv: func(key string) string { return map[string]string{agentapi.SocketEnv: socket}[key] }, Stdout: &out}
		cniVersion := cni.Versions()[int(v)%len(cni.Versions())]
		lease, err := p.askLease(t.Context(), &agentapi.Request{Command: agentapi.Add})
		if err == nil {
			_, err = leasedMAC(lease)
		}
		var result *types100.Result
		if err == nil {
			result, err = ipamResult(lease, ipamBlock{})
		}
		if err == nil {
			err = p.print(result, cniVersion)
		}
		if err != nil {
			checkRefusal(t, err)
			if out.Len() > 0 {
				t.Errorf("%v, and %q was printed", err, out.String())
			}
			return
		}
		printed, err := version.NewResult(cniVersion, out.Bytes())
		if err != nil {
			t.Fatalf("no result of %s: %v\n%s", cniVersion, err, out.String())
		}
		back, err := types100.NewResultFromResult(printed)
		if err != nil {
			t.Fatal(err)
		}
		var got []netip.Prefix
		for _, ip := range back.IPs {
			got = append(got, prefixOf(&ip.Address))
		}
		for _, ip := range lease.IPs {
			if !slices.Contains(got, ip.Address) {
				t.Errorf("%s of the lease is not in %s", ip.Address, out.String())
			}
		}
	})
}

// checkRefusal: an error is one that the runtime can show, and of an answer's size. What an agent said is passed on.
func checkRefusal(t *testing.T, err error) {
	t.Helper()
	var said *answer
	if problem.As(err) == nil && !errors.As(err, &said) {
		t.Errorf("%v has no code", err)
	}
	e := cniError(err)
	if text, err := json.Marshal(e); err != nil || len(text) > 8*agentapi.MaxMessage {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	if d := forDel(e); strings.Contains(strings.ToLower(d.Msg), "not found") {
		t.Errorf("a DEL's error is %q, which runtimes take for success", d.Msg)
	}
}
