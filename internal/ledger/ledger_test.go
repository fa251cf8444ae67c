// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/ledger"
)

var start = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// hour is so many hours after the start.
func hour(n float64) metav1.Time {
	return metav1.NewTime(start.Add(time.Duration(n * float64(time.Hour))))
}

func pool(name string, vlan int32, cidrs ...string) v1alpha1.MacPool {
	p := v1alpha1.MacPool{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: hour(-1000)}}
	p.Spec.VLAN = new(vlan)
	for _, cidr := range cidrs {
		p.Spec.Subnets = append(p.Spec.Subnets, v1alpha1.Subnet{CIDR: v1alpha1.CIDR(cidr)})
	}
	return p
}

func lease(name, mac string, ips ...string) v1alpha1.MacLease {
	l := v1alpha1.MacLease{ObjectMeta: metav1.ObjectMeta{Name: name}}
	l.Spec.PoolName, l.Spec.MAC, l.Spec.LeasedAt = "iot", v1alpha1.MACAddress(mac), hour(0)
	for _, ip := range ips {
		l.Spec.IPs = append(l.Spec.IPs, v1alpha1.IPAddress(ip))
	}
	l.Spec.ClaimRef = v1alpha1.ClaimRef{Namespace: "home", Name: "db", UID: "db-uid"}
	return l
}

func claim(edit func(*v1alpha1.MacClaimStatus)) v1alpha1.MacClaim {
	c := v1alpha1.MacClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: "db", UID: "db-uid", CreationTimestamp: hour(0)}}
	c.Status.LeaseName = "vlan-50.192.168.50.8"
	edit(&c.Status)
	return c
}

func past(pod string, generation int64, from, to float64) v1alpha1.PreviousHolder {
	return v1alpha1.PreviousHolder{
		PodName: pod, PodUID: types.UID(pod + "-uid"), NodeName: "node-1", Generation: generation, Since: hour(from), Until: hour(to), Reason: v1alpha1.EndAgentReport,
	}
}

func the(t *testing.T, s *ledger.Snapshot, text string) ledger.Address {
	t.Helper()
	q, err := ledger.ParseQuery(text, "home")
	if err != nil {
		t.Fatal(err)
	}
	found := s.Find(q)
	if len(found) != 1 {
		t.Fatalf("Find(%s) = %v, want one address", text, found)
	}
	return found[0]
}

