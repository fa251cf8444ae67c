// SPDX-License-Identifier: Apache-2.0

package allocator_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/macpool/macpool/internal/allocator"
)

// rebuilds is how many clusters are built twice for each load.
const rebuilds = 400

// TestRebuild measures which share of identities has its address again when a cluster is made anew from its manifests, in another order,
// without any address in the claims: what the order of choice is worth by itself (I4). The numbers stand in docs/identity.md, as they came
// out: MACPOOL_UPDATE=1 writes them.
func TestRebuild(t *testing.T) {
	var table strings.Builder
	table.WriteString("| of 254 addresses are leased | have their address again | in the worst of " + strconv.Itoa(rebuilds) + " rebuilds |\n|---|---|---|\n")
	last := 2.0
	for _, percent := range []int{10, 50, 90} {
		n := 254 * percent / 100
		share, worst := rebuilt(t, n)
		fmt.Fprintf(&table, "| %d %% (%d claims) | %.1f %% | %.1f %% |\n", percent, n, 100*share, 100*worst)
		if share > last || share < 0.4 || worst > share {
			t.Errorf("at %d %% it is %.3f, at worst %.3f", percent, share, worst)
		}
		last = share
	}
	checkGenerated(t, "rebuild", table.String())
}

// rebuilt is the share of n identities that gets the same address twice: on average, and in the worst pair of clusters.
func rebuilt(t *testing.T, n int) (share, worst float64) {
	t.Helper()
	same, worst := 0, 1.0
	for seed := range uint64(rebuilds) {
		random := rand.New(rand.NewPCG(seed, 0))
		ids := make([]allocator.Identity, n)
		for i := range ids {
			ids[i] = allocator.Identity{Namespace: "home", Name: fmt.Sprintf("app-%d-%d.iot.net1", seed, i)}
		}
		before := built(t, ids, random.Perm(n))
		after := built(t, ids, random.Perm(n))
		here := 0
		for id, address := range before {
			if after[id] == address {
				here++
			}
		}
		same += here
		worst = min(worst, float64(here)/float64(n))
	}
	return float64(same) / float64(rebuilds*n), worst
}

// built makes a pool, and leases an address to each identity in the given order.
func built(t *testing.T, ids []allocator.Identity, order []int) map[allocator.Identity]string {
	t.Helper()
	a := allocator.New()
	a.SetPool("iot", planOf(t, subnet{cidr: "192.168.50.0/24"}))
	addresses := map[allocator.Identity]string{}
	for _, i := range order {
		c, err := a.Pick("iot", ids[i], start)
		if err != nil {
			t.Fatal(err)
		}
		a.Commit(allocator.Lease{Name: c.Name, UID: "lease", Version: 1, Pool: "iot", Claim: ids[i], ClaimUID: strconv.Itoa(i)})
		addresses[ids[i]] = c.Name.String()
	}
	return addresses
}

// checkGenerated compares a generated part of docs/identity.md with what it would be.
func checkGenerated(t *testing.T, part, want string) {
	t.Helper()
	const page = "../../docs/identity.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- "+part+": written by a test -->\n", "<!-- end of "+part+" -->"
	before, rest, ok := strings.Cut(string(text), begin)
	got, after, ok2 := strings.Cut(rest, end)
	switch {
	case !ok || !ok2:
		t.Fatalf("%s has no part %s", page, part)
	case strings.TrimSpace(got) == strings.TrimSpace(want):
	case os.Getenv("MACPOOL_UPDATE") != "":
		if err := os.WriteFile(page, []byte(before+begin+"\n"+want+"\n"+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("part %s of %s is not what the test has found; MACPOOL_UPDATE=1 writes\n%s", part, page, want)
	}
}
