// SPDX-License-Identifier: Apache-2.0

package report

import "strings"

// Row is a row of the fault matrix.
type Row struct {
	ID, Name string
	// Moments are the columns that apply to it.
	Moments string
	// Elsewhere says why no harness does it, and what does.
	Elsewhere string
}

// strangers says where strangers on the VLAN are tried.
const strangers = "strangers are played in the agent's tests and those of frames (`R-L1` to `R-L5`)"

// Matrix is the fault matrix: which fault at which moment must change nothing but what its row says.
var Matrix = []Row{
	{ID: "F1", Name: "plugin killed", Moments: "m0-m1 m2 m3-m4 m5-m6 m7"},
	{ID: "F2", Name: "the plugin's caller killed", Moments: "m0-m1 m2 m3-m4 m7"},
	{ID: "F3", Name: "agent killed", Moments: "m0-m1 m2 m3-m4 m5-m6 m7"},
	{ID: "F4", Name: "node loses its power", Moments: "m0-m1 m2 m3-m4 m5-m6 m7 m8-m9"},
	{ID: "F5", Name: "API server away", Moments: "m0-m1 m2 m3-m4 m5-m6 m7 m8-m9"},
	{ID: "F6", Name: "answer lost after the commit", Moments: "m2 m7 m8-m9"},
	{ID: "F7", Name: "conflicts", Moments: "m0-m1 m7 m8-m9"},
	{ID: "F8", Name: "too many requests", Moments: "m0-m1 m7 m8-m9"},
	{ID: "F9", Name: "stale cache", Moments: "m0-m1 m2 m7 m8-m9"},
	{ID: "F10", Name: "events that nobody saw", Moments: "m0-m1 m2 m5-m6 m8-m9"},
	{ID: "F11", Name: "two leaders, a paused leader", Moments: "m0-m1 m8-m9"},
	{ID: "F12", Name: "process stopped", Moments: "m0-m1 m2 m3-m4 m7 m8-m9"},
	{ID: "F13", Name: "clock set", Elsewhere: "a machine has one clock; the tests with a clock of their own do it (`F13`, `R-G8`)"},
	{ID: "F14", Name: "node cut off from the API", Moments: "m0-m1 m5-m6 m7 m8-m9"},
	{ID: "F15", Name: "node cut off from everything, then back", Moments: "m5-m6"},
	{ID: "F16", Name: "pod deleted by force", Moments: "m0-m1 m2 m3-m4 m5-m6 m7 m8-m9"},
	{ID: "F17", Name: "replaced before its predecessor's DEL", Moments: "m0-m1 m7 m8-m9"},
	{ID: "F18", Name: "old ADD ends after the new one", Moments: "m0-m1 m2 m3-m4"},
	{ID: "F19", Name: "DEL repeated, late, after a reboot", Moments: "m7"},
	{ID: "F20", Name: "DEL lost for ever", Moments: "m8-m9"},
	{ID: "F21", Name: "pod finished", Moments: "m7 m8-m9"},
	{ID: "F22", Name: "node out of service", Moments: "m8-m9"},
	{ID: "F23", Name: "namespace deleted", Moments: "m0-m1 m5-m6 m7 m8-m9"},
	{ID: "F24", Name: "pool edited or deleted", Moments: "m0-m1 m2 m5-m6 m7 m8-m9"},
	{ID: "F25", Name: "pool exhausted", Moments: "m0-m1 m7"},
	{ID: "F26", Name: "definitions upgraded", Moments: "m0-m1 m5-m6 m7 m8-m9"},
	{ID: "F27", Name: "definitions deleted", Moments: "m5-m6 m8-m9"},
	{ID: "F28", Name: "etcd restored to the past", Moments: "m0-m1 m5-m6 m7 m8-m9"},
	{ID: "F29", Name: "backup restored", Moments: "m5-m6 m8-m9"},
	{ID: "F30", Name: "foreign device present", Elsewhere: strangers},
	{ID: "F31", Name: "foreign device appears later", Elsewhere: strangers},
	{ID: "F32", Name: "two nodes probe one address", Elsewhere: strangers},
	{ID: "F33", Name: "probe lost", Elsewhere: strangers},
	{ID: "F34", Name: "same MAC on an old sandbox", Moments: "m3-m4"},
	{ID: "F35", Name: "token refused", Moments: "m0-m1 m5-m6 m7"},
	{ID: "F36", Name: "policy or quota refuses", Moments: "m0-m1 m8-m9"},
	{ID: "F37", Name: "spool or disk full, or corrupt", Moments: "m0-m1 m7 m8-m9"},
	{ID: "F38", Name: "live migration aborted", Elsewhere: "pods that are a VM's two are played in the tests of binding, agent and controllers (`R-G6`, `F38`)"},
	{ID: "F39", Name: "all nodes reboot", Moments: "m0-m1"},
	{ID: "F40", Name: "agent upgraded", Moments: "m0-m1 m2"},
}

// Applies tells whether the fault is to be tried at the moment.
func (r Row) Applies(moment string) bool {
	for m := range strings.FieldsSeq(r.Moments) {
		if m == moment {
			return true
		}
	}
	return false
}

// Cell is a fault at a moment.
type Cell struct{ ID, Moment string }

// Untouched are the cells that apply and of which count is zero.
func Untouched(count func(Cell) int64) []Cell {
	var all []Cell
	for _, r := range Matrix {
		for _, m := range Moments {
			if c := (Cell{r.ID, m}); r.Applies(m) && count(c) == 0 {
				all = append(all, c)
			}
		}
	}
	return all
}

// Count is how often the report has a fault at a moment, whatever its class. Not safe for concurrent use.
func (r *Report) Count(c Cell) int64 {
	var n int64
	for _, f := range r.Faults {
		if f.ID == c.ID && f.Moment == c.Moment {
			n += f.Count
		}
	}
	return n
}
