// SPDX-License-Identifier: Apache-2.0

package adds

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// auditLog reads the API server's, from where it was read last.
type auditLog struct {
	path string
	read int64
}

// request is what requests have in common that are counted together.
type request struct{ who, what string }

// asked is how many requests there were, and the octets of the objects in them and in their answers.
type asked struct{ count, sent, received float64 }

// next are the requests since the last call. Watches are left out, and what processes ask every some seconds however many pods there are: their own
// reports and leases, and whether there is an answer at all.
func (l *auditLog) next() (map[request]asked, error) {
	file, err := os.Open(l.path)
	if err != nil {
		return nil, fmt.Errorf("opening the audit log: %w", err)
	}
	defer func() { _ = file.Close() }()
	if _, err := file.Seek(l.read, io.SeekStart); err != nil {
		return nil, fmt.Errorf("reading the audit log: %w", err)
	}
	all := map[request]asked{}
	lines := bufio.NewReader(file)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF { // the rest of the line comes with the next call
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the audit log: %w", err)
		}
		l.read += int64(len(line))
		var e event
		if err := json.Unmarshal(bytes.TrimSpace(line), &e); err != nil {
			return nil, fmt.Errorf("reading a line of the audit log: %w", err)
		}
		if r, ok := e.counts(); ok {
			sum := all[r]
			sum.count++
			sum.sent += float64(len(e.RequestObject))
			sum.received += float64(len(e.ResponseObject))
			all[r] = sum
		}
	}
}

// event is what is read of a line.
type event struct {
	Verb       string `json:"verb"`
	RequestURI string `json:"requestURI"`
	User       struct {
		Username string `json:"username"`
	} `json:"user"`
	ObjectRef struct {
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
	} `json:"objectRef"`
	RequestObject  json.RawMessage `json:"requestObject"`
	ResponseObject json.RawMessage `json:"responseObject"`
}

func (e *event) counts() (request, bool) {
	account, ours := strings.CutPrefix(e.User.Username, "system:serviceaccount:macpool-system:")
	if !ours || e.Verb == "watch" || e.ObjectRef.Resource == "macnodes" || e.ObjectRef.Resource == "nodes" || e.ObjectRef.Resource == "leases" || strings.Contains(e.RequestURI, "limit=1&") || strings.HasSuffix(e.RequestURI, "limit=1") {
		return request{}, false
	}
	what := e.Verb + " " + e.ObjectRef.Resource
	if e.ObjectRef.Subresource != "" {
		what += "/" + e.ObjectRef.Subresource
	}
	return request{account, what}, true
}
