// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// validPool is the pool that the cases edit: both families, and something in every list.
func validPool() *v1alpha1.MacPool {
	return &v1alpha1.MacPool{
		ObjectMeta: metav1.ObjectMeta{Name: newName("pool")},
		Spec: v1alpha1.MacPoolSpec{
			VLAN: ptr.To[int32](50),
			Subnets: []v1alpha1.Subnet{
				{
					CIDR: "192.168.50.0/24", Gateway: "192.168.50.1",
					Ranges: []v1alpha1.PoolRange{
						{AddressRange: v1alpha1.AddressRange{Start: "192.168.50.10", End: "192.168.50.99"}},
						{AddressRange: v1alpha1.AddressRange{Start: "192.168.50.8"}, ExplicitOnly: true},
					},
					Exclude: []v1alpha1.AddressRange{{Start: "192.168.50.20", End: "192.168.50.29"}},
				},
				{CIDR: "fd00:50::/64", Gateway: "fd00:50::1"},
			},
			MAC:          &v1alpha1.MACPolicy{Prefix: "02:32:00"},
			Routes:       []v1alpha1.Route{{Dst: "10.0.0.0/8", GW: "192.168.50.1"}, {Dst: "fd00::/8"}},
			DNS:          &v1alpha1.DNS{Nameservers: []v1alpha1.IPAddress{"192.168.50.53"}, Search: []string{"iot.example"}},
			Reservations: []v1alpha1.Reservation{{IP: "192.168.50.9", ClaimRef: &v1alpha1.ReservedClaimRef{Namespace: "iot", Name: "camera"}}},
		},
	}
}

const (
	notMulticast = "must be a unicast prefix: the second digit must be even"
	notUniversal = "must be a locally administered prefix: the second digit must be 2, 6, a or e"
	notReserved  = "prefix is one that other software makes MACs from"
	lowerPrefix  = "must be three octets in lower case, separated by colons"
	canonicalIP  = "must be an IPv4 or IPv6 address in canonical form"
	noHostBits   = "must not have host bits set"
)

