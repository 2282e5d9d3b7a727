// Package v1alpha1 is the API an application team writes: the AIDispatcher, a pool of AI agents.
// It holds types only and knows nothing of how a pool is composed or run.
//
// The CompositeResourceDefinitions in package/ are generated from these types.
//
// +kubebuilder:object:generate=true
// +groupName=southwest.ai
// +versionName=v1alpha1
package v1alpha1

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/scheme"
)

// GroupVersion is the API group and version of this package.
var GroupVersion = schema.GroupVersion{Group: "southwest.ai", Version: "v1alpha1"}

// SchemeBuilder adds this package's types to a scheme.
var SchemeBuilder = &scheme.Builder{GroupVersion: GroupVersion}

// AddToScheme adds this package's types to a scheme.
var AddToScheme = SchemeBuilder.AddToScheme

// AIDispatcherKind is the kind a team writes, whether it is a namespaced composite or a claim.
const AIDispatcherKind = "AIDispatcher"
