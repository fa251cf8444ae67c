// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/internal/agentapi"
	"github.com/macpool/macpool/internal/binding"
	"github.com/macpool/macpool/internal/problem"
)

const (
	// sayAgain is the least time between two events of one reason on one object.
	sayAgain = 5 * time.Minute
	// maxUnsaid is how many events may wait for the API.
	maxUnsaid = 64
	// reportingController is who says it.
	reportingController = "macpool.dev/agent"
)

// speaker makes events. It keeps nobody waiting: what it cannot say now it says later, and what is too much not at all.
type speaker struct {
	*Agent

	unsaid chan saying

	mu   sync.Mutex
	said map[sayingKey]time.Time // when it was said last
}

// saying is a problem of a pod or of a claim.
type saying struct {
	// pod is the one that the event is about, if claim is not set. Of one that the API does not know, or knows with another
	// UID, nothing is said.
	pod     agentapi.Pod
	claim   agentapi.ClaimRef
	trouble *problem.Error
}

type sayingKey struct {
	object types.UID
	reason string
}

func newSpeaker(a *Agent) *speaker {
	return &speaker{Agent: a, unsaid: make(chan saying, maxUnsaid), said: map[sayingKey]time.Time{}}
}

func (s *speaker) onPod(pod agentapi.Pod, trouble *problem.Error) {
	s.say(saying{pod: pod, trouble: trouble})
}

func (s *speaker) onClaim(claim agentapi.ClaimRef, trouble *problem.Error) {
	s.say(saying{claim: claim, trouble: trouble})
}

func (s *speaker) say(what saying) {
	select {
	case s.unsaid <- what:
	default:
		s.log.Info("Too many events wait for the API, one was dropped", "event", what.trouble.Error())
	}
}

func (s *speaker) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case what := <-s.unsaid:
			if err := s.write(ctx, what); err != nil && ctx.Err() == nil {
				s.log.Info("An event was not made", "event", what.trouble.Error(), "error", err.Error())
			}
		}
	}
}

// write finds the object and makes the event.
func (s *speaker) write(ctx context.Context, what saying) error {
	ctx, cancel := context.WithTimeout(ctx, s.times.API)
	defer cancel()
	now := s.clock.Now() // part of the name, which a repetition finds
	return s.retry(ctx, func(ctx context.Context) error {
		about, err := s.find(ctx, what)
		if err != nil || about == nil || !s.isNews(about.UID, what.trouble.Kind.Reason) {
			return err
		}
		err = s.cluster.Create(ctx, s.event(about, what.trouble, now))
		if err == nil || apierrors.IsAlreadyExists(err) {
			s.note(about.UID, what.trouble.Kind.Reason)
			return nil
		}
		return fmt.Errorf("making an event: %w", err)
	})
}

// find is the object of an event; nil if it is gone.
func (s *speaker) find(ctx context.Context, what saying) (*corev1.ObjectReference, error) {
	if what.claim != (agentapi.ClaimRef{}) {
		claim := &v1alpha1.MacClaim{}
		if err := s.cluster.Get(ctx, claimKey(what.claim), claim); err != nil {
			return nil, client.IgnoreNotFound(err)
		}
		return &corev1.ObjectReference{
			APIVersion: v1alpha1.GroupVersion.String(), Kind: "MacClaim", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
		}, nil
	}
	pod := &corev1.Pod{}
	if err := s.cluster.Get(ctx, types.NamespacedName{Namespace: what.pod.Namespace, Name: what.pod.Name}, pod); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	if string(binding.PodUID(pod)) != what.pod.UID {
		return nil, nil
	}
	// The object's own UID, which is not that of a static pod: kubectl describe compares it.
	return &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID}, nil
}

func (s *speaker) event(about *corev1.ObjectReference, trouble *problem.Error, now time.Time) *eventsv1.Event {
	return &eventsv1.Event{
		// As client-go names them: unique, and bound to the object by name alone.
		ObjectMeta: metav1.ObjectMeta{
			Namespace: about.Namespace, Name: fmt.Sprintf("%s.%x", strings.TrimRight(problem.Cut(about.Name, 200), "-."), now.UnixNano()),
		},
		EventTime: metav1.NewMicroTime(now), Type: corev1.EventTypeWarning, Action: "Attach",
		Reason: trouble.Kind.Reason, Note: problem.Cut(trouble.Error(), problem.MaxNote), Regarding: *about,
		ReportingController: reportingController, ReportingInstance: problem.Cut("macpool-agent-"+s.nodeName, 128),
	}
}

// isNews tells whether the reason was not given on the object lately. A pod that is refused is tried again every few seconds.
func (s *speaker) isNews(object types.UID, reason string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, ok := s.said[sayingKey{object, reason}]
	return !ok || s.clock.Since(last) >= sayAgain
}

func (s *speaker) note(object types.UID, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, last := range s.said {
		if s.clock.Since(last) >= sayAgain {
			delete(s.said, key)
		}
	}
	s.said[sayingKey{object, reason}] = s.clock.Now()
}