func TestMacPoolCreate(t *testing.T) {
	for name, tc := range map[string]struct {
		edit       func(fields)
		wantErrors []string
	}{
		"valid":      {},
		"vlan only":  {edit: set("spec", map[string]any{"vlan": 50, "subnets": []any{map[string]any{"cidr": "192.168.50.0/24"}}})},
		"ipv6 only":  {edit: set("spec", map[string]any{"vlan": 50, "subnets": []any{map[string]any{"cidr": "fd00:50::/64"}}})},
		"no subnet":  {edit: both(set("spec.subnets", []any{}), set("spec.reservations", nil)), wantErrors: []string{"should have at least 1 items"}},
		"MACs alone": {edit: set("spec", map[string]any{"vlan": 50})},
		"MACs alone, with what they may have": {edit: set("spec", map[string]any{
			"vlan": 0, "mac": map[string]any{"prefix": "02:d0:01"}, "parents": []any{map[string]any{"link": "eth0.50"}}, "maxPerNamespace": 9,
			"conflictDetection": map[string]any{"mode": "Off"}, "takeover": "Immediate",
		})},
		"MACs alone, vlan 0":     {edit: set("spec", map[string]any{"vlan": 0}), wantErrors: []string{"mac.prefix must be set when vlan is 0"}},
		"MACs alone, reserved":   {edit: set("spec", map[string]any{"vlan": 50, "reservations": []any{map[string]any{"ip": "192.168.50.9"}}}), wantErrors: []string{"reservations must not be set without subnets"}},
		"MACs alone, with route": {edit: set("spec", map[string]any{"vlan": 50, "routes": []any{map[string]any{"dst": "10.0.0.0/8"}}}), wantErrors: []string{"routes and dns must not be set without subnets"}},
		"MACs alone, with DNS":   {edit: set("spec", map[string]any{"vlan": 50, "dns": map[string]any{"domain": "iot.example"}}), wantErrors: []string{"routes and dns must not be set without subnets"}},
		"MACs alone, strictly":   {edit: set("spec", map[string]any{"vlan": 50, "conflictDetection": map[string]any{"mode": "Strict"}}), wantErrors: []string{"conflictDetection.mode must not be Strict without subnets"}},

		"no vlan":         {edit: set("spec.vlan", nil), wantErrors: []string{"spec.vlan: Required value"}},
		"no spec":         {edit: set("spec", nil), wantErrors: []string{"spec: Required value"}},
		"name with a dot": {edit: set("metadata.name", "iot.vlan"), wantErrors: []string{"the name of a pool must be a DNS label"}},
		"name too long": {
			edit:       set("metadata.name", "a-name-of-sixty-four-characters-which-is-one-more-than-the-limit"),
			wantErrors: []string{"the name of a pool must be a DNS label"},
		},

		"parents": {edit: set("spec.parents", []any{
			map[string]any{"nodeSelector": map[string]any{"matchLabels": map[string]any{"nic": "bond"}}, "link": "bond0.50"},
			map[string]any{"link": "eth0.50"},
		})},
		"parent without a link": {edit: set("spec.parents", []any{map[string]any{}}), wantErrors: []string{"spec.parents[0].link: Required value"}},
		"parent too long":       {edit: set("spec.parents", []any{map[string]any{"link": "a-long-name.1234"}}), wantErrors: []string{"may not be more than 15"}},
		"parent, no link's name": {
			edit:       set("spec.parents", []any{map[string]any{"link": "../eth0"}}),
			wantErrors: []string{"must be the name of a link: no slash, colon or space"},
		},
		"parent, with a space": {
			edit:       set("spec.parents", []any{map[string]any{"link": "eth0 50"}}),
			wantErrors: []string{"must be the name of a link: no slash, colon or space"},
		},
		"too many parents": {edit: set("spec.parents", slices.Repeat([]any{map[string]any{"link": "eth0.50"}}, 9)), wantErrors: []string{"must have at most 8 items"}},

		"vlan -1":                  {edit: set("spec.vlan", -1), wantErrors: []string{"spec.vlan in body should be greater than or equal to 0"}},
		"vlan 4094":                {edit: set("spec.vlan", 4094)},
		"vlan 4095":                {edit: set("spec.vlan", 4095), wantErrors: []string{"spec.vlan in body should be less than or equal to 4094"}},
		"vlan 0 with a prefix":     {edit: set("spec.vlan", 0)},
		"vlan 0 without a prefix":  {edit: both(set("spec.vlan", 0), set("spec.mac", nil)), wantErrors: []string{"mac.prefix must be set when vlan is 0"}},
		"the vlan that means QEMU": {edit: both(set("spec.vlan", 1364), set("spec.mac", nil)), wantErrors: []string{"mac.prefix must be set when vlan is 1364"}},

		"segment":                         {edit: set("spec.segment", "building-7")},
		"segment with capitals":           {edit: set("spec.segment", "Building-7"), wantErrors: []string{"spec.segment: must be a DNS label"}},
		"segment with a dot":              {edit: set("spec.segment", "building.7"), wantErrors: []string{"spec.segment: must be a DNS label"}},
		"segment that ends with a hyphen": {edit: set("spec.segment", "building-"), wantErrors: []string{"spec.segment: must be a DNS label"}},
		"segment too long": {
			edit:       set("spec.segment", "a-name-of-sixty-four-characters-which-is-one-more-than-the-limit"),
			wantErrors: []string{"spec.segment: Too long"},
		},

		"reservation with a MAC":             {edit: set("spec.reservations.0.mac", "00:1b:21:a8:32:08")},
		"reservation with the founding MAC":  {edit: set("spec.reservations.0.mac", "f1:fd:59:0b:bd:2b"), wantErrors: []string{multicastMAC}},
		"reservation with MAC zero":          {edit: set("spec.reservations.0.mac", "00:00:00:00:00:00"), wantErrors: []string{zeroMAC}},
		"reservation with a MAC in capitals": {edit: set("spec.reservations.0.mac", "00:1B:21:A8:32:08"), wantErrors: []string{lowerMAC}},
		"reservation with a MAC for nobody":  {edit: both(set("spec.reservations.0.mac", "00:1b:21:a8:32:08"), set("spec.reservations.0.claimRef", nil)), wantErrors: []string{"mac must not be set without claimRef"}},

		"multicast prefix":     {edit: set("spec.mac.prefix", "f1:fd:59"), wantErrors: []string{notMulticast}},
		"broadcast prefix":     {edit: set("spec.mac.prefix", "ff:ff:ff"), wantErrors: []string{notMulticast}},
		"universal prefix":     {edit: set("spec.mac.prefix", "00:1b:21"), wantErrors: []string{notUniversal}},
		"zero prefix":          {edit: set("spec.mac.prefix", "00:00:00"), wantErrors: []string{notUniversal}},
		"VRRP":                 {edit: set("spec.mac.prefix", "00:00:5e"), wantErrors: []string{notUniversal}},
		"upper-case prefix":    {edit: set("spec.mac.prefix", "02:32:AB"), wantErrors: []string{lowerPrefix}},
		"prefix with hyphens":  {edit: set("spec.mac.prefix", "02-32-00"), wantErrors: []string{lowerPrefix}},
		"prefix of two octets": {edit: set("spec.mac.prefix", "02:32"), wantErrors: []string{"should be at least 8 chars long", lowerPrefix}},
		"Kubernetes' bridges":  {edit: set("spec.mac.prefix", "0a:58:00"), wantErrors: []string{notReserved}},
		"libvirt":              {edit: set("spec.mac.prefix", "fe:54:00"), wantErrors: []string{notReserved}},
		"QEMU":                 {edit: set("spec.mac.prefix", "52:54:00"), wantErrors: []string{notReserved}},
		"KubeVirt":             {edit: set("spec.mac.prefix", "02:00:00"), wantErrors: []string{notReserved}},
		"Docker":               {edit: set("spec.mac.prefix", "02:42:ac"), wantErrors: []string{notReserved}},
		"load balancer 02:01":  {edit: set("spec.mac.prefix", "02:01:0a"), wantErrors: []string{notReserved}},
		"load balancer 02:20":  {edit: set("spec.mac.prefix", "02:20:ff"), wantErrors: []string{notReserved}},
		"load balancer 02:bf":  {edit: set("spec.mac.prefix", "02:bf:0a"), wantErrors: []string{notReserved}},
		"the prefix of vlan 1": {edit: set("spec.mac.prefix", "02:01:00")},
		"reserved, and forced": {edit: both(set("spec.mac.prefix", "52:54:00"), set("spec.mac.allowReserved", true))},

		"host bits":           {edit: set("spec.subnets.0.cidr", "192.168.50.8/24"), wantErrors: []string{noHostBits}},
		"host bits, IPv6":     {edit: set("spec.subnets.1.cidr", "fd00:50::1/64"), wantErrors: []string{noHostBits}},
		"cidr without length": {edit: set("spec.subnets.0.cidr", "192.168.50.0"), wantErrors: []string{"must be a network in CIDR form", "each reservation's ip must lie in a subnet"}},
		"non-canonical cidr":  {edit: set("spec.subnets.1.cidr", "fd00:0050::/64"), wantErrors: []string{"spec.subnets[1].cidr: must be in canonical form"}},
		"IPv4 /7":             {edit: set("spec.subnets.0.cidr", "192.0.0.0/7"), wantErrors: []string{"an IPv4 subnet must be between /8 and /30"}},
		"IPv4 /8":             {edit: set("spec.subnets.0.cidr", "192.0.0.0/8")},
		"IPv4 /31":            {edit: set("spec.subnets.0", map[string]any{"cidr": "192.168.50.8/31"}), wantErrors: []string{"an IPv4 subnet must be between /8 and /30"}},
		"IPv6 /63":            {edit: set("spec.subnets.1.cidr", "fd00:50::/63"), wantErrors: []string{"an IPv6 subnet must be between /64 and /126"}},
		"IPv6 /127":           {edit: set("spec.subnets.1.cidr", "fd00:50::/127"), wantErrors: []string{"an IPv6 subnet must be between /64 and /126"}},
		"two of IPv4":         {edit: set("spec.subnets.1", map[string]any{"cidr": "192.168.51.0/24"}), wantErrors: []string{"at most one subnet of each family"}},
		"three subnets":       {edit: set("spec.subnets", []any{map[string]any{"cidr": "192.168.50.0/24"}, map[string]any{"cidr": "fd00:50::/64"}, map[string]any{"cidr": "fd00:51::/64"}}), wantErrors: []string{"must have at most 2 items"}},

		"gateway outside":         {edit: set("spec.subnets.0.gateway", "192.168.51.1"), wantErrors: []string{"gateway must lie in cidr"}},
		"gateway of other family": {edit: set("spec.subnets.0.gateway", "fd00:50::1"), wantErrors: []string{"gateway must lie in cidr"}},
		"gateway no address":      {edit: set("spec.subnets.0.gateway", "router"), wantErrors: []string{canonicalIP}},
		"non-canonical gateway":   {edit: set("spec.subnets.1.gateway", "fd00:50:0::1"), wantErrors: []string{canonicalIP}},
		"range starts outside":    {edit: set("spec.subnets.0.ranges.0.start", "192.168.49.200"), wantErrors: []string{"ranges must lie in cidr"}},
		"range ends outside":      {edit: set("spec.subnets.0.ranges.0.end", "192.168.51.1"), wantErrors: []string{"ranges must lie in cidr"}},
		"range of two families":   {edit: set("spec.subnets.0.ranges.0.end", "fd00:50::9"), wantErrors: []string{"start and end must be of one family", "ranges must lie in cidr"}},
		"range without start":     {edit: set("spec.subnets.0.ranges.0.start", nil), wantErrors: []string{"spec.subnets[0].ranges[0].start: Required value"}},
		"leading zero":            {edit: set("spec.subnets.0.ranges.0.start", "192.168.50.010"), wantErrors: []string{canonicalIP}},
		"exclude outside":         {edit: set("spec.subnets.0.exclude.0.end", "192.168.51.1"), wantErrors: []string{"exclude must lie in cidr"}},
		"reservation outside":     {edit: set("spec.reservations.0.ip", "192.168.51.9"), wantErrors: []string{"each reservation's ip must lie in a subnet of the pool"}},
		"reservation no address":  {edit: set("spec.reservations.0.ip", "camera"), wantErrors: []string{canonicalIP}},
		"reserved twice": {
			edit:       set("spec.reservations", []any{map[string]any{"ip": "192.168.50.9"}, map[string]any{"ip": "192.168.50.9"}}),
			wantErrors: []string{"spec.reservations[1]: Duplicate value"},
		},
		"reservation for a claim without a name": {edit: set("spec.reservations.0.claimRef.name", nil), wantErrors: []string{"spec.reservations[0].claimRef.name: Required value"}},

		"default route":             {edit: set("spec.routes.0", map[string]any{"dst": "0.0.0.0/0"})},
		"route with host bits":      {edit: set("spec.routes.0.dst", "10.0.0.1/8"), wantErrors: []string{noHostBits}},
		"route by the other family": {edit: set("spec.routes.0.gw", "fd00:50::1"), wantErrors: []string{"dst and gw must be of one family"}},
		"nameserver by name":        {edit: set("spec.dns.nameservers", []any{"ns.example"}), wantErrors: []string{canonicalIP}},

		"no cooldown":         {edit: set("spec.cooldown", "0s")},
		"longest cooldown":    {edit: set("spec.cooldown", "4h")},
		"cooldown too long":   {edit: set("spec.cooldown", "4h1s"), wantErrors: []string{"spec.cooldown: must be a duration between 0s and 4h"}},
		"cooldown negative":   {edit: set("spec.cooldown", "-1s"), wantErrors: []string{"spec.cooldown: must be a duration between 0s and 4h"}},
		"cooldown in days":    {edit: set("spec.cooldown", "1d"), wantErrors: []string{"spec.cooldown: must be a duration between 0s and 4h"}},
		"retain too long":     {edit: set("spec.retain", "8761h"), wantErrors: []string{"spec.retain: must be a duration between 0s and 8760h"}},
		"conflicts ignored":   {edit: set("spec.conflictDetection", map[string]any{"mode": "Ignore"}), wantErrors: []string{`spec.conflictDetection.mode: Unsupported value: "Ignore"`}},
		"conflict hold short": {edit: set("spec.conflictDetection", map[string]any{"hold": "9m"}), wantErrors: []string{"spec.conflictDetection.hold: must be a duration between 10m and 8760h"}},
		"conflict hold long":  {edit: set("spec.conflictDetection", map[string]any{"mode": "Strict", "hold": "1h30m"})},
		"retain negative":     {edit: set("spec.retain", "-1h"), wantErrors: []string{"spec.retain: must be a duration between 0s and 8760h"}},
		"longest history":     {edit: set("spec.history", "8760h")},
		"history too long":    {edit: set("spec.history", "8760h1s"), wantErrors: []string{"spec.history: must be a duration between 0s and 8760h"}},
		"history no number":   {edit: set("spec.history", "a week"), wantErrors: []string{"spec.history: must be a duration between 0s and 8760h"}},
	} {
		t.Run(name, func(t *testing.T) {
			checkErrors(t, dryCreate(t, validPool(), tc.edit), tc.wantErrors)
		})
	}
}

