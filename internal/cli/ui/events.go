// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"cmp"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/internal/problem"
)

type event struct {
	Type    string    `json:"type"`
	Reason  string    `json:"reason"`
	Message string    `json:"message"`
	Count   int32     `json:"count"`
	Last    time.Time `json:"last"`
	link
}

// mostEvents is how many events of an object are shown, the latest.
const mostEvents = 50

// events are those of one object, read when somebody wants to see them: clusters have many, and keep them for an hour.
func (s *server) events(r *http.Request) (any, error) {
	kind, namespace, name := r.FormValue("kind"), r.FormValue("namespace"), r.FormValue("name")
	if namespace == "" {
		namespace = metav1.NamespaceDefault // where those of objects without a namespace are
	}
	list := &corev1.EventList{}
	err := s.live.List(r.Context(), list, client.InNamespace(namespace), client.MatchingFieldsSelector{Selector: fields.Set{
		"involvedObject.kind": kind, "involvedObject.name": name,
	}.AsSelector()})
	if apierrors.IsForbidden(err) {
		return nil, &refusal{http.StatusForbidden, fmt.Sprintf("you may not read the events of namespace %s: ask for get and list on events", namespace)}
	}
	if err != nil {
		return nil, fmt.Errorf("reading the events of %s %s: %w", kind, name, err)
	}
	all := make([]event, 0, len(list.Items))
	for i := range list.Items {
		all = append(all, eventOf(&list.Items[i]))
	}
	slices.SortStableFunc(all, func(a, b event) int { return b.Last.Compare(a.Last) })
	return map[string]any{"events": all[:min(len(all), mostEvents)]}, nil
}

// eventOf has the times and counts wherever the two APIs of events put them.
func eventOf(e *corev1.Event) event {
	last, count := cmp.Or(e.LastTimestamp.Time, e.EventTime.Time, e.CreationTimestamp.Time), max(e.Count, 1)
	if e.Series != nil {
		last, count = e.Series.LastObservedTime.Time, e.Series.Count
	}
	return event{Type: e.Type, Reason: e.Reason, Message: e.Message, Count: count, Last: last, link: linkOf(e.Message, e.Reason)}
}

// link is where the catalogue explains what is wrong.
type link struct {
	Code string `json:"code,omitempty"`
	Page string `json:"page,omitempty"`
}

var code = regexp.MustCompile(`\bMP[0-9]{3}\b`)

// linkOf is that of the code in a message, else of the entry with the reason; none if there is neither.
func linkOf(message, reason string) link {
	named := code.FindString(message)
	for _, kind := range problem.Kinds() {
		if kind.Code == named || named == "" && kind.Reason == reason {
			return link{Code: kind.Code, Page: kind.Page()}
		}
	}
	return link{}
}
