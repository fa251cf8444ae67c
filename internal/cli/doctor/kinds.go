// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/macpool/macpool/api/v1alpha1"
	"github.com/macpool/macpool/config"
)

const (
	installAgain = "Install macpool again as it was installed, in the version that is to run: docs/install."
	maxNamed     = 5
)

// kinds compares the CustomResourceDefinitions with those of this program.
func kinds(s *state) []Finding {
	var findings []Finding
	for _, want := range ownKinds() {
		i := slices.IndexFunc(s.customKinds.Items, func(k apiextensionsv1.CustomResourceDefinition) bool { return k.Name == want.Name })
		if i < 0 {
			findings = append(findings, found(Fault, installAgain, "there is no kind %s: CustomResourceDefinition %s is missing", want.Spec.Names.Kind, want.Name))
			continue
		}
		for _, f := range compareKind(&want, &s.customKinds.Items[i]) {
			findings = append(findings, f.about("customresourcedefinition.apiextensions.k8s.io", &want))
		}
	}
	return findings
}

func compareKind(want, got *apiextensionsv1.CustomResourceDefinition) []Finding {
	established := slices.ContainsFunc(got.Status.Conditions, func(c apiextensionsv1.CustomResourceDefinitionCondition) bool {
		return c.Type == apiextensionsv1.Established && c.Status == apiextensionsv1.ConditionTrue
	})
	schema := schemaOf(got)
	switch {
	case !got.DeletionTimestamp.IsZero():
		return []Finding{found(Fault, "See which of its objects have finalizers that nobody takes off; install it again when it is gone.", "CustomResourceDefinition %s is being deleted", got.Name)}
	case !established:
		return []Finding{found(Fault, "kubectl describe crd "+got.Name+" says why.", "CustomResourceDefinition %s is not established", got.Name)}
	case schema == nil:
		return []Finding{found(Fault, installAgain, "CustomResourceDefinition %s does not serve version %s", got.Name, v1alpha1.GroupVersion.Version)}
	}
	theirs, ours := map[string]string{}, map[string]string{}
	flatten("", schema, theirs)
	flatten("", schemaOf(want), ours)
	var missing, more, changed []string
	for _, field := range sorted(ours) {
		if rule, ok := theirs[field]; !ok {
			missing = append(missing, field)
		} else if rule != ours[field] {
			changed = append(changed, field)
		}
	}
	for _, field := range sorted(theirs) {
		if _, ok := ours[field]; !ok {
			more = append(more, field)
		}
	}
	var findings []Finding
	if len(missing) > 0 {
		findings = append(findings, found(Fault, installAgain, "CustomResourceDefinition %s is older than this program: it lacks %s", got.Name, some(missing)))
	}
	if len(more) > 0 {
		findings = append(findings, found(Hint, "Get kubectl-macpool of the version that is installed.", "CustomResourceDefinition %s is newer than this program: it has %s too", got.Name, some(more)))
	}
	if len(changed) > 0 && len(missing)+len(more) == 0 {
		findings = append(findings, found(Hint, installAgain, "CustomResourceDefinition %s has other rules than this program's for %s", got.Name, some(changed)))
	}
	return findings
}

// schemaOf is the schema of our version, nil if it is not served.
func schemaOf(kind *apiextensionsv1.CustomResourceDefinition) *apiextensionsv1.JSONSchemaProps {
	for i := range kind.Spec.Versions {
		if v := &kind.Spec.Versions[i]; v.Name == v1alpha1.GroupVersion.Version && v.Served && v.Schema != nil {
			return v.Schema.OpenAPIV3Schema
		}
	}
	return nil
}

// flatten writes the rules of each field of a schema, which are all of it but what people read and the fields beneath, under the field's path.
func flatten(path string, schema *apiextensionsv1.JSONSchemaProps, fields map[string]string) {
	if schema == nil {
		return
	}
	rules := *schema
	rules.Description, rules.Properties, rules.Items = "", nil, nil
	text, err := json.Marshal(rules)
	if err != nil {
		text = []byte(err.Error()) // a schema that came as JSON goes as JSON
	}
	if path != "" {
		fields[strings.TrimPrefix(path, ".")] = string(text)
	}
	for name := range schema.Properties {
		inner := schema.Properties[name]
		flatten(path+"."+name, &inner, fields)
	}
	if schema.Items != nil {
		flatten(path+"[]", schema.Items.Schema, fields)
	}
}

// some are the first of a list, and how many more there are.
func some(all []string) string {
	if len(all) <= maxNamed {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:maxNamed], ", "), len(all)-maxNamed)
}

// ownKinds are those that this program was built with.
var ownKinds = config.Objects[apiextensionsv1.CustomResourceDefinition](config.Kinds, "crd/bases/*.yaml")
