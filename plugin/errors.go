// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"errors"
	"regexp"
	"strings"

	cnitypes "github.com/containernetworking/cni/pkg/types"

	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/problem"
)

// cniError is err as the runtime gets it. What is no entry of the catalogue is an unexpected failure.
func cniError(err error) *cnitypes.Error {
	if err == nil {
		return nil
	}
	said := saying(err)
	return cnitypes.NewError(said.CNI, said.Error(), strings.TrimSpace(said.Fix+" "+problem.PageOf(said.Code)))
}

// saying is err in the words of the catalogue.
func saying(err error) *answer {
	var said *answer
	if errors.As(err, &said) {
		return said
	}
	return (*answer)(agentapi.NewError(err))
}

// message is the sentence alone, for use in another one.
func message(err error) string { return saying(err).Message }

// unavailable gives err the code that CNI has for a STATUS that says no. A network that can never work keeps its own.
func unavailable(err error) error {
	if err == nil {
		return nil
	}
	said := saying(err)
	const limited = problem.CNIUnavailable + 1 // existing containers may be affected too
	if said.CNI == problem.CNIConfig || said.CNI == limited {
		return err
	}
	worded := *said
	worded.CNI = problem.CNIUnavailable
	return &worded
}

// forDel takes out of a DEL's error what go-cni, and so containerd, would take for "already gone" (R-C7).
func forDel(e *cnitypes.Error) *cnitypes.Error {
	if e == nil {
		return nil
	}
	return cnitypes.NewError(e.Code, harmless(e.Msg), harmless(e.Details))
}

func harmless(text string) string {
	// Not compiled beforehand: few processes have an error to tell, and all would pay.
	notFound := regexp.MustCompile(`(?i)not\s+found`)
	noSuch := regexp.MustCompile(`(?i)no\s+such\s+file\s+or\s+directory`)
	return noSuch.ReplaceAllString(notFound.ReplaceAllString(text, "missing"), "it does not exist")
}