// TestMacPoolUpdate: what leases are made from cannot change, all else can (R-P3).
func TestMacPoolUpdate(t *testing.T) {
	pool := validPool()
	pool.Spec.Segment = "vlan-50" // the default, spelled out
	mustCreate(t, pool)
	plain := validPool()
	plain.Spec.MAC = nil
	mustCreate(t, plain)
	bare := validPool() // nothing in it needs a subnet
	bare.Spec.Reservations, bare.Spec.Routes, bare.Spec.DNS = nil, nil, nil
	mustCreate(t, bare)
	alone := &v1alpha1.MacPool{ObjectMeta: metav1.ObjectMeta{Name: newName("pool")}, Spec: v1alpha1.MacPoolSpec{VLAN: ptr.To[int32](50)}}
	mustCreate(t, alone)
	for name, tc := range map[string]struct {
		pool       *v1alpha1.MacPool
		edit       func(fields)
		wantErrors []string
	}{
		"vlan":                            {pool, set("spec.vlan", 51), []string{"vlan is immutable"}},
		"vlan of the default segment":     {plain, set("spec.vlan", 51), []string{"vlan is immutable"}},
		"segment":                         {pool, set("spec.segment", "other"), []string{"segment is immutable"}},
		"segment given":                   {plain, set("spec.segment", "other"), []string{"segment is immutable"}},
		"segment no longer spelled out":   {pool, set("spec.segment", nil), nil},
		"segment almost spelled out":      {plain, set("spec.segment", "vlan-050"), []string{"segment is immutable"}},
		"segment spelled out":             {plain, set("spec.segment", "vlan-50"), nil},
		"prefix":                          {pool, set("spec.mac.prefix", "02:33:00"), []string{"mac.prefix is immutable"}},
		"prefix removed":                  {pool, set("spec.mac.prefix", nil), []string{"mac.prefix is immutable"}},
		"mac removed":                     {pool, set("spec.mac", nil), []string{"mac.prefix is immutable"}},
		"parents":                         {pool, set("spec.parents", []any{map[string]any{"link": "eth0.50"}}), nil},
		"prefix added":                    {plain, set("spec.mac.prefix", "02:33:00"), []string{"mac.prefix is immutable"}},
		"cidr":                            {pool, set("spec.subnets.1.cidr", "fd00:50::/65"), []string{"the subnets' cidr is immutable"}},
		"subnet removed":                  {pool, set("spec.subnets", []any{map[string]any{"cidr": "192.168.50.0/24"}}), []string{"the subnets' cidr is immutable"}},
		"all subnets removed":             {bare, set("spec.subnets", nil), []string{"subnets must not be added to a pool that leases MACs alone, nor all be taken from one"}},
		"subnets added":                   {alone, set("spec.subnets", []any{map[string]any{"cidr": "192.168.50.0/24"}}), []string{"subnets must not be added to a pool that leases MACs alone"}},
		"of MACs alone, cooldown":         {alone, set("spec.cooldown", "5m"), nil},
		"of MACs alone, prefix":           {alone, set("spec.mac", map[string]any{"prefix": "02:d0:01"}), []string{"mac.prefix is immutable"}},
		"range outside":                   {pool, set("spec.subnets.0.ranges.0.end", "192.168.51.1"), []string{"ranges must lie in cidr"}},
		"ranges":                          {pool, set("spec.subnets.0.ranges", []any{map[string]any{"start": "192.168.50.200", "end": "192.168.50.250"}}), nil},
		"conflictDetection":               {pool, set("spec.conflictDetection", map[string]any{"mode": "Off"}), nil},
		"ranges removed":                  {pool, set("spec.subnets.0.ranges", nil), nil},
		"gateway":                         {pool, set("spec.subnets.0.gateway", "192.168.50.254"), nil},
		"exclude":                         {pool, set("spec.subnets.0.exclude", []any{map[string]any{"start": "192.168.50.60"}}), nil},
		"routes":                          {pool, set("spec.routes", []any{map[string]any{"dst": "0.0.0.0/0", "gw": "192.168.50.1"}}), nil},
		"dns":                             {pool, set("spec.dns", nil), nil},
		"reservations":                    {pool, set("spec.reservations", []any{map[string]any{"ip": "fd00:50::9"}}), nil},
		"cooldown":                        {pool, set("spec.cooldown", "5m"), nil},
		"namespaceSelector":               {pool, set("spec.namespaceSelector", map[string]any{"matchLabels": map[string]any{"iot": "yes"}}), nil},
		"allowReserved beside its prefix": {pool, set("spec.mac.allowReserved", true), nil},
	} {
		t.Run(name, func(t *testing.T) {
			checkErrors(t, dryUpdate(t, tc.pool, tc.edit), tc.wantErrors)
		})
	}
}

