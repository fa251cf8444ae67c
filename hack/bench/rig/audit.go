// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// AuditLog is the audit log of an API server (lab.Options.AuditLog), read from where it was read last.
type AuditLog struct {
	Path string

	read int64
}

// Request is one that the API server has answered.
type Request struct {
	User, Verb, URI string
	// Resource is its plural name, with the subresource.
	Resource string
	// Sent and Received are the octets of the object in it and in its answer, as JSON.
	Sent, Received int
}

// Next are the requests since the last call, watches left out. Half a line comes with the next call, when it is whole.
func (l *AuditLog) Next() ([]Request, error) {
	file, err := os.Open(l.Path)
	if err != nil {
		return nil, fmt.Errorf("opening the audit log: %w", err)
	}
	defer func() { _ = file.Close() }()
	if _, err := file.Seek(l.read, io.SeekStart); err != nil {
		return nil, fmt.Errorf("reading the audit log: %w", err)
	}
	var all []Request
	for lines := bufio.NewReader(file); ; {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the audit log: %w", err)
		}
		l.read += int64(len(line))
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("reading a line of the audit log: %w", err)
		}
		if e.Verb != "watch" {
			all = append(all, e.request())
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

func (e *event) request() Request {
	r := Request{
		User: e.User.Username, Verb: e.Verb, URI: e.RequestURI, Resource: e.ObjectRef.Resource,
		Sent: len(e.RequestObject), Received: len(e.ResponseObject),
	}
	if e.ObjectRef.Subresource != "" {
		r.Resource += "/" + e.ObjectRef.Subresource
	}
	return r
}
