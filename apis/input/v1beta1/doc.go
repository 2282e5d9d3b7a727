// Package v1beta1 is the function's input: the Catalog, in which a platform team says what its roles and models are.
// It holds types only and knows nothing of how a pool is composed.
//
// +kubebuilder:object:generate=true
// +groupName=aidispatcher.fn.southwest.ai
// +versionName=v1beta1
package v1beta1

import "k8s.io/apimachinery/pkg/runtime/schema"

// GroupVersion is the API group and version of this package.
var GroupVersion = schema.GroupVersion{Group: "aidispatcher.fn.southwest.ai", Version: "v1beta1"}

// CatalogKind is the kind of the function's input.
const CatalogKind = "Catalog"
