// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/allocator"
	"github.com/macpool/macpool/internal/ledger"
)

// asking asks the server of a cluster, and reads the answer into it. It returns the error that the page would show.
func asking(t *testing.T, s *seed, path string, answer any) string {
	t.Helper()
	server := &server{book: &book{cluster: &s.fixture, clock: clock.RealClock{}}, live: &s.fixture}
	w := httptest.NewRecorder()
	server.handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	if w.Code != http.StatusOK {
		var refused struct{ Error string }
		if err := json.Unmarshal(w.Body.Bytes(), &refused); err != nil || refused.Error == "" {
			t.Fatalf("%s: status %d without a sentence: %s", path, w.Code, w.Body)
		}
		return refused.Error
	}
	if err := json.Unmarshal(w.Body.Bytes(), answer); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return ""
}

func TestChart(t *testing.T) {
	s := newSeed(t)
	small := *s.pool("small", 50, "10.0.0.0/28", []string{"10.0.0.4", "10.0.0.9"}, func(p *v1alpha1.MacPool) {
		p.Spec.Subnets[0].Gateway = "10.0.0.1"
		p.Spec.Reservations = []v1alpha1.Reservation{{IP: "10.0.0.9"}}
	})
	s.lease(&small, 4, "a", "held", time.Hour, nil)
	s.released(s.lease(&small, 5, "a", "cools", time.Hour, nil), time.Second, false)
	s.released(s.lease(&small, 6, "a", "was", time.Hour, nil), 30*time.Minute, true)
	s.lease(&small, 12, "a", "outside", time.Hour, nil)
	s.pool("wide", 60, "fd00:60::/64", nil, nil)
	s.pool("part", 70, "10.128.0.0/9", []string{"10.129.3.7", "10.129.3.90"}, nil)
	at := func(d time.Duration) string { return s.now.Add(-d).UTC().Format(time.RFC3339) }
	for _, test := range []struct{ query, prefix, states string }{
		{"pool=small", "10.0.0.0/28", "xx--LCr..R--O--x"},
		{"pool=small&at=" + at(45*time.Minute), "10.0.0.0/28", "xx--LLL..R--O--x"},
		{"pool=small&at=" + at(2*time.Hour), "10.0.0.0/28", "xx--.....R-----x"},
		{"pool=small&at=" + at(8*24*time.Hour), "10.0.0.0/28", "xx--?????R-----x"},
		{"pool=small&prefix=10.0.0.4/30", "10.0.0.4/30", "LCr."},
		{"pool=wide", "fd00:60::/104", strings.Repeat(".", 4096)},
		{"pool=wide&prefix=fd00:60::1:0/112", "fd00:60::1:0/112", strings.Repeat(".", 65536)},
		{"pool=part", "10.129.3.0/24", strings.Repeat("-", 7) + strings.Repeat(".", 84) + strings.Repeat("-", 165)},
	} {
		var got chart
		if wrong := asking(t, s, "/api/map?"+test.query, &got); wrong != "" {
			t.Errorf("%s: %s", test.query, wrong)
		}
		if got.Prefix != test.prefix || got.States != test.states {
			t.Errorf("%s: %s %.80s, want %s %.80s", test.query, got.Prefix, got.States, test.prefix, test.states)
		}
	}
	for query, want := range map[string]string{
		"pool=none":                        "there is no pool none",
		"":                                 "no pool is named",
		"pool=small&prefix=10.0.0.5/30":    "10.0.0.5/30 is not a part of pool small",
		"pool=small&prefix=10.0.0.0/8":     "10.0.0.0/8 is not a part of pool small",
		"pool=small&prefix=x":              "x is not a part of pool small",
		"pool=small&at=yesterday":          "the time yesterday is not one",
		"pool=small&prefix=10.0.0.0/28000": "is not a part of pool small",
	} {
		if got := asking(t, s, "/api/map?"+query, nil); !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", query, got, want)
		}
	}
}

// TestDelta: what is told of a change makes the one chart of the other, and nothing is told of none.
func TestDelta(t *testing.T) {
	before := &chart{States: "..LC", Fill: []int{0, 0, 3, 0}}
	after := &chart{States: ".LL.", Fill: []int{0, 1, 4, 0}, Counts: map[string]uint64{"L": 2}}
	want := &delta{Cells: [][3]any{{1, "L", 1}, {2, "L", 4}, {3, ".", 0}}, Counts: after.Counts}
	if diff := cmp.Diff(want, before.delta(after)); diff != "" {
		t.Errorf("delta (-want +got)\n%s", diff)
	}
	if d := after.delta(after); d != nil {
		t.Errorf("nothing has changed, and told is %v", d)
	}
}

