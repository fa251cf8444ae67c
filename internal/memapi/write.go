// SPDX-License-Identifier: Apache-2.0

package memapi

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// errOptimisticLock is the real server's sentence for an update of an old version.
var errOptimisticLock = errors.New("the object has been modified; please apply your changes to the latest version and try again")

var namespaceGVK = corev1.SchemeGroupVersion.WithKind("Namespace")

func (s *Server) create(r *request) (client.Object, error) {
	k := r.store
	object := copyOf(r.object)
	if object.GetResourceVersion() != "" {
		return nil, &apierrors.StatusError{ErrStatus: metav1.Status{
			Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Message: "resourceVersion should not be set on objects to be created",
		}}
	}
	if err := s.namespaceTakes(k, r.key); err != nil {
		return nil, err
	}
	if status, ok := k.statusOf(object); ok {
		status.SetZero()
	}
	object.SetUID(s.newUID())
	object.SetCreationTimestamp(metav1.NewTime(s.clock.Now()))
	object.SetGeneration(1)
	if k.Ungenerated {
		object.SetGeneration(0)
	}
	object.SetDeletionTimestamp(nil)
	object.SetDeletionGracePeriodSeconds(nil)
	if k.Default != nil {
		k.Default(object)
	}
	fresh, err := stored(object)
	if err != nil {
		return nil, err
	}
	if err := s.judge(Attempt{Verb: Create, GVK: k.gvk, Key: r.key, New: fresh, By: r.by}); err != nil {
		return nil, err
	}
	if k.get(r.key) != nil {
		return nil, apierrors.NewAlreadyExists(k.groupResource(), r.key.Name)
	}
	return s.commit(k, r.key, fresh, r.by), nil
}

// namespaceTakes tells whether the namespace of a key takes new objects.
func (s *Server) namespaceTakes(k *store, key types.NamespacedName) error {
	if k.Cluster {
		return nil
	}
	ns, ok := s.stores[namespaceGVK].get(types.NamespacedName{Name: key.Namespace}).(*corev1.Namespace)
	switch {
	case !ok:
		return apierrors.NewNotFound(corev1.Resource("namespaces"), key.Namespace)
	case ns.DeletionTimestamp.IsZero():
		return nil
	}
	err := apierrors.NewForbidden(k.groupResource(), key.Name,
		fmt.Errorf("unable to create new content in namespace %s because it is being terminated", key.Namespace))
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{
		Type: corev1.NamespaceTerminatingCause, Message: "namespace " + key.Namespace + " is being terminated", Field: "metadata.namespace",
	})
	return err
}

func (s *Server) update(r *request) (client.Object, error) {
	k, in := r.store, r.object
	old := k.get(r.key)
	if old == nil {
		return nil, apierrors.NewNotFound(k.groupResource(), r.key.Name)
	}
	if uid := in.GetUID(); uid != "" && uid != old.GetUID() {
		return nil, apierrors.NewConflict(k.groupResource(), r.key.Name,
			fmt.Errorf("Precondition failed: UID in precondition: %s, UID in object meta: %s", uid, old.GetUID())) //nolint:staticcheck // the server's words
	}
	switch version := in.GetResourceVersion(); {
	case version == "" && !k.Unconditional:
		return nil, apierrors.NewInvalid(schema.GroupKind{Group: k.gvk.Group, Kind: k.Resource}, r.key.Name, field.ErrorList{
			field.Invalid(field.NewPath("metadata", "resourceVersion"), "0x0", "must be specified for an update"),
		})
	case version != "" && version != old.GetResourceVersion():
		return nil, apierrors.NewConflict(k.groupResource(), r.key.Name, errOptimisticLock)
	}
	return s.replace(r, old, copyOf(in))
}

// replace stores what a client wants in old's place, as far as it may decide that.
func (s *Server) replace(r *request, old, next client.Object) (client.Object, error) {
	k := r.store
	next, err := k.prepare(r, old, next)
	if err != nil {
		return nil, err
	}
	if next, err = stored(next); err != nil {
		return nil, err
	}
	if err := s.judge(Attempt{Verb: Update, Subresource: r.subresource, GVK: k.gvk, Key: r.key, Old: old, New: next, By: r.by}); err != nil {
		return nil, err
	}
	if k.ended(next) {
		s.commit(k, r.key, nil, r.by)
		return next, nil
	}
	// What is there already makes no new version.
	if next.SetResourceVersion(old.GetResourceVersion()); equality.Semantic.DeepEqual(old, next) {
		return old, nil
	}
	return s.commit(k, r.key, next, r.by), nil
}