// brief is a tenure in a line: hours from, to, grade, claim, pod.
func brief(tenures []ledger.Tenure) []string {
	lines := make([]string, 0, len(tenures))
	for _, t := range tenures {
		to := "now"
		if !t.Lasts() {
			to = fmt.Sprint(t.To.Sub(start).Hours())
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%v-%s %s %s %s", t.From.Sub(start).Hours(), to, t.Grade, t.Claim, t.PodName)))
	}
	return lines
}

func TestTenures(t *testing.T) {
	t.Parallel()
	base := func() v1alpha1.MacLease { return lease("vlan-50.192.168.50.8", "02:32:00:a8:32:08", "192.168.50.8") }
	tests := map[string]struct {
		lease  v1alpha1.MacLease
		claims []v1alpha1.MacClaim
		want   []string
	}{
		"pods one after the other, and the time between": {
			lease: base(),
			claims: []v1alpha1.MacClaim{claim(func(s *v1alpha1.MacClaimStatus) {
				s.Holder = &v1alpha1.Holder{PodName: "c", Generation: 3, Since: hour(5)}
				s.PreviousHolders = []v1alpha1.PreviousHolder{past("b", 2, 3, 5), past("a", 1, 1, 2)}
			})},
			want: []string{"5-now Held db c", "3-5 Held db b", "2-3 Unheld db", "1-2 Held db a", "0-1 Unheld db"},
		},
		"a VM that migrates": {
			lease: base(),
			claims: []v1alpha1.MacClaim{claim(func(s *v1alpha1.MacClaimStatus) {
				s.Holder = &v1alpha1.Holder{PodName: "source", Generation: 1, Since: hour(0)}
				s.Alternate = &v1alpha1.Holder{PodName: "target", Generation: 2, Since: hour(4)}
			})},
			want: []string{"4-now Held db target", "0-now Held db source"},
		},
		"more pods than a claim remembers": {
			lease: base(),
			claims: []v1alpha1.MacClaim{claim(func(s *v1alpha1.MacClaimStatus) {
				s.PreviousHolders = []v1alpha1.PreviousHolder{past("z", 9, 4, 5)}
			})},
			want: []string{"5-now Unheld db", "4-5 Held db z", "0-4 ClaimOnly db"},
		},
		"a claim that is gone": {
			lease: func() v1alpha1.MacLease {
				l := base()
				l.Spec.ReleasedAt = new(hour(6))
				l.Spec.History = []v1alpha1.LeaseHistory{
					{Namespace: "home", Claim: "db", PodName: "c", From: hour(0), To: hour(6)}, {Namespace: "home", Claim: "old", From: hour(-3), To: hour(-2)},
				}
				return l
			}(),
			want: []string{"0-6 ClaimOnly db c", "-3--2 Unheld old"},
		},
		"a claim that was made again knows nothing of the one before": {
			lease: func() v1alpha1.MacLease {
				l := base()
				l.Spec.LeasedAt = hour(2)
				l.Spec.History = []v1alpha1.LeaseHistory{
					{Namespace: "home", Claim: "db", PodName: "a", From: hour(-5), To: hour(2), Reason: v1alpha1.EndSucceeded},
				}
				return l
			}(),
			claims: []v1alpha1.MacClaim{claim(func(s *v1alpha1.MacClaimStatus) {
				s.Holder = &v1alpha1.Holder{PodName: "b", Generation: 1, Since: hour(2)}
			})},
			want: []string{"2-now Held db b", "-5-2 ClaimOnly db a"},
		},
		"a claim that had another address before": {
			lease: func() v1alpha1.MacLease { l := base(); l.Spec.LeasedAt = hour(4); return l }(),
			claims: []v1alpha1.MacClaim{claim(func(s *v1alpha1.MacClaimStatus) {
				s.PreviousHolders = []v1alpha1.PreviousHolder{past("b", 9, 5, 6), past("a", 8, 1, 2)}
			})},
			want: []string{"6-now Unheld db", "5-6 Held db b", "4-5 Unheld db"},
		},
		"a lease that was made again under its holder": {
			lease: func() v1alpha1.MacLease { l := base(); l.Spec.LeasedAt = hour(4); return l }(),
			claims: []v1alpha1.MacClaim{claim(func(s *v1alpha1.MacClaimStatus) {
				s.Holder = &v1alpha1.Holder{PodName: "a", Generation: 1, Since: hour(1)}
			})},
			want: []string{"1-now Held db a"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := ledger.New(ledger.Objects{
				Pools: []v1alpha1.MacPool{pool("iot", 50, "192.168.50.0/24")}, Leases: []v1alpha1.MacLease{test.lease}, Claims: test.claims,
			}, hour(10).Time)
			if diff := cmp.Diff(test.want, brief(s.Tenures(the(t, s, "192.168.50.8")))); diff != "" {
				t.Errorf("tenures (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAt(t *testing.T) {
	t.Parallel()
	l := lease("vlan-50.192.168.50.8", "02:32:00:a8:32:08", "192.168.50.8")
	l.Spec.History = []v1alpha1.LeaseHistory{{Namespace: "home", Claim: "old", PodName: "p", From: hour(-5), To: hour(-3), Reason: v1alpha1.EndAgentReport}}
	full := lease("vlan-50.192.168.50.9", "02:32:00:a8:32:09", "192.168.50.9")
	for i := range v1alpha1.MaxLeaseHistory {
		to := -float64(i)
		full.Spec.History = append(full.Spec.History, v1alpha1.LeaseHistory{Namespace: "home", Claim: "db", From: hour(to - 1), To: hour(to)})
	}
	cools := lease("vlan-50.192.168.50.10", "02:32:00:a8:32:0a", "192.168.50.10")
	cools.Spec.ReleasedAt = new(hour(9))
	cools.Spec.History = []v1alpha1.LeaseHistory{{Namespace: "home", Claim: "db", From: hour(0), To: hour(9), Reason: v1alpha1.EndNeverAttached}}
	odd := lease("vlan-50.192.168.50.11", "02:32:00:a8:32:0b", "192.168.50.11")
	odd.Spec.Conflict = &v1alpha1.Conflict{MAC: "00:11:22:33:44:55", NodeName: "node-1", SeenAt: hour(8)}
	p := pool("iot", 50, "192.168.50.0/24")
	p.Spec.Subnets[0].Gateway = "192.168.50.1"
	p.Spec.Reservations = []v1alpha1.Reservation{{IP: "192.168.50.20"}, {IP: "192.168.50.9", ClaimRef: &v1alpha1.ReservedClaimRef{Namespace: "home", Name: "db"}}}
	s := ledger.New(ledger.Objects{Pools: []v1alpha1.MacPool{p}, Leases: []v1alpha1.MacLease{l, full, cools, odd}}, hour(10).Time)

	tests := map[string]struct {
		ip   string
		at   float64
		want ledger.State
		by   string
	}{
		"now":                          {"192.168.50.8", 10, ledger.Leased, "db"},
		"the claim before":             {"192.168.50.8", -4, ledger.Leased, "old"},
		"its cooldown":                 {"192.168.50.8", -2.99, ledger.Cooling, ""},
		"cooled":                       {"192.168.50.8", -1, ledger.Reusable, ""},
		"before it was leased first":   {"192.168.50.8", -6, ledger.Free, ""},
		"before the pool's history":    {"192.168.50.8", -24 * 8, ledger.Unknown, ""},
		"before the lease's history":   {"192.168.50.9", -9, ledger.Unknown, ""},
		"never leased":                 {"192.168.50.12", 10, ledger.Free, ""},
		"never leased, as far back":    {"192.168.50.12", -24 * 8, ledger.Unknown, ""},
		"released, and cools for long": {"192.168.50.10", 10, ledger.Cooling, ""},
		"in conflict":                  {"192.168.50.11", 9, ledger.Conflicted, "db"},
		"before the conflict":          {"192.168.50.11", 7, ledger.Leased, "db"},
		"the gateway":                  {"192.168.50.1", 10, ledger.Excluded, ""},
		"for nobody":                   {"192.168.50.20", 10, ledger.Reserved, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := s.At(the(t, s, test.ip), hour(test.at).Time)
			var by strings.Builder
			for _, tenure := range m.Tenures {
				by.WriteString(tenure.Claim)
			}
			if m.State != test.want || by.String() != test.by {
				t.Errorf("At(%s, %vh) = %s by %q, want %s by %q", test.ip, test.at, m.State, by.String(), test.want, test.by)
			}
		})
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	iot, other, lan := pool("iot", 50, "192.168.50.0/24", "fd00:50::/64"), pool("other", 51, "192.168.50.0/24"), pool("lan", 52)
	other.Spec.Segment = "cellar"
	l := lease("vlan-50.192.168.50.8", "00:1b:21:a8:32:08", "192.168.50.8", "fd00:50::8")
	lock := lease("vlan-50.00-1b-21-a8-32-08", "00:1b:21:a8:32:08", "192.168.50.8", "fd00:50::8")
	alone := lease("vlan-52.02-34-00-00-00-14", "02:34:00:00:00:14")
	alone.Spec.PoolName, alone.Spec.ClaimRef.Name, alone.Spec.PodName = "lan", "camera", "camera-0"
	gone := lease("attic.10.0.0.7", "02:00:00:00:00:07", "10.0.0.7")
	s := ledger.New(ledger.Objects{
		Pools: []v1alpha1.MacPool{iot, other, lan}, Leases: []v1alpha1.MacLease{l, lock, alone, gone},
		Claims: []v1alpha1.MacClaim{claim(func(s *v1alpha1.MacClaimStatus) {
			s.IPs = []string{"192.168.50.8"}
			s.PreviousHolders = []v1alpha1.PreviousHolder{past("db-0", 1, 0, 1)}
		})},
	}, hour(10).Time)
	tests := map[string][]string{
		"192.168.50.8":        {"cellar.192.168.50.8", "vlan-50.192.168.50.8"},
		"::ffff:192.168.50.8": {"cellar.192.168.50.8", "vlan-50.192.168.50.8"},
		"fd00:50::8":          {"vlan-50.192.168.50.8"},
		"FD00:50:0:0::0008":   {"vlan-50.192.168.50.8"},
		"fd00:50::8/64":       {"vlan-50.192.168.50.8"},
		"00-1B-21-A8-32-08":   {"vlan-50.192.168.50.8"},
		"001b.21a8.3208":      {"vlan-50.192.168.50.8"},
		"02:32:00:a8:32:09":   {"vlan-50.192.168.50.9"},
		"02:34:00:00:00:14":   {"vlan-52.02-34-00-00-00-14"},
		"db-0":                {"vlan-50.192.168.50.8"},
		"home/camera-0":       {"vlan-52.02-34-00-00-00-14"},
		"home/camera":         {"vlan-52.02-34-00-00-00-14"},
		"away/camera":         nil,
		"10.0.0.7":            {"attic.10.0.0.7"},
		"10.0.0.8":            nil,
	}
	for text, want := range tests {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			q, err := ledger.ParseQuery(text, "home")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, a := range s.Find(q) {
				got = append(got, a.Name.String())
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("Find (-want +got):\n%s", diff)
			}
		})
	}
	for _, text := range []string{"", "192.168.50", "192.168.50.300", "02:32:00", "02:32:00:a8:32:zz", "pod/db-0", "Home/db", "00:00:00:00:00:00"} {
		if q, err := ledger.ParseQuery(text, "home"); err == nil {
			t.Errorf("ParseQuery(%q) = %v, want an error", text, q)
		}
	}
}

// TestChart compares a chart's counts with its states, slot by slot, now and in the past.
func TestChart(t *testing.T) {
	t.Parallel()
	p := pool("iot", 50, "192.168.50.0/27")
	p.Spec.Subnets[0].Ranges = []v1alpha1.PoolRange{
		{AddressRange: v1alpha1.AddressRange{Start: "192.168.50.1", End: "192.168.50.16"}},
		{AddressRange: v1alpha1.AddressRange{Start: "192.168.50.20", End: "192.168.50.22"}, ExplicitOnly: true},
	}
	p.Spec.Subnets[0].Exclude = []v1alpha1.AddressRange{{Start: "192.168.50.3"}}
	p.Spec.Reservations = []v1alpha1.Reservation{{IP: "192.168.50.5"}}
	outside := lease("vlan-50.192.168.50.25", "02:32:00:a8:32:19", "192.168.50.25")
	stray := lease("vlan-50.10.0.0.1", "02:32:00:00:00:01", "10.0.0.1")
	leased := lease("vlan-50.192.168.50.8", "02:32:00:a8:32:08", "192.168.50.8")
	reusable := lease("vlan-50.192.168.50.9", "02:32:00:a8:32:09", "192.168.50.9")
	reusable.Spec.ReleasedAt, reusable.Spec.ReusableAt = new(hour(2)), new(hour(3))
	reusable.Spec.History = []v1alpha1.LeaseHistory{{Namespace: "home", Claim: "db", From: hour(0), To: hour(2)}}
	s := ledger.New(ledger.Objects{Pools: []v1alpha1.MacPool{p}, Leases: []v1alpha1.MacLease{outside, stray, leased, reusable}}, hour(10).Time)
	want := map[float64]ledger.Counts{
		10: {
			ledger.Leased: 1, ledger.Reusable: 1, ledger.OutOfRange: 2, ledger.Excluded: 3, ledger.Reserved: 1, ledger.OnRequest: 3, ledger.Free: 12, ledger.Outside: 10,
		},
		1: {
			ledger.Leased: 2, ledger.OutOfRange: 2, ledger.Excluded: 3, ledger.Reserved: 1, ledger.OnRequest: 3, ledger.Free: 12, ledger.Outside: 10,
		},
		-24 * 8: {ledger.Excluded: 3, ledger.Reserved: 1, ledger.OnRequest: 3, ledger.Unknown: 14, ledger.Outside: 11},
	}
	for at, counts := range want {
		c, ok := s.Chart("iot", hour(at).Time)
		if !ok {
			t.Fatal("no chart")
		}
		byState := ledger.Counts{}
		for slot := range allocator.Slot(32) {
			state, _ := c.State(slot)
			byState[state]++
		}
		if diff := cmp.Diff(byState, c.Count(0, 31)); diff != "" {
			t.Errorf("at %vh: Count against State (-want +got):\n%s", at, diff)
		}
		if diff := cmp.Diff(counts, c.Total()); diff != "" {
			t.Errorf("at %vh: Total (-want +got):\n%s", at, diff)
		}
	}
}

func TestOutlook(t *testing.T) {
	t.Parallel()
	var leases []v1alpha1.MacLease
	for i := range 20 { // 14 more than a week before, of 254
		l := lease(fmt.Sprintf("vlan-50.192.168.50.%d", i+1), "02:32:00:a8:32:08", fmt.Sprintf("192.168.50.%d", i+1))
		if i < 6 {
			l.Spec.LeasedAt = hour(-24 * 30)
		}
		l.Spec.ClaimRef.Namespace = []string{"home", "lab", "lab"}[i%3]
		leases = append(leases, l)
	}
	s := ledger.New(ledger.Objects{Pools: []v1alpha1.MacPool{pool("iot", 50, "192.168.50.0/24")}, Leases: leases}, hour(24).Time)
	c, _ := s.Chart("iot", s.Time)
	o := s.Outlook(c)
	if o.Available != 234 || o.Growth != 14 || o.Days == nil || *o.Days != 117 {
		t.Errorf("Outlook = %+v, want 234 available, 14 more in a week, 117 days", o)
	}
	if diff := cmp.Diff([]ledger.Share{{Namespace: "lab", Leases: 13}}, c.Namespaces(1)); diff != "" {
		t.Errorf("Namespaces (-want +got):\n%s", diff)
	}
	young := pool("iot", 50, "192.168.50.0/24")
	young.CreationTimestamp = hour(1)
	s = ledger.New(ledger.Objects{Pools: []v1alpha1.MacPool{young}, Leases: leases}, hour(20).Time)
	c, _ = s.Chart("iot", s.Time)
	if o := s.Outlook(c); o.Days != nil {
		t.Errorf("Outlook of a pool of a day = %v days, want none", *o.Days)
	}
}

// BenchmarkLarge makes a chart of a /16 among 100,000 leases of the cluster.
func BenchmarkLarge(b *testing.B) {
	o := ledger.Objects{Pools: []v1alpha1.MacPool{pool("iot", 50, "10.0.0.0/16"), pool("other", 51, "10.0.0.0/16")}}
	for i := range 100_000 {
		n := i%60_000 + 1
		ip := fmt.Sprintf("10.0.%d.%d", n/256, n%256)
		l := lease(fmt.Sprintf("vlan-%d.%s", 50+i/60_000, ip), "02:32:00:00:00:01", ip)
		o.Leases = append(o.Leases, l)
	}
	for b.Loop() {
		s := ledger.New(o, hour(10).Time)
		c, ok := s.Chart("iot", s.Time)
		if !ok || c.Total()[ledger.Leased] != 60_000 {
			b.Fatal(c.Total())
		}
	}
}
