// SPDX-License-Identifier: Apache-2.0

package model

import (
	"fmt"
	"strings"
)

// documentation is what docs/design/model.md is made of.
type documentation struct {
	scopes      []explored
	cases       []tried
	assumptions []tried
}

type explored struct {
	scope  Scope
	result Result
}

type tried struct {
	Case
	result Result
}

const intro = `# The protocol, in all its states

Written by ` + "`go test ./internal/model -update`" + `; the model itself, its bounds and its invariants are described in
` + "`internal/model/doc.go`" + `. Each step of a trace is the work of one function of the code, or a fault; a test sees that the functions exist.

## What was visited

Two nodes, two addresses, up to three pods, of which two (` + "`db#1`, `db#2`" + `) are of one identity and the third (` + "`job`" + `) is of another. A *fault* is
a crash, a power cut, a partition, an answer or a DEL that is lost or late, a write that arrives late, a person who deletes a claim or shrinks the
pool, a cache that is behind, or a process that stops between two of its steps while the others go on. Everything else may happen in any order at no cost.
In none of these states is I1, I2, I3, I4, I5 or I6 violated.

| scope | states | transitions | depth |
|---|---:|---:|---:|
`

const guardsIntro = `
## What each guard is for

Each row leaves one rule of the protocol out (two, where one covers for the other), and has the first violation that the checker then meets, by a shortest
trace. What is not in the table was tried as well and is not needed for these invariants in these scopes; it is there for others, such as economy.

| without | the rule | code | incident | violated | steps |
|---|---|---|---|---|---:|
`

const assumptionsIntro = `
## What is assumed

The model has no clock. Where the protocol needs that one thing is faster than another, that is an assumption, and this is what happens without it. All
four are about taking over from a node that cannot be asked. A pool with ` + "`takeover: Strict`" + ` needs none of them: the last row of the first table is
that pool, with nothing assumed.

| not assuming | that | violated | steps |
|---|---|---|---:|
`

func (d *documentation) markdown() string {
	var b strings.Builder
	b.WriteString(intro)
	for _, e := range d.scopes {
		fmt.Fprintf(&b, "| %s | %d | %d | %d |\n", e.scope.Name, e.result.States, e.result.Transitions, e.result.Depth)
	}
	b.WriteString(guardsIntro)
	for i, c := range d.cases {
		var names, rules, codes []string
		for _, g := range c.Off {
			text := guardTexts[g]
			names, rules = append(names, text.name), append(rules, text.rule)
			if text.code != "" {
				codes = append(codes, "`"+text.code+"`")
			}
		}
		fmt.Fprintf(&b, "| [%s](#without-%d) | %s | %s | %s | %s | %d |\n", strings.Join(names, ", "), i+1, strings.Join(rules, "; "),
			strings.Join(codes, ", "), c.Incidents, c.result.Invariant, len(c.result.Trace))
	}
	b.WriteString(assumptionsIntro)
	for i, c := range d.assumptions {
		text := guardTexts[c.Off[0]]
		fmt.Fprintf(&b, "| [%s](#assumption-%d) | %s | %s | %d |\n", text.name, i+1, text.rule, c.result.Invariant, len(c.result.Trace))
	}
	b.WriteString("\n## Traces\n")
	for i, c := range d.cases {
		heading := "Without " + names(c.Off)
		if c.Why != "" {
			heading += " (with one of them, " + c.Why + ")"
		}
		trace(&b, fmt.Sprintf("without-%d", i+1), heading, c.result)
	}
	for i, c := range d.assumptions {
		trace(&b, fmt.Sprintf("assumption-%d", i+1), "Not assuming "+names(c.Off), c.result)
	}
	return b.String()
}

func trace(b *strings.Builder, anchor, heading string, r Result) {
	fmt.Fprintf(b, "\n<a id=%q></a>\n### %s\n\n", anchor, heading)
	for i, line := range r.Trace {
		fmt.Fprintf(b, "%d. %s\n", i+1, line)
	}
	fmt.Fprintf(b, "\n%s: %s.\n", r.Invariant, r.What)
}
