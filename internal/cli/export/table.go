// SPDX-License-Identifier: Apache-2.0

package export

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/problem"
)

// cell makes a text safe for a spreadsheet: one that begins like a formula would be run as one, whatever quotes are around it
// (https://owasp.org/www-community/attacks/CSV_Injection). The name of a workload is any text that somebody with the right to make a claim likes.
func cell(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	if bare := strings.TrimLeftFunc(text, unicode.IsSpace); bare != "" && strings.ContainsRune("=+-@＝＋－＠", []rune(bare)[0]) {
		return "'" + text
	}
	return text
}

func writeCSV(w io.Writer, header []string, rows [][]string) error {
	c := csv.NewWriter(w)
	if err := c.Write(header); err != nil {
		return err
	}
	for _, row := range rows {
		for i := range row {
			row[i] = cell(row[i])
		}
		if err := c.Write(row); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

// table writes all that there is to know, for people and scripts.
func table(w io.Writer, e *export) error {
	header := []string{
		"mac", "ipv4", "ipv6", "host", "pool", "vlan", "namespace", "claim", "workload_kind", "workload", "ordinal", "workload_node", "interface", "pod", "node",
	}
	var rows [][]string
	for _, r := range e.records {
		var workload v1alpha1.Workload
		if r.claim.Spec.Workload != nil {
			workload = *r.claim.Spec.Workload
		}
		var holder v1alpha1.Holder
		if r.claim.Status.Holder != nil {
			holder = *r.claim.Status.Holder
		}
		rows = append(rows, []string{
			r.mac.String(), address(r, true), address(r, false), r.fqdn(e.domain), r.claim.Spec.PoolRef.Name, number(r.claim.Status.VLAN),
			r.claim.Namespace, r.claim.Name, string(workload.Kind), workload.Name, number(workload.Ordinal), workload.Node, workload.Interface,
			holder.PodName, holder.NodeName,
		})
	}
	return writeCSV(w, header, rows)
}

func address(r *record, is4 bool) string {
	if ip, ok := r.ip(is4); ok {
		return ip.String()
	}
	return ""
}

func number(n *int32) string {
	if n == nil {
		return ""
	}
	return strconv.Itoa(int(*n))
}

// maxDescription is how much NetBox stores of a description.
const maxDescription = 200

// netbox writes what NetBox's bulk import of IP addresses reads, the columns of its IPAddressImportForm:
// https://github.com/netbox-community/netbox/blob/main/netbox/ipam/forms/bulk_import.py. An address that no pod holds yet is reserved there.
func netbox(w io.Writer, e *export) error {
	var rows [][]string
	for _, r := range e.records {
		status := "reserved"
		if r.claim.Status.Holder != nil {
			status = "active"
		}
		description := problem.Cut(fmt.Sprintf("macpool: claim %s, %s", r, r.mac), maxDescription)
		for _, ip := range r.ips {
			prefix, err := e.subnet(r, ip)
			if err != nil {
				return err
			}
			rows = append(rows, []string{fmt.Sprintf("%s/%d", ip, prefix.Bits()), status, r.fqdn(e.domain), description})
		}
	}
	return writeCSV(w, []string{"address", "status", "dns_name", "description"}, rows)
}

// hosts writes lines of /etc/hosts: man hosts(5).
func hosts(w io.Writer, e *export) error {
	for _, r := range e.records {
		names := r.fqdn(e.domain)
		if e.domain != "" {
			names += " " + r.host
		}
		for _, ip := range r.ips {
			if _, err := fmt.Fprintf(w, "%s\t%s\n", ip, names); err != nil {
				return err
			}
		}
	}
	return nil
}
