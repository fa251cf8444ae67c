// SPDX-License-Identifier: Apache-2.0

package faultproxy

import (
	"net/http"
	"strings"
)

// Request is what is known of a request to the API server.
type Request struct {
	// Client is the name of the proxy, and so of the process behind it.
	Client string
	// Verb is get, list, watch, create, update, patch, delete or, for what is no request for a resource, other.
	Verb string
	// Resource is the plural of the kind, with the subresource if there is one: macclaims/status.
	Resource  string
	Namespace string
	Name      string
	// Body is what the client sent; empty for reads.
	Body []byte
	// InitialEvents: a watch that begins with what there is, in place of a list.
	InitialEvents bool
	// Version is the resourceVersion that the client asks for.
	Version string
}

// Writes tells whether the request changes something.
func (r *Request) Writes() bool {
	switch r.Verb {
	case "create", "update", "patch", "delete":
		return true
	default:
		return false
	}
}

// Class is the request's class: which client does what with which resource.
func (r *Request) Class() string { return r.Client + " " + r.Verb + " " + r.Resource }

// classify reads the path as Kubernetes lays it out.
func classify(name string, req *http.Request) *Request {
	r := &Request{Client: name, Verb: "other"}
	parts := strings.Split(strings.Trim(req.URL.Path, "/"), "/")
	switch {
	case len(parts) >= 3 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) >= 4 && parts[0] == "apis":
		parts = parts[3:]
	default:
		return r
	}
	if len(parts) >= 3 && parts[0] == "namespaces" {
		r.Namespace, parts = parts[1], parts[2:]
	}
	r.Resource = parts[0]
	if len(parts) > 1 {
		r.Name = parts[1]
	}
	if len(parts) > 2 {
		r.Resource += "/" + strings.Join(parts[2:], "/")
	}
	query := req.URL.Query()
	r.Version = query.Get("resourceVersion")
	switch req.Method {
	case http.MethodPost:
		r.Verb = "create"
	case http.MethodPut:
		r.Verb = "update"
	case http.MethodPatch:
		r.Verb = "patch"
	case http.MethodDelete:
		r.Verb = "delete"
	case http.MethodGet:
		switch {
		case query.Get("watch") == "true" || query.Get("watch") == "1":
			r.Verb = "watch"
			r.InitialEvents = query.Get("sendInitialEvents") == "true"
		case r.Name == "":
			r.Verb = "list"
		default:
			r.Verb = "get"
		}
	}
	return r
}