func TestMacPoolDefaults(t *testing.T) {
	pool := validPool()
	if err := api.Create(t.Context(), pool, client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	if c := pool.Spec.ConflictDetection; c == nil || c.Mode != v1alpha1.ConflictProbe || pool.Spec.ConflictMode() != v1alpha1.ConflictProbe {
		t.Fatalf("conflictDetection is %+v by default, want mode Probe", c)
	}
	for name, d := range map[string]struct {
		got  *metav1.Duration
		want time.Duration
	}{
		"hold":     {pool.Spec.ConflictDetection.Hold, 10 * time.Minute},
		"cooldown": {pool.Spec.Cooldown, time.Minute},
		"retain":   {pool.Spec.Retain, time.Hour},
		"history":  {pool.Spec.History, 7 * 24 * time.Hour},
	} {
		if d.got == nil || d.got.Duration != d.want {
			t.Errorf("%s is %v by default, want %s", name, d.got, d.want)
		}
	}
}

// TestMacPoolLargest fills every list to its limit: the rules must not cost more than the API server allows to evaluate.
func TestMacPoolLargest(t *testing.T) {
	pool := validPool()
	pool.Spec.Subnets[0].CIDR, pool.Spec.Subnets[0].Gateway = "10.0.0.0/8", "10.255.255.254"
	pool.Spec.Reservations, pool.Spec.Routes = nil, nil
	for s, pattern := range []string{"10.%d.%d.%d", "fd00:50::%x:%x:%x"} {
		subnet := &pool.Spec.Subnets[s]
		subnet.Ranges, subnet.Exclude = nil, nil
		for i := range 64 {
			subnet.Ranges = append(subnet.Ranges, v1alpha1.PoolRange{AddressRange: v1alpha1.AddressRange{
				Start: v1alpha1.IPAddress(fmt.Sprintf(pattern, 1, i+1, 1)), End: v1alpha1.IPAddress(fmt.Sprintf(pattern, 1, i+1, 200)),
			}})
		}
		for i := range 256 {
			subnet.Exclude = append(subnet.Exclude, v1alpha1.AddressRange{Start: v1alpha1.IPAddress(fmt.Sprintf(pattern, 2, 1, i+1))})
		}
		subnet.Exclude[255].Start = v1alpha1.IPAddress(fmt.Sprintf(pattern, 2, 2, 1))
		for i := range 512 {
			pool.Spec.Reservations = append(pool.Spec.Reservations, v1alpha1.Reservation{IP: v1alpha1.IPAddress(fmt.Sprintf(pattern, 3, i/200+1, i%200+1))})
		}
	}
	for i := range 64 {
		pool.Spec.Routes = append(pool.Spec.Routes, v1alpha1.Route{Dst: v1alpha1.CIDR(fmt.Sprintf("172.16.%d.0/24", i)), GW: "10.255.255.254"})
	}
	if err := dryCreate(t, pool, nil); err != nil {
		t.Fatal(err)
	}
}
