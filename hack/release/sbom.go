// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// billSuffix takes the place of an artifact's ending in the name of its bill of materials.
const billSuffix = ".cdx.json"

// billFile is what the bill of materials of a file of a release is called.
func billFile(file string) string {
	return strings.TrimSuffix(strings.TrimSuffix(file, imageSuffix), programsSuffix) + billSuffix
}

// sbom is the subcommand: it writes the bill of materials of a file of a release beside it. It looks at the programs that are in
// the file, which say themselves what they are built of, and at the licence texts that go with them.
func sbom(args []string, _ io.Writer) error {
	flags := newFlags("sbom", "FILE"+imageSuffix+"|FILE"+programsSuffix+" ...")
	_ = flags.Parse(args) // a wrong flag has ended the program
	if flags.NArg() == 0 {
		return errors.New("wants a file of a release")
	}
	for _, file := range flags.Args() {
		a, err := openArtifact(file)
		if err != nil {
			return err
		}
		text, err := a.bill()
		if err != nil {
			return fmt.Errorf("making the bill of %s: %w", file, err)
		}
		if err := os.WriteFile(billFile(file), text, 0o644); err != nil { //nolint:gosec // G306: a document that everybody may read
			return fmt.Errorf("writing the bill of %s: %w", file, err)
		}
	}
	return nil
}

// bill is the bill of materials, CycloneDX in JSON. It has neither a time nor a serial number, which would differ each time: it is a
// function of the artifact.
func (a *artifact) bill() ([]byte, error) {
	licences, err := a.licences()
	if err != nil {
		return nil, err
	}
	subject := a.component()
	libraries := map[string]cdx.Component{}
	var (
		components   []cdx.Component
		dependencies []cdx.Dependency
		programs     []string
	)
	for _, p := range a.programs {
		uses := p.libraries()
		for ref, library := range uses {
			if library.Licenses, err = licencesOf(licences, library.Name); err != nil {
				return nil, fmt.Errorf("%s is built of %s %s: %w", p.path, library.Name, library.Version, err)
			}
			libraries[ref] = library
		}
		own := p.component()
		if own.Licenses, err = licencesOf(licences, p.module()); err != nil {
			return nil, fmt.Errorf("%s is of %s: %w", p.path, p.module(), err)
		}
		programs = append(programs, own.BOMRef)
		components = append(components, own)
		dependencies = append(dependencies, cdx.Dependency{Ref: own.BOMRef, Dependencies: new(slices.Sorted(maps.Keys(uses)))})
	}
	dependencies = append(dependencies, cdx.Dependency{Ref: subject.BOMRef, Dependencies: &programs})
	components = slices.AppendSeq(components, maps.Values(libraries))
	slices.SortFunc(components, func(a, b cdx.Component) int { return cmp.Compare(a.BOMRef, b.BOMRef) })
	slices.SortFunc(dependencies, func(a, b cdx.Dependency) int { return cmp.Compare(a.Ref, b.Ref) })

	result := cdx.NewBOM()
	result.Metadata, result.Components, result.Dependencies = &cdx.Metadata{Component: &subject}, &components, &dependencies
	var text bytes.Buffer
	if err := cdx.NewBOMEncoder(&text, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(result, cdx.SpecVersion1_6); err != nil {
		return nil, fmt.Errorf("writing the bill: %w", err)
	}
	return text.Bytes(), nil
}

// component is what the bill is about.
func (a *artifact) component() cdx.Component {
	c := cdx.Component{BOMRef: a.name, Type: cdx.ComponentTypeFile, Name: a.name, Hashes: sha256s(a.digest)}
	c.PackageURL = "pkg:generic/" + a.name + "?checksum=sha256:" + a.digest
	if a.image {
		c.Type, c.BOMRef, c.Version = cdx.ComponentTypeContainer, a.name+":"+a.version, a.version
		c.PackageURL = fmt.Sprintf("pkg:oci/%s@sha256%%3A%s?repository_url=%s&tag=%s", path.Base(a.name), a.digest, a.name, a.version)
	}
	return c
}

// module is the module that a program is of: ours, or that of a plugin that goes with ours.
func (p program) module() string {
	if isOurs(p.info.Main.Path) {
		return ours
	}
	return p.info.Main.Path
}

func (p program) component() cdx.Component {
	c := cdx.Component{
		BOMRef: p.path, Type: cdx.ComponentTypeApplication, Name: p.info.Path, Version: p.info.Main.Version, Hashes: sha256s(p.digest),
		PackageURL: moduleURL(p.info.Main.Path, p.info.Main.Version),
	}
	if below := strings.TrimPrefix(strings.TrimPrefix(p.info.Path, p.info.Main.Path), "/"); below != "" {
		c.PackageURL += "#" + below
	}
	var properties []cdx.Property
	for _, setting := range p.info.Settings {
		if strings.HasPrefix(setting.Key, "vcs.") || setting.Key == "GOOS" || setting.Key == "GOARCH" || setting.Key == "-ldflags" {
			properties = append(properties, cdx.Property{Name: "go:" + setting.Key, Value: setting.Value})
		}
	}
	if len(properties) > 0 {
		c.Properties = &properties
	}
	return c
}

// libraries are the modules that a program is built of, Go's own library included, by their references. A program that is not ours is
// built of its own module too.
func (p program) libraries() map[string]cdx.Component {
	std := libraryOf("std", strings.TrimPrefix(p.info.GoVersion, "go"))
	uses := map[string]cdx.Component{std.BOMRef: std}
	for _, m := range append(slices.Clone(p.info.Deps), &p.info.Main) {
		if m.Replace != nil {
			m = m.Replace
		}
		if isOurs(m.Path) {
			continue
		}
		library := libraryOf(m.Path, m.Version)
		if m.Sum != "" {
			library.Properties = &[]cdx.Property{{Name: "go:sum", Value: m.Sum}}
		}
		uses[library.BOMRef] = library
	}
	return uses
}

func libraryOf(module, version string) cdx.Component {
	url := moduleURL(module, version)
	return cdx.Component{BOMRef: url, Type: cdx.ComponentTypeLibrary, Name: module, Version: version, PackageURL: url}
}

func moduleURL(module, version string) string {
	return "pkg:golang/" + module + "@" + strings.ReplaceAll(version, "+", "%2B")
}

// licencesOf is the licence of a module by the texts that are in the artifact, where Go's are those of go. A release does not go without.
func licencesOf(found map[string]licence, module string) (*cdx.Licenses, error) {
	if module == "std" {
		module = "go"
	}
	l, ok := found[module]
	if !ok {
		return nil, errors.New("its licence is not below licenses/")
	}
	if err := l.check(); err != nil {
		return nil, err
	}
	if strings.Contains(string(l), " ") {
		return &cdx.Licenses{{Expression: string(l)}}, nil
	}
	return &cdx.Licenses{{License: &cdx.License{ID: string(l)}}}, nil
}

func sha256s(digest string) *[]cdx.Hash {
	return &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: digest}}
}
