// SPDX-License-Identifier: Apache-2.0

// Package problem is the catalogue of everything that macpool tells a person is wrong: a stable code, one sentence that says
// what happened to what, and what to do. The same entry speaks in the CNI error, the pod's event and the claim's condition.
// docs/errors.md is generated from it.
package problem

import (
	"errors"
	"fmt"
)

// CNI error codes: https://github.com/containernetworking/cni/blob/main/SPEC.md#error. Those from 100 on are a plugin's own;
// there an entry uses the number of its code.
const (
	CNIVersion     uint = 1
	CNIEnvironment uint = 4
	CNIConfig      uint = 7
	CNITryAgain    uint = 11
	CNIUnavailable uint = 50
)

// Kind is an entry of the catalogue.
type Kind struct {
	// Code is the stable code, such as MP301.
	Code string
	// Reason is the code in words, as the reason of conditions and events.
	Reason string
	// CNI is the code of the CNI error.
	CNI uint
	// Sentence says what happened; a format for the arguments of New.
	Sentence string
	// Fix says what to do.
	Fix string
	// Explanation is the rest of the story, for docs/errors.md.
	Explanation string
}

// Error is a Kind that happened.
type Error struct {
	Kind *Kind
	// Message is the sentence, without a final period.
	Message string
	// Fix is what to do, a sentence or two.
	Fix string

	cause error
}

// New is an error of kind k; args fill the sentence.
func (k *Kind) New(args ...any) *Error {
	return &Error{Kind: k, Message: fmt.Sprintf(k.Sentence, args...), Fix: k.Fix}
}

// WithFix replaces the catalogue's advice by one that knows the case.
func (e *Error) WithFix(format string, args ...any) *Error {
	e.Fix = fmt.Sprintf(format, args...)
	return e
}

// WithCause keeps the error beneath, for errors.Is and logs. Its text is not shown to people.
func (e *Error) WithCause(err error) *Error {
	e.cause = err
	return e
}

// Error is the code, the sentence and the advice.
func (e *Error) Error() string { return e.Kind.Code + ": " + e.Sentence() }

// Sentence is the sentence and the advice without the code, as conditions and events show it.
func (e *Error) Sentence() string {
	if e.Fix == "" {
		return e.Message
	}
	return e.Message + ". " + e.Fix
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// Is tells whether err is, or wraps, an error of kind k.
func (k *Kind) Is(err error) bool {
	e := As(err)
	return e != nil && e.Kind == k
}

// As returns the problem in err's chain, nil if there is none.
func As(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

// Retryable tells whether the same request may succeed later without anybody changing it.
func (k *Kind) Retryable() bool { return k.CNI == CNITryAgain || k.CNI == CNIUnavailable }