// prepare takes from old what a client may not change.
func (k *store) prepare(r *request, old, next client.Object) (client.Object, error) {
	if r.subresource != "" {
		// Of a status update nothing else counts.
		base := copyOf(old)
		to, ok := k.statusOf(base)
		if !ok {
			return nil, apierrors.NewNotFound(k.groupResource(), r.key.Name)
		}
		from, _ := k.statusOf(next)
		to.Set(from)
		return base, nil
	}
	next.SetUID(old.GetUID())
	next.SetCreationTimestamp(old.GetCreationTimestamp())
	next.SetDeletionTimestamp(old.GetDeletionTimestamp())
	next.SetDeletionGracePeriodSeconds(old.GetDeletionGracePeriodSeconds())
	next.SetGeneration(old.GetGeneration())
	if to, ok := k.statusOf(next); ok {
		from, _ := k.statusOf(old)
		to.Set(from)
	}
	if !k.Ungenerated && !k.sameSpec(old, next) {
		next.SetGeneration(old.GetGeneration() + 1)
	}
	if !old.GetDeletionTimestamp().IsZero() {
		for _, f := range next.GetFinalizers() {
			if !slices.Contains(old.GetFinalizers(), f) {
				return nil, k.invalid(r.key, field.Forbidden(field.NewPath("metadata", "finalizers"),
					"no new finalizers can be added if the object is being deleted, found new finalizers "+fmt.Sprintf("[]string{%q}", f)))
			}
		}
	}
	return next, nil
}

// ended tells whether an object that is being deleted has nothing left that keeps it.
func (k *store) ended(object client.Object) bool {
	grace := object.GetDeletionGracePeriodSeconds()
	return !object.GetDeletionTimestamp().IsZero() && len(object.GetFinalizers()) == 0 && (grace == nil || *grace == 0) && !k.keeps(object)
}

func (k *store) keeps(object client.Object) bool { return k.Kept != nil && k.Kept(object) }

func (s *Server) delete(r *request) (client.Object, error) {
	k := r.store
	old := k.get(r.key)
	if old == nil {
		return nil, apierrors.NewNotFound(k.groupResource(), r.key.Name)
	}
	if p := r.preconditions; p != nil {
		kind := schema.GroupResource{Group: k.gvk.Group, Resource: k.gvk.Kind} // so it is called there
		if p.UID != nil && *p.UID != old.GetUID() {
			return nil, apierrors.NewConflict(kind, r.key.Name,
				fmt.Errorf("the UID in the precondition (%s) does not match the UID in record (%s). The object might have been deleted and then recreated", *p.UID, old.GetUID()))
		}
		if p.ResourceVersion != nil && *p.ResourceVersion != old.GetResourceVersion() {
			return nil, apierrors.NewConflict(kind, r.key.Name,
				fmt.Errorf("the ResourceVersion in the precondition (%s) does not match the ResourceVersion in record (%s). The object might have been modified",
					*p.ResourceVersion, old.GetResourceVersion()))
		}
	}
	if err := s.judge(Attempt{Verb: Delete, GVK: k.gvk, Key: r.key, Old: old, By: r.by}); err != nil {
		return nil, err
	}
	grace := int64(0)
	switch {
	case k.Grace == nil:
	case r.grace != nil:
		grace = min(*r.grace, k.Grace(old))
	default:
		grace = k.Grace(old)
	}
	if was := old.GetDeletionGracePeriodSeconds(); !old.GetDeletionTimestamp().IsZero() && was != nil {
		grace = min(grace, *was)
	}
	next := copyOf(old)
	if !k.Ungenerated && old.GetDeletionTimestamp().IsZero() {
		// The generation tells watchers of the spec that it is to end.
		next.SetGeneration(next.GetGeneration() + 1)
	}
	now := metav1.NewTime(s.clock.Now())
	next.SetDeletionTimestamp(&now)
	next.SetDeletionGracePeriodSeconds(&grace)
	if ns, ok := next.(*corev1.Namespace); ok {
		ns.Status.Phase = corev1.NamespaceTerminating
		ns.DeletionGracePeriodSeconds = nil
	}
	if k.ended(next) {
		s.commit(k, r.key, nil, r.by)
		return old, nil
	}
	if was := old.GetDeletionGracePeriodSeconds(); !old.GetDeletionTimestamp().IsZero() && (was == nil || *was <= grace) {
		return old, nil // it is being deleted already
	}
	next, err := stored(next)
	if err != nil {
		return nil, err
	}
	return s.commit(k, r.key, next, r.by), nil
}

// Finalize lets a namespace under deletion go, as the namespace controller does when it is empty.
func (s *Server) Finalize(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, key := s.stores[namespaceGVK], types.NamespacedName{Name: name}
	if ns := k.get(key); ns != nil && !ns.GetDeletionTimestamp().IsZero() && len(ns.GetFinalizers()) == 0 {
		s.commit(k, key, nil, "namespace-controller")
	}
}

func (k *store) invalid(key types.NamespacedName, why ...*field.Error) error {
	return apierrors.NewInvalid(schema.GroupKind{Group: k.gvk.Group, Kind: k.gvk.Kind}, key.Name, why)
}
