// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"runtime/debug"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A bom is the part of CycloneDX 1.6 that a Go program fills. It has neither time nor serial number, which would differ each time.
type bom struct {
	Format       string       `json:"bomFormat"`
	SpecVersion  string       `json:"specVersion"`
	Version      int          `json:"version"`
	Metadata     metadata     `json:"metadata"`
	Components   []component  `json:"components"`
	Dependencies []dependency `json:"dependencies"`
}

type metadata struct {
	Component component `json:"component"`
}

type component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version,omitempty"`
	Hashes     []hash     `json:"hashes,omitempty"`
	PURL       string     `json:"purl,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type dependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn"`
}

// sbom is the subcommand: it writes the bill of materials of the image in an OCI archive. It looks at the programs that are in
// the image, which say themselves what they are built of.
func sbom(args []string, _ io.Writer) error {
	flags := newFlags("sbom", "ARCHIVE")
	out := flags.String("o", "image.cdx.json", "the file to write, CycloneDX in JSON")
	_ = flags.Parse(args) // a wrong flag has ended the program
	if flags.NArg() != 1 {
		return errors.New("wants one archive")
	}
	opened, err := openArchive(flags.Arg(0))
	if err != nil {
		return err
	}
	defer opened.close()
	result, err := billOf(opened)
	if err != nil {
		return fmt.Errorf("looking at what is in %s: %w", flags.Arg(0), err)
	}
	text, err := json.MarshalIndent(result, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the bill: %w", err)
	}
	return os.WriteFile(*out, append(text, '\n'), 0o644) //nolint:gosec // G306: a document that everybody may read
}

func billOf(opened *archive) (*bom, error) {
	repository, tag, _ := cutLast(opened.name, ":")
	image := component{
		Type: "container", Ref: opened.name, Name: repository, Version: tag,
		Hashes: []hash{{Algorithm: "SHA-256", Content: opened.digest.Hex}},
		PURL:   fmt.Sprintf("pkg:oci/%s@sha256%%3A%s?repository_url=%s&tag=%s", path.Base(repository), opened.digest.Hex, repository, tag),
	}
	result := &bom{Format: "CycloneDX", SpecVersion: "1.6", Version: 1, Metadata: metadata{Component: image}}
	manifest, err := opened.index.IndexManifest()
	if err != nil {
		return nil, err
	}
	var programs []string
	modules := map[string]component{}
	for _, descriptor := range manifest.Manifests {
		img, err := opened.index.Image(descriptor.Digest)
		if err != nil {
			return nil, err
		}
		err = eachFile(img, func(file string, content []byte) error {
			info, err := buildinfo.Read(bytes.NewReader(content))
			if err != nil {
				return nil //nolint:nilerr // a text, not a program of Go
			}
			program, uses := programOf(descriptor.Platform.String()+"/"+file, content, info)
			programs = append(programs, program.Ref)
			result.Components = append(result.Components, program)
			result.Dependencies = append(result.Dependencies, dependency{Ref: program.Ref, DependsOn: slices.Sorted(maps.Keys(uses))})
			maps.Copy(modules, uses)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if len(programs) == 0 {
		return nil, errors.New("there is no program of Go in it")
	}
	result.Dependencies = append(result.Dependencies, dependency{Ref: image.Ref, DependsOn: programs})
	result.Components = slices.AppendSeq(result.Components, maps.Values(modules))
	slices.SortFunc(result.Components, func(a, b component) int { return cmp.Compare(a.Ref, b.Ref) })
	slices.SortFunc(result.Dependencies, func(a, b dependency) int { return cmp.Compare(a.Ref, b.Ref) })
	return result, nil
}

// programOf returns a program as a component, and the modules that it is built of, Go's own library included, by their references.
func programOf(ref string, content []byte, info *debug.BuildInfo) (component, map[string]component) {
	sum := sha256.Sum256(content)
	program := component{
		Type: "application", Ref: ref, Name: info.Path, Version: info.Main.Version,
		Hashes: []hash{{Algorithm: "SHA-256", Content: hex.EncodeToString(sum[:])}},
	}
	for _, setting := range info.Settings {
		if strings.HasPrefix(setting.Key, "vcs.") || setting.Key == "GOARCH" || setting.Key == "-ldflags" {
			program.Properties = append(program.Properties, property{Name: "go:" + setting.Key, Value: setting.Value})
		}
	}
	std := libraryOf("std", strings.TrimPrefix(info.GoVersion, "go"))
	uses := map[string]component{std.Ref: std}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Replace != nil {
			m = m.Replace
		}
		if isOurs(m.Path) {
			continue
		}
		library := libraryOf(m.Path, m.Version)
		if m.Sum != "" {
			library.Properties = []property{{Name: "go:sum", Value: m.Sum}}
		}
		uses[library.Ref] = library
	}
	return program, uses
}

func libraryOf(module, version string) component {
	purl := "pkg:golang/" + module + "@" + strings.ReplaceAll(version, "+", "%2B")
	return component{Type: "library", Ref: purl, Name: module, Version: version, PURL: purl}
}

// eachFile calls visit with each regular file of the image.
func eachFile(img v1.Image, visit func(file string, content []byte) error) error {
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	for _, layer := range layers {
		content, err := layer.Uncompressed()
		if err != nil {
			return err
		}
		err = eachEntry(content, func(header *tar.Header, file []byte) error {
			if header.Typeflag != tar.TypeReg {
				return nil
			}
			return visit(header.Name, file)
		})
		if err := errors.Join(err, content.Close()); err != nil {
			return err
		}
	}
	return nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
