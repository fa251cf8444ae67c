// SPDX-License-Identifier: Apache-2.0

package main

import "strings"

// row is a row of the fault matrix.
type row struct {
	id, name string
	// moments are the columns that apply to it.
	moments string
	// elsewhere says why no harness does it, and what does.
	elsewhere string
}

// matrix is the fault matrix: which fault at which moment must change nothing but what its row says.
var matrix = []row{
	{id: "F1", name: "plugin killed", moments: "m0-m1 m2 m3-m4 m5-m6 m7"},
	{id: "F2", name: "the plugin's caller killed", moments: "m0-m1 m2 m3-m4 m7"},
	{id: "F3", name: "agent killed", moments: "m0-m1 m2 m3-m4 m5-m6 m7"},
	{id: "F4", name: "node loses its power", moments: "m0-m1 m2 m3-m4 m5-m6 m7 m8-m9"},
	{id: "F5", name: "API server away", moments: "m0-m1 m2 m3-m4 m5-m6 m7 m8-m9"},
	{id: "F6", name: "answer lost after the commit", moments: "m2 m7 m8-m9"},
	{id: "F7", name: "conflicts", moments: "m0-m1 m7 m8-m9"},
	{id: "F8", name: "too many requests", moments: "m0-m1 m7 m8-m9"},
	{id: "F9", name: "stale cache", moments: "m0-m1 m2 m7 m8-m9"},
	{id: "F10", name: "events that nobody saw", moments: "m0-m1 m2 m5-m6 m8-m9"},
	{id: "F11", name: "two leaders, a paused leader", moments: "m0-m1 m8-m9"},
	{id: "F12", name: "process stopped", moments: "m0-m1 m2 m3-m4 m7 m8-m9"},
	{id: "F13", name: "clock set", elsewhere: "a machine has one clock; the tests with a clock of their own do it (`F13`, `R-G8`)"},
	{id: "F14", name: "node cut off from the API", moments: "m0-m1 m5-m6 m7 m8-m9"},
	{id: "F15", name: "node cut off from everything, then back", moments: "m5-m6"},
	{id: "F16", name: "pod deleted by force", moments: "m0-m1 m2 m3-m4 m5-m6 m7 m8-m9"},
	{id: "F17", name: "replaced before its predecessor's DEL", moments: "m0-m1 m7 m8-m9"},
	{id: "F18", name: "old ADD ends after the new one", moments: "m0-m1 m2 m3-m4"},
	{id: "F19", name: "DEL repeated, late, after a reboot", moments: "m7"},
	{id: "F20", name: "DEL lost for ever", moments: "m8-m9"},
	{id: "F21", name: "pod finished", moments: "m7 m8-m9"},
	{id: "F22", name: "node out of service", moments: "m8-m9"},
	{id: "F23", name: "namespace deleted", moments: "m0-m1 m5-m6 m7 m8-m9"},
	{id: "F24", name: "pool edited or deleted", moments: "m0-m1 m2 m5-m6 m7 m8-m9"},
	{id: "F25", name: "pool exhausted", moments: "m0-m1 m7"},
	{id: "F26", name: "definitions upgraded", moments: "m0-m1 m5-m6 m7 m8-m9"},
	{id: "F27", name: "definitions deleted", moments: "m5-m6 m8-m9"},
	{id: "F28", name: "etcd restored to the past", moments: "m0-m1 m5-m6 m7 m8-m9"},
	{id: "F29", name: "backup restored", moments: "m5-m6 m8-m9"},
	{id: "F30", name: "foreign device present", elsewhere: "no probe comes before an ADD yet"},
	{id: "F31", name: "foreign device appears later", elsewhere: "nothing listens on the VLAN yet"},
	{id: "F32", name: "two nodes probe one address", elsewhere: "no probe comes before an ADD yet"},
	{id: "F33", name: "probe lost", elsewhere: "no probe comes before an ADD yet; that of a takeover has three rounds (`R-G5`)"},
	{id: "F34", name: "same MAC on an old sandbox", moments: "m3-m4"},
	{id: "F35", name: "token refused", moments: "m0-m1 m5-m6 m7"},
	{id: "F36", name: "policy or quota refuses", moments: "m0-m1 m8-m9"},
	{id: "F37", name: "spool or disk full, or corrupt", moments: "m0-m1 m7 m8-m9"},
	{id: "F38", name: "live migration aborted", elsewhere: "a claim has one holder yet"},
	{id: "F39", name: "all nodes reboot", moments: "m0-m1"},
	{id: "F40", name: "agent upgraded", moments: "m0-m1 m2"},
}

func (r row) applies(moment string) bool {
	for m := range strings.FieldsSeq(r.moments) {
		if m == moment {
			return true
		}
	}
	return false
}