// TestLetters: the page knows every state.
func TestLetters(t *testing.T) {
	page, err := assets.ReadFile("assets/states.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range ledger.States() {
		letter := string(letters[state])
		quoted, bare := "  '"+letter+"': { key: '"+string(state)+"'", "  "+letter+": { key: '"+string(state)+"'"
		if !strings.Contains(string(page), quoted) && !strings.Contains(string(page), bare) {
			t.Errorf("states.js has no state %s as %q", state, letter)
		}
	}
}

func TestTimeline(t *testing.T) {
	s := newSeed(t)
	pool := *s.pool("small", 50, "10.0.0.0/28", nil, nil)
	s.lease(&pool, 4, "a", "b", 3*time.Hour, nil)
	s.released(s.lease(&pool, 5, "a", "c", 2*time.Hour, nil), time.Hour, true)
	s.lease(&pool, 6, "a", "old", 30*24*time.Hour, nil)
	var got timeline
	at := func(d time.Duration) *time.Time { u := s.now.Add(-d).UTC(); return &u }
	if wrong := asking(t, s, "/api/timeline?pool=small&at="+at(2*time.Hour).Format(time.RFC3339), &got); wrong != "" {
		t.Fatal(wrong)
	}
	if got.Total != 3 || !got.From.Equal(*at(3 * time.Hour)) || got.History != (7*24*time.Hour).Seconds() {
		t.Errorf("%d changes since %s, history %v", got.Total, got.From, got.History)
	}
	if got.Previous == nil || got.Next == nil || !got.Previous.Equal(*at(3 * time.Hour)) || !got.Next.Equal(*at(time.Hour)) {
		t.Errorf("around the time: %v, %v", got.Previous, got.Next)
	}
}

func TestSearch(t *testing.T) {
	s := house(t)
	for query, want := range map[string][]string{
		"192.168.50.211":        {"iot 192.168.50.211"}, // nobody's
		"02-32-00-A8-32-08":     {"iot 192.168.50.8"},
		"home-assistant":        {"iot 192.168.50.8"},
		"HOME/home-assistant-0": {"iot 192.168.50.8"},
		"scanner":               {"iot "}, // it waits
		"a8:32:4d":              {"iot 192.168.50.77"},
		"nobody-has-this":       {},
		"10.20.239.255":         {"plant 10.20.239.255"},
		"192.168.99.1":          {},
	} {
		var got struct{ Hits []found }
		if wrong := asking(t, s, "/api/search?q="+query, &got); wrong != "" {
			t.Errorf("%s: %s", query, wrong)
		}
		names := []string{}
		for _, hit := range got.Hits {
			names = append(names, hit.Pool+" "+hit.Address)
		}
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("%s (-want +got)\n%s", query, diff)
		}
	}
}

// TestSearchExact: what is written out is found first, and what begins so after it.
func TestSearchExact(t *testing.T) {
	var got struct{ Hits []found }
	if wrong := asking(t, house(t), "/api/search?q=192.168.50.8", &got); wrong != "" {
		t.Fatal(wrong)
	}
	if len(got.Hits) < 2 || got.Hits[0].Address != "192.168.50.8" || got.Hits[0].Letter != "L" || got.Hits[0].Claim != "home-assistant-0" {
		t.Errorf("found %v", got.Hits)
	}
}

// TestSections: the prefix of a section reads back as the section, in every pool.
func TestSections(t *testing.T) {
	s := house(t)
	s.pool("v6", 80, "fd00:80::/64", nil, nil)
	snapshot := ledger.New(s.Objects, s.now)
	for _, p := range snapshot.Pools {
		if p.Plan == nil {
			t.Fatalf("%s: %v", p.Name, p.Err)
		}
		whole := wholeOf(p)
		for n := 0; n <= whole.bits; n++ {
			want := section{whole.last() >> n << n, n}
			got, err := parseSection(p, textOf(p, want))
			if err != nil || got != want {
				t.Errorf("%s: %v is %s, and that is %v (%v)", p.Name, want, textOf(p, want), got, err)
			}
		}
		if address := p.Plan.Address(allocator.Slot(9)); len(address.IPs) > 0 && whole.bits > mostCells {
			if in := netip.MustParsePrefix(sectionOf(p, address.IPs[0].String())); !in.Contains(address.IPs[0]) {
				t.Errorf("%s: %s is not in %s", p.Name, address.IPs[0], in)
			}
		}
	}
}
