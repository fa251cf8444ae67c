// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A statement is an in-toto statement whose predicate is SLSA's provenance, version 1: these files were made of that commit, by that builder.
// It holds what is the same whoever writes it: a release that a workflow signs has the statement of GitHub, which knows more of the builder.
// https://slsa.dev/spec/v1.1/provenance
type statement struct {
	Type          string    `json:"_type"`
	Subject       []subject `json:"subject"`
	PredicateType string    `json:"predicateType"`
	Predicate     predicate `json:"predicate"`
}

type subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

type predicate struct {
	Definition definition `json:"buildDefinition"`
	Run        run        `json:"runDetails"`
}

type definition struct {
	BuildType  string           `json:"buildType"`
	Parameters map[string]any   `json:"externalParameters"`
	Resolved   []resolvedSource `json:"resolvedDependencies"`
}

type resolvedSource struct {
	URI    string            `json:"uri"`
	Digest map[string]string `json:"digest"`
}

type run struct {
	Builder builder `json:"builder"`
}

type builder struct {
	ID string `json:"id"`
}

const (
	statementType  = "https://in-toto.io/Statement/v1"
	provenanceType = "https://slsa.dev/provenance/v1"
	repository     = "https://" + ours
	// buildType is hack/release.sh build, which takes nothing but the commit.
	buildType = repository + "/blob/main/docs/release.md#make-one"
)

// subjects are what a statement is about: every file that SHA256SUMS names, and every image by the digest that it is pulled by.
func (d *dist) subjects() map[string]string {
	subjects := maps.Clone(d.digests)
	for name, image := range d.images() {
		subjects[name] = image.digest
	}
	return subjects
}

// provenance is the statement of a builder that has no other to make it.
func (d *dist) provenance(builderID string) ([]byte, error) {
	commit, err := d.commit()
	if err != nil {
		return nil, err
	}
	s := statement{Type: statementType, PredicateType: provenanceType}
	subjects := d.subjects()
	for _, name := range slices.Sorted(maps.Keys(subjects)) {
		s.Subject = append(s.Subject, subject{Name: name, Digest: map[string]string{"sha256": subjects[name]}})
	}
	s.Predicate.Definition = definition{
		BuildType:  buildType,
		Parameters: map[string]any{"repository": repository, "commit": commit},
		Resolved:   []resolvedSource{{URI: "git+" + repository, Digest: map[string]string{"gitCommit": commit}}},
	}
	s.Predicate.Run.Builder.ID = builderID
	return json.Marshal(s)
}

// readStatement reads the statement in a bundle, and refuses one that is not a provenance.
func readStatement(b *bundle) (*statement, error) {
	if b.Envelope == nil || b.Envelope.PayloadType != inToto {
		return nil, errors.New("there is no statement in it")
	}
	s := &statement{}
	if err := json.Unmarshal(b.Envelope.Payload, s); err != nil {
		return nil, err
	}
	if s.Type != statementType || s.PredicateType != provenanceType {
		return nil, fmt.Errorf("it is a %s of %s, not a %s", s.Type, s.PredicateType, provenanceType)
	}
	return s, nil
}

// check compares the statement with the release: it is about all of it, and of the commit that the programs name, which it returns.
func (s *statement) check(d *dist) (string, error) {
	said := map[string]string{}
	for _, subject := range s.Subject {
		said[subject.Name] = subject.Digest["sha256"]
	}
	there := d.subjects()
	for _, name := range slices.Sorted(maps.Keys(there)) {
		if said[name] != there[name] {
			return "", fmt.Errorf("it is not about %s as it is here", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(said)) {
		if there[name] == "" {
			return "", fmt.Errorf("it is about %s, which is not here", name)
		}
	}
	commit, err := d.commit()
	if err != nil {
		return "", err
	}
	for _, source := range s.Predicate.Definition.Resolved {
		if from, _, _ := strings.Cut(source.URI, "@"); from == "git+"+repository && source.Digest["gitCommit"] == commit {
			return commit, nil
		}
	}
	return "", fmt.Errorf("the programs were built of commit %s, and it says otherwise", commit)
}
