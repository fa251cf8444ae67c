// SPDX-License-Identifier: Apache-2.0

package export

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strconv"
	"strings"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/binding"
)

// maxLabel is the longest DNS label: RFC 1035, 2.3.4.
const maxLabel = 63

// Whoever may make a claim chooses its name, and so what a line of a DHCP server's configuration or of /etc/hosts says. These names mean
// something else there.
var (
	// special are words of dnsmasq's dhcp-host, and names that resolvers and clients trust.
	special = map[string]bool{
		"ignore": true, "infinite": true,
		"localhost": true, "localdomain": true, "ip6-localhost": true, "ip6-loopback": true, "broadcasthost": true,
		"wpad": true, "isatap": true,
	}
	// likeNumber is what dnsmasq takes for the time of a lease, such as 12h, and inet_aton(3) for an address, such as 0x7f000001.
	likeNumber = regexp.MustCompile(`^([0-9]+[a-z]?|0x[0-9a-f]+)$`)
	notLabel   = regexp.MustCompile(`[^a-z0-9]+`)
)

// label makes a DNS label of any text.
func label(text string) string {
	l := strings.Trim(notLabel.ReplaceAllString(strings.ToLower(text), "-"), "-")
	if l == "" || special[l] || likeNumber.MatchString(l) {
		l = strings.TrimRight("host-"+l, "-")
	}
	if len(l) > maxLabel {
		l = strings.TrimRight(l[:maxLabel-9], "-") + "-" + digest(text)
	}
	return l
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:4])
}

// subject is what a record is called first: its workload's replica, as its pod or its administrator would be; else its claim.
func (r *record) subject() string {
	w := r.claim.Spec.Workload
	switch {
	case w == nil:
		return r.claim.Name
	case w.Kind == v1alpha1.WorkloadDaemonSet:
		return w.Name + "-" + w.Node
	case binding.Alike(*w) && w.Ordinal != nil && *w.Ordinal > 0:
		return w.Name + "-" + strconv.Itoa(int(*w.Ordinal))
	case w.Kind == v1alpha1.WorkloadStatefulSet:
		return binding.PodName(*w)
	}
	return w.Name
}

// qualified are a record's names from the short one to one that is its own: with the namespace, the pool, the interface and at last a digest.
func (r *record) qualified() []string {
	subject, iface := r.subject(), ""
	if w := r.claim.Spec.Workload; w != nil {
		iface = "-" + w.Interface
	}
	within := subject + "-" + r.claim.Namespace
	return []string{
		label(subject), label(within), label(within + "-" + r.claim.Spec.PoolRef.Name), label(within + "-" + r.claim.Spec.PoolRef.Name + iface),
		label(subject[:min(len(subject), maxLabel-9)] + "-" + digest(r.String())),
	}
}

// nameAll gives each record a name of its own. Of several that would have the same one each is qualified, so that no name depends on
// which of them came first.
func nameAll(records []*record) {
	names := make([][]string, len(records))
	for i, r := range records {
		names[i] = r.qualified()
	}
	for clash := true; clash; {
		clash = false
		same := map[string][]int{} // name -> records that are called so
		for i := range records {
			same[names[i][0]] = append(same[names[i][0]], i)
		}
		for _, group := range same {
			if len(group) < 2 {
				continue
			}
			for _, i := range group {
				if len(names[i]) > 1 {
					names[i], clash = names[i][1:], true
				}
			}
		}
	}
	for i, r := range records {
		r.host = names[i][0]
	}
}
