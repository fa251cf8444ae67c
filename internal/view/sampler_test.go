// SPDX-License-Identifier: Apache-2.0

package view

import (
	"context"
	"errors"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/macpool/macpool/api/v1alpha1"
)

// informers is a cache of one informer.
type informers struct {
	cache.Cache

	only cache.Informer
}

func (c informers) GetInformer(context.Context, client.Object, ...cache.InformerGetOption) (cache.Informer, error) {
	return c.only, nil
}

var errWholeList = errors.New("the whole cache was listed")

// whole is a reader that must not be asked.
type whole struct{ client.Reader }

func (whole) List(context.Context, client.ObjectList, ...client.ListOption) error {
	return errWholeList
}

func TestSamplerUnpacksWhatIsWanted(t *testing.T) {
	claims, _ := claimsWithLeases(1000)
	informer := start(t, claims, watch.NewFake(), func(toolscache.SharedIndexInformer) {})
	s := Sampler{Reader: whole{}, Cache: informers{only: informer}}
	few := func(limit int64, options ...client.ListOption) (got v1alpha1.MacClaimList, err error) {
		err = s.List(t.Context(), &got, append(options, client.Limit(limit))...)
		return got, err
	}
	got, err := few(3)
	if err != nil || len(got.Items) != 3 || got.Items[0].Status.LeaseName == "" {
		t.Errorf("3 of 1000 claims: %d (%v)", len(got.Items), err)
	}
	if got, err = few(5000); err != nil || len(got.Items) != 1000 {
		t.Errorf("5000 of 1000 claims: %d (%v)", len(got.Items), err)
	}
	if _, err := few(3, client.InNamespace("farm")); !errors.Is(err, errWholeList) {
		t.Errorf("a list of certain claims is not the reader's: %v", err)
	}
	if err := s.List(t.Context(), &metav1.PartialObjectMetadataList{}, client.Limit(1)); !errors.Is(err, errWholeList) {
		t.Errorf("a list of another kind is not the reader's: %v", err)
	}
	allocated := func(limit int64) float64 { return testing.AllocsPerRun(5, func() { _, _ = few(limit) }) }
	if one, all := allocated(1), allocated(1000); one*20 > all {
		t.Errorf("one of 1000 claims takes %.0f allocations, all of them %.0f", one, all)
	}
}
