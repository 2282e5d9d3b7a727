// Package v1alpha1 is the API of the managed resources a pool is made of and of the provider's configuration.
// It holds types only and knows nothing of the controllers that reconcile them.
//
// +kubebuilder:object:generate=true
// +groupName=agent.southwest.ai
// +versionName=v1alpha1
package v1alpha1

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/scheme"
)

// GroupVersion is the API group and version of this package.
var GroupVersion = schema.GroupVersion{Group: "agent.southwest.ai", Version: "v1alpha1"}

// SchemeBuilder adds this package's types to a scheme.
var SchemeBuilder = &scheme.Builder{GroupVersion: GroupVersion}

// AddToScheme adds this package's types to a scheme.
var AddToScheme = SchemeBuilder.AddToScheme

// The kinds of this group.
var (
	AgentScalerGroupVersionKind             = GroupVersion.WithKind("AgentScaler")
	CheckpointGroupVersionKind              = GroupVersion.WithKind("Checkpoint")
	VectorCollectionGroupVersionKind        = GroupVersion.WithKind("VectorCollection")
	ProviderConfigGroupVersionKind          = GroupVersion.WithKind("ProviderConfig")
	ClusterProviderConfigGroupVersionKind   = GroupVersion.WithKind("ClusterProviderConfig")
	ProviderConfigUsageGroupVersionKind     = GroupVersion.WithKind("ProviderConfigUsage")
	ProviderConfigUsageListGroupVersionKind = GroupVersion.WithKind("ProviderConfigUsageList")
)
