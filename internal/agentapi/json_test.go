// SPDX-License-Identifier: Apache-2.0

package agentapi_test

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"testing"
	"testing/quick"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/macpool/macpool/internal/agentapi"
)

// What is written by hand is what the tags say, octet by octet, whatever is in the fields and whichever are empty.
func TestRequestIsWrittenAsItsTagsSay(t *testing.T) {
	type tagged agentapi.Request // without the method
	same := func(r agentapi.Request) bool {
		want, err := json.Marshal(tagged(r))
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(&r)
		if err != nil {
			t.Fatal(err)
		}
		return cmp.Equal(string(want), string(got))
	}
	check := func(request agentapi.Request, empty uint32) bool {
		fields := reflect.ValueOf(&request).Elem()
		for i := range fields.NumField() {
			if empty&(1<<i) != 0 {
				fields.Field(i).SetZero()
			}
		}
		return same(request)
	}
	if err := quick.Check(check, &quick.Config{MaxCount: 2000}); err != nil {
		t.Error(err)
	}
	for _, request := range []agentapi.Request{{}, {Command: agentapi.Status}, {Wish: agentapi.Wish{IPs: []string{}}}, {Valid: []agentapi.Attachment{}}} {
		if !same(request) {
			t.Errorf("%+v is written otherwise", request)
		}
	}
}

// And what is read by hand, too.
func TestLeaseIsReadAsItsTagsSay(t *testing.T) {
	type tagged agentapi.Lease
	full := agentapi.Lease{
		MAC:    "02:32:00:a8:32:08",
		IPs:    []agentapi.IP{{Address: netip.MustParsePrefix("192.168.50.8/24"), Gateway: netip.MustParseAddr("192.168.50.1")}, {Address: netip.MustParsePrefix("fd00:50::8/64")}},
		Routes: []agentapi.Route{{Dst: netip.MustParsePrefix("10.0.0.0/8"), GW: netip.MustParseAddr("192.168.50.1")}},
		DNS:    agentapi.DNS{Nameservers: []string{"192.168.50.53"}, Domain: "iot.example", Search: []string{"example"}, Options: []string{"ndots:1"}},
		Parent: "eth0.50", Name: "vlan-50.192.168.50.8", Claim: agentapi.ClaimRef{Namespace: "iot", Name: "db-0.iot.net1"}, Quiet: true,
	}
	if fields := reflect.ValueOf(full); fields.NumField() != 8 {
		t.Errorf("a lease has %d fields, and 8 are read", fields.NumField())
	}
	encode := func(l agentapi.Lease) string {
		encoded, err := json.Marshal(tagged(l))
		if err != nil {
			t.Fatal(err)
		}
		return string(encoded)
	}
	for _, message := range []string{
		encode(full), encode(agentapi.Lease{}), encode(agentapi.Lease{MAC: "02:00:00:00:00:01", IPs: []agentapi.IP{}}), `{"later":1}`, `null`, `{"ips":null,"mac":null}`,
		`[]`, `{"mac":7}`, `{"ips":[{"address":"no"}]}`, `{"dns":[]}`, `"x"`,
	} {
		var got agentapi.Lease
		var want tagged
		errGot, errWant := json.Unmarshal([]byte(message), &got), json.Unmarshal([]byte(message), &want)
		if (errGot == nil) != (errWant == nil) {
			t.Errorf("%s: %v, want %v", message, errGot, errWant)
		}
		if diff := cmp.Diff(agentapi.Lease(want), got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); errGot == nil && diff != "" {
			t.Errorf("%s: (-want +got):\n%s", message, diff)
		}
	}
}
