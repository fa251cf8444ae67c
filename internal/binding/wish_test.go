// SPDX-License-Identifier: Apache-2.0

package binding_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

// TestParseWish proves what a person may write, and what the answer says when it cannot be.
func TestParseWish(t *testing.T) {
	pool := &v1alpha1.MacPool{
		ObjectMeta: metav1.ObjectMeta{Name: "iot"},
		Spec: v1alpha1.MacPoolSpec{VLAN: new(int32(50)), Subnets: []v1alpha1.Subnet{
			{CIDR: "192.168.50.0/24"}, {CIDR: "fd00:50::/64"},
		}},
	}
	tests := map[string]struct {
		ips     []string
		mac     string
		want    string
		problem *problem.Kind
		says    string
	}{
		"nothing":                       {want: "any address"},
		"as the founding case wrote it": {ips: []string{"192.168.50.8/24"}, want: "192.168.50.8"},
		"without a prefix length":       {ips: []string{"192.168.50.8"}, want: "192.168.50.8"},
		"both families":                 {ips: []string{"192.168.50.8/24", "fd00:50::8/64"}, want: "192.168.50.8 and fd00:50::8"},
		"IPv6 not canonical":            {ips: []string{"FD00:50:0::8"}, want: "fd00:50::8"},
		"mapped IPv4":                   {ips: []string{"::ffff:192.168.50.8"}, want: "192.168.50.8"},
		"upper-case MAC":                {mac: "02:32:00:A8:32:08", want: "02:32:00:a8:32:08"},
		"MAC with hyphens":              {mac: "02-32-00-a8-32-08", want: "02:32:00:a8:32:08"},
		"MAC with dots":                 {mac: "0232.00a8.3208", want: "02:32:00:a8:32:08"},

		"the founding case's MAC": {mac: "f1:fd:59:0b:bd:2b", problem: problem.MulticastMAC, says: "f2:fd:59:0b:bd:2b"},
		"broadcast":               {mac: "ff:ff:ff:ff:ff:ff", problem: problem.MulticastMAC},
		"zero":                    {mac: "00:00:00:00:00:00", problem: problem.ImpossibleMAC},
		"eight octets":            {mac: "02:32:00:a8:32:08:00:01", problem: problem.ImpossibleMAC},
		"no MAC at all":           {mac: "router", problem: problem.ImpossibleMAC},
		"a manufacturer's MAC":    {mac: "b8:27:eb:a8:32:08", problem: problem.ForeignMAC, says: "02:32:00"},
		"a foreign MAC beside an IP": {
			ips: []string{"192.168.50.8"}, mac: "b8:27:eb:a8:32:08", problem: problem.ForeignMAC, says: "the one that goes with 192.168.50.8: 02:32:00:a8:32:08",
		},
		"a foreign MAC beside an IPv6": {ips: []string{"fd00:50::9"}, mac: "b8:27:eb:a8:32:08", problem: problem.ForeignMAC, says: "192.168.50.9: 02:32:00:a8:32:09"},
		"our prefix, other subnet":     {mac: "02:32:00:a8:33:08", problem: problem.ForeignMAC},
		"outside":                      {ips: []string{"10.0.0.8"}, problem: problem.AddressOutside, says: "192.168.50.0/24"},
		"wrong prefix length":          {ips: []string{"192.168.50.8/16"}, problem: problem.WrongPrefixLength, says: "192.168.50.0/24"},
		"impossible prefix length":     {ips: []string{"192.168.50.8/99"}, problem: problem.BadAddress},
		"no address at all":            {ips: []string{"eight"}, problem: problem.BadAddress, says: `"eight"`},
		"with a zone":                  {ips: []string{"fe80::1%eth0"}, problem: problem.BadAddress},
		"IP and MAC disagree":          {ips: []string{"192.168.50.8"}, mac: "02:32:00:a8:32:09", problem: problem.AddressMismatch, says: "02:32:00:a8:32:08"},
		"families disagree":            {ips: []string{"192.168.50.8", "fd00:50::9"}, problem: problem.AddressMismatch},
		"two of one family":            {ips: []string{"192.168.50.8", "192.168.50.9"}, problem: problem.AddressMismatch},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := binding.ParseWish(tt.ips, tt.mac, pool)
			if tt.problem == nil {
				if err != nil || got.String() != tt.want {
					t.Fatalf("ParseWish = %q, %v, want %q", got, err, tt.want)
				}
				return
			}
			if !tt.problem.Is(err) {
				t.Fatalf("error = %v, want %s", err, tt.problem.Code)
			}
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("the sentence %q does not name %q", err, tt.says)
			}
		})
	}
}
