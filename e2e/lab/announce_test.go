// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"encoding/hex"
	"strings"
	"testing"
)

// TestAnnouncements reads frames as a kernel sends them: from fd00:50::b and 192.168.50.11, at 02:32:00:a8:32:0b.
func TestAnnouncements(t *testing.T) {
	const (
		arp = "ffffffffffff 023200a8320b 0806 0001 0800 06 04 "
		ip6 = "023200a8320b 86dd 60000000 0020 3a ff fd00005000000000000000000000000b "
		all = "ff020000000000000000000000000001 "
	)
	tests := map[string]struct{ frame, announced, mac string }{
		"gratuitous request": {arp + "0001 023200a8320b c0a8320b 000000000000 c0a8320b", "192.168.50.11", "02:32:00:a8:32:0b"},
		"gratuitous reply":   {arp + "0002 023200a8320b c0a8320b 023200a8320b c0a8320b", "192.168.50.11", "02:32:00:a8:32:0b"},
		"question":           {arp + "0001 023200a8320b c0a8320b 000000000000 c0a8320c", "", ""},
		"probe":              {arp + "0001 023200a8320b 00000000 000000000000 c0a8320b", "", ""},
		"cut off":            {arp + "0001 023200a8320b c0a8320b", "", ""},
		"tagged": {
			"ffffffffffff 023200a8320b 8100 0032 0806 0001 0800 06 04 0001 023200a8320b c0a8320b 000000000000 c0a8320b",
			"192.168.50.11", "02:32:00:a8:32:0b",
		},
		"unsolicited": {
			"333300000001" + ip6 + all + "88 00 0000 20000000 fd00005000000000000000000000000b 0201 023200a8320b",
			"fd00:50::b", "02:32:00:a8:32:0b",
		},
		"unsolicited, other MAC": {
			"333300000001" + ip6 + all + "88 00 0000 20000000 fd00005000000000000000000000000b 0201 023200a83263",
			"fd00:50::b", "02:32:00:a8:32:63",
		},
		"answer": {
			"023200a8320c" + ip6 + "fd00005000000000000000000000000c 88 00 0000 60000000 fd00005000000000000000000000000b 0201 023200a8320b",
			"", "",
		},
		"solicitation": {
			"3333ff00000b" + ip6 + "ff0200000000000000000001ff00000b 87 00 0000 00000000 fd00005000000000000000000000000b 0101 023200a8320b",
			"", "",
		},
		"option without length": {
			"333300000001" + ip6 + all + "88 00 0000 20000000 fd00005000000000000000000000000b 0200 023200a8320b", "fd00:50::b", "",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b, err := hex.DecodeString(strings.ReplaceAll(tt.frame, " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			f, ok := parseFrame(b, nil)
			if !ok {
				t.Fatal("not a frame")
			}
			announced := ""
			if f.Announced.IsValid() {
				announced = f.Announced.String()
			}
			if announced != tt.announced || f.AnnouncedMAC != tt.mac {
				t.Errorf("got %q at %q, want %q at %q", announced, f.AnnouncedMAC, tt.announced, tt.mac)
			}
		})
	}
}
