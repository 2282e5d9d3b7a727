package main

import "maps"

// namespaced returns the CompositeResourceDefinition under which a team's AIDispatcher is the composite itself.
func namespaced(crd map[string]any) map[string]any {
	spec := at(crd, "spec")

	return definition("apiextensions.crossplane.io/v2", map[string]any{
		"group":    spec["group"],
		"scope":    "Namespaced",
		"names":    spec["names"],
		"versions": versions(spec),
	})
}

// claimed returns the CompositeResourceDefinition under which a team's AIDispatcher is a claim. A claim that is being
// deleted stays until all it stood for is gone, so that nobody takes the name too early.
func claimed(crd map[string]any) map[string]any {
	spec := at(crd, "spec")
	names := at(spec, "names")

	return definition("apiextensions.crossplane.io/v1", map[string]any{
		"group": spec["group"],
		"scope": "LegacyCluster",
		"names": map[string]any{
			"kind": "XAIDispatcher", "listKind": "XAIDispatcherList",
			"plural": "xaidispatchers", "singular": "xaidispatcher", "categories": names["categories"],
		},
		"claimNames":                   names,
		"defaultCompositeDeletePolicy": "Foreground",
		"versions":                     versions(spec),
	})
}

func definition(apiVersion string, spec map[string]any) map[string]any {
	names := at(spec, "names")

	return map[string]any{
		"apiVersion": apiVersion,
		"kind":       "CompositeResourceDefinition",
		"metadata":   map[string]any{"name": names["plural"].(string) + "." + spec["group"].(string)}, //nolint:forcetypeassert // A definition has both.
		"spec":       spec,
	}
}

// versions returns the one version in a CompositeResourceDefinition's words.
func versions(spec map[string]any) []any {
	v := spec["versions"].([]any)[0].(map[string]any) //nolint:forcetypeassert // A definition has a version.

	schema := maps.Clone(at(v, "schema", "openAPIV3Schema"))
	props := maps.Clone(at(schema, "properties"))
	// Crossplane has its own say on these.
	for _, p := range []string{"apiVersion", "kind", "metadata"} {
		delete(props, p)
	}

	status := maps.Clone(at(props, "status"))
	statusProps := maps.Clone(at(status, "properties"))
	delete(statusProps, "conditions")
	status["properties"] = statusProps
	props["status"] = status
	schema["properties"] = props

	return []any{map[string]any{
		"name": v["name"], "served": true, "referenceable": true,
		"schema":                   map[string]any{"openAPIV3Schema": schema},
		"additionalPrinterColumns": columns(v),
		"subresources":             map[string]any{"scale": at(v, "subresources")["scale"]},
	}}
}

// columns returns the printer columns without the age, which Crossplane appends.
func columns(version map[string]any) []any {
	var out []any

	for _, c := range version["additionalPrinterColumns"].([]any) { //nolint:forcetypeassert // Ours has columns.
		if c.(map[string]any)["name"] != "AGE" { //nolint:forcetypeassert // A column is an object.
			out = append(out, c)
		}
	}

	return out
}

// at returns the object at a path of o, which must be there.
func at(o map[string]any, path ...string) map[string]any {
	for _, p := range path {
		o = o[p].(map[string]any) //nolint:forcetypeassert // What controller-gen writes is of one form.
	}

	return o
}
