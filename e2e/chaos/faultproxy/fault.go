// SPDX-License-Identifier: Apache-2.0

package faultproxy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Kind is a kind of fault.
type Kind string

const (
	// Delay sends the request on after a while, whether the client still waits or not: the commit comes late.
	Delay Kind = "delay"
	// DelayAnswer keeps the answer for a while.
	DelayAnswer Kind = "delay of the answer"
	// DropBefore breaks the connection; the API server never hears of the request.
	DropBefore Kind = "drop before send"
	// DropAfter breaks the connection when the API server has answered: it is done, and the client does not know (F6).
	DropAfter Kind = "response dropped after commit"
	// Timeout504 says that nobody knows, as a load balancer does, when the API server has answered (F6).
	Timeout504 Kind = "504 after commit"
	// Duplicate sends the request twice, and hands on the second answer.
	Duplicate Kind = "duplicate"
	// LateDuplicate sends it a second time a while after it was answered.
	LateDuplicate Kind = "late duplicate"
	// Conflict409 answers so in the API server's place.
	Conflict409 Kind = "409"
	// TooMany429 answers so in the API server's place.
	TooMany429 Kind = "429"
	// Error500 answers so in the API server's place.
	Error500 Kind = "500"
	// Unavailable503 answers so in the API server's place.
	Unavailable503 Kind = "503"
	// Unauthorized401 answers so in the API server's place.
	Unauthorized401 Kind = "401"
	// Gone410 answers so in the API server's place.
	Gone410 Kind = "410"
	// Truncate ends the answer early: its header promises more.
	Truncate Kind = "truncated body"
	// ResetRequest breaks the way to the API server in the middle of the request's body.
	ResetRequest Kind = "reset in the request"
	// ResetAnswer breaks the connection after some octets of the answer.
	ResetAnswer Kind = "reset in the answer"
	// StaleList answers a list with what Snapshot has recorded before.
	StaleList Kind = "stale list"
	// NoInitialEvents refuses a watch that begins with what there is; the client lists instead.
	NoInitialEvents Kind = "no initial events"
)

// Fault is what is to happen to a request.
type Fault struct {
	Kind Kind
	// For is how long a delay lasts.
	For time.Duration
	// Bytes is after how many octets something breaks. More than there are is all of them.
	Bytes int
}

// Plan decides what happens to requests. Its methods are called for all of them at once.
type Plan interface {
	// Reached tells how far a request has come, and holds it up meanwhile: what must strike at a moment is done here. It tells
	// whether the request goes on; otherwise its connection is broken.
	Reached(r *Request, p Phase) bool
	// Decide is what is to happen to a request; nil for nothing.
	Decide(r *Request) *Fault
	// Injected is called when the fault has happened. A stale list that nobody has recorded has not.
	Injected(r *Request, f *Fault)
}

// Phase is how far a request has come.
type Phase int

const (
	// Arrived : the API server has not heard of it.
	Arrived Phase = iota
	// Committed : the API server has answered, and the client has not heard of it. Watches do not come here.
	Committed
	// Answered : the client has the answer, or nearly: it was written to the connection.
	Answered
)

// refusals are what answers in the API server's place: code, reason.
var refusals = map[Kind]struct {
	code   int
	reason string
}{
	Conflict409:     {http.StatusConflict, "Conflict"},
	TooMany429:      {http.StatusTooManyRequests, "TooManyRequests"},
	Error500:        {http.StatusInternalServerError, "InternalError"},
	Unavailable503:  {http.StatusServiceUnavailable, "ServiceUnavailable"},
	Timeout504:      {http.StatusGatewayTimeout, "Timeout"},
	Unauthorized401: {http.StatusUnauthorized, "Unauthorized"},
	Gone410:         {http.StatusGone, "Expired"},
	NoInitialEvents: {http.StatusUnprocessableEntity, "Invalid"},
}

// refuse answers as the API server would.
func refuse(w http.ResponseWriter, k Kind) {
	refusal := refusals[k]
	text, err := json.Marshal(map[string]any{
		"kind": "Status", "apiVersion": "v1", "metadata": map[string]any{}, "status": "Failure",
		"message": fmt.Sprintf("injected fault: %s", k), "reason": refusal.reason, "code": refusal.code,
	})
	if err != nil {
		panic(err) // strings and a number
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	if k == TooMany429 {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(refusal.code)
	_, _ = w.Write(text)
}
