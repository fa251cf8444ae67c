// SPDX-License-Identifier: Apache-2.0

package adopt

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/cli"
)

// answer is what is to be made: for programs a List, as kubectl apply and Git take it, for people that and all that they have to see to.
type answer struct {
	*plan

	// made says of each object what became of it, once it was to be made: kind/name -> created, there already, why not.
	made map[string]string
	// verb is what is said of an object that is not in made.
	verb string
}

// objects are the pools and claims to be made, in this order.
func (p *plan) objects() (all []runtime.Object) {
	for _, pool := range p.pools {
		all = append(all, pool)
	}
	for _, claim := range p.claims {
		all = append(all, claim)
	}
	return all
}

// MarshalJSON writes the List.
func (a *answer) MarshalJSON() ([]byte, error) {
	items := a.objects()
	if items == nil {
		items = []runtime.Object{}
	}
	return json.Marshal(struct {
		APIVersion string           `json:"apiVersion"`
		Kind       string           `json:"kind"`
		Items      []runtime.Object `json:"items"`
	}{"v1", "List", items})
}

// Names are the objects.
func (a *answer) Names() (names []string) {
	for _, pool := range a.pools {
		names = append(names, "macpool.macpool.dev/"+pool.Name)
	}
	for _, claim := range a.claims {
		names = append(names, "macclaim.macpool.dev/"+claim.Name)
	}
	return names
}

// Print writes it for people.
func (a *answer) Print(w io.Writer, _ bool) error {
	if len(a.objects()) == 0 {
		if a.done > 0 || len(a.findings) == 0 {
			if _, err := fmt.Fprintf(w, "nothing to do: %d addresses have their claims\n", a.done); err != nil {
				return err
			}
		}
		return a.rest(w)
	}
	var rows [][]string
	for _, pool := range a.pools {
		var subnets []string
		for _, s := range pool.Spec.Subnets {
			subnets = append(subnets, string(s.CIDR))
		}
		rows = append(rows, []string{"macpool/" + pool.Name, "", strings.Join(subnets, ","), "", a.outcome("macpool/" + pool.Name)})
	}
	for _, claim := range a.claims {
		key := "macclaim/" + claim.Namespace + "/" + claim.Name
		rows = append(rows, []string{"macclaim/" + claim.Name, claim.Namespace, join(claim.Spec.IPs), a.macOf(claim), a.outcome(key)})
	}
	if err := cli.Table(w, []string{"NAME", "NAMESPACE", "ADDRESS", "MAC", "RESULT"}, rows); err != nil {
		return err
	}
	if a.done > 0 {
		if _, err := fmt.Fprintf(w, "\n%d more addresses have their claims already\n", a.done); err != nil {
			return err
		}
	}
	return a.rest(w)
}

func join(ips []v1alpha1.IPAddress) string {
	texts := make([]string, len(ips))
	for i, ip := range ips {
		texts[i] = string(ip)
	}
	return strings.Join(texts, ",")
}

// macOf is the MAC that a claim will have.
func (a *answer) macOf(claim *v1alpha1.MacClaim) string {
	for _, t := range a.targets {
		if t.pool.Name == claim.Spec.PoolRef.Name {
			return macIn(t.pool, claim)
		}
	}
	return ""
}

func (a *answer) outcome(key string) string {
	if text, ok := a.made[key]; ok {
		return text
	}
	return a.verb
}

// rest writes what is left to the person: what could not be adopted, and the networks' new configurations.
func (a *answer) rest(w io.Writer) error {
	var b strings.Builder
	if len(a.findings) > 0 {
		b.WriteString("\nto see to:\n")
	}
	for _, f := range a.findings {
		word := "note"
		if f.conflict {
			word = "conflict"
		}
		fmt.Fprintf(&b, "  %s: %s: %s\n", word, cli.Line(f.about), cli.Line(f.text))
	}
	for _, f := range a.sorted() {
		t := a.targets[f.key]
		if t == nil || f.pool != "" {
			continue
		}
		config, err := f.proposal(t.pool.Name)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "\nspec.config of network %s, when the claims are made:\n%s\n", f.key, config)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
