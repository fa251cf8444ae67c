// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"encoding/json"
	"errors"
	"net/http"
)

// refusal is an error whose sentence is for the person, with the status that says whose fault it is.
type refusal struct {
	status   int
	sentence string
}

func (r *refusal) Error() string { return r.sentence }

// answering makes a handler of a question. It answers in JSON, errors too.
func answering(question func(r *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer, err := question(r)
		if err != nil {
			status := http.StatusBadGateway // the cluster's
			var refused *refusal
			if errors.As(err, &refused) {
				status = refused.status
			}
			refuse(w, status, err.Error())
			return
		}
		write(w, http.StatusOK, answer)
	}
}

// refuse says what is wrong in the form that the page reads.
func refuse(w http.ResponseWriter, status int, sentence string) {
	write(w, status, map[string]string{"error": sentence})
}

func write(w http.ResponseWriter, status int, answer any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) //nolint:errchkjson // who does not wait for the answer needs none, and ours can be written
}
