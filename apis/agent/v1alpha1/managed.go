package v1alpha1

import (
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
)

// What crossplane-runtime asks of a managed resource and of a provider's configuration.
var (
	_ resource.ModernManaged            = &AgentScaler{}
	_ resource.ModernManaged            = &VectorCollection{}
	_ resource.ModernManaged            = &Checkpoint{}
	_ resource.ProviderConfig           = &ProviderConfig{}
	_ resource.ProviderConfig           = &ClusterProviderConfig{}
	_ resource.TypedProviderConfigUsage = &ProviderConfigUsage{}
	_ resource.ProviderConfigUsageList  = &ProviderConfigUsageList{}
	_ resource.ManagedList              = &AgentScalerList{}
	_ resource.ManagedList              = &VectorCollectionList{}
	_ resource.ManagedList              = &CheckpointList{}
)

// GetCondition of this AgentScaler.
func (r *AgentScaler) GetCondition(ct xpv2.ConditionType) xpv2.Condition {
	return r.Status.GetCondition(ct)
}

// SetConditions of this AgentScaler.
func (r *AgentScaler) SetConditions(c ...xpv2.Condition) {
	r.Status.SetConditions(c...)
}

// GetManagementPolicies of this AgentScaler.
func (r *AgentScaler) GetManagementPolicies() xpv2.ManagementPolicies {
	return r.Spec.ManagementPolicies
}

// SetManagementPolicies of this AgentScaler.
func (r *AgentScaler) SetManagementPolicies(p xpv2.ManagementPolicies) {
	r.Spec.ManagementPolicies = p
}

// GetProviderConfigReference of this AgentScaler.
func (r *AgentScaler) GetProviderConfigReference() *xpv2.ProviderConfigReference {
	return r.Spec.ProviderConfigReference
}

// SetProviderConfigReference of this AgentScaler.
func (r *AgentScaler) SetProviderConfigReference(ref *xpv2.ProviderConfigReference) {
	r.Spec.ProviderConfigReference = ref
}

// GetWriteConnectionSecretToReference of this AgentScaler.
func (r *AgentScaler) GetWriteConnectionSecretToReference() *xpv2.LocalSecretReference {
	return r.Spec.WriteConnectionSecretToReference
}

// SetWriteConnectionSecretToReference of this AgentScaler.
func (r *AgentScaler) SetWriteConnectionSecretToReference(ref *xpv2.LocalSecretReference) {
	r.Spec.WriteConnectionSecretToReference = ref
}

// GetItems of this AgentScalerList.
func (l *AgentScalerList) GetItems() []resource.Managed {
	items := make([]resource.Managed, len(l.Items))
	for i := range l.Items {
		items[i] = &l.Items[i]
	}

	return items
}

// GetCondition of this VectorCollection.
func (r *VectorCollection) GetCondition(ct xpv2.ConditionType) xpv2.Condition {
	return r.Status.GetCondition(ct)
}

// SetConditions of this VectorCollection.
func (r *VectorCollection) SetConditions(c ...xpv2.Condition) {
	r.Status.SetConditions(c...)
}

// GetManagementPolicies of this VectorCollection.
func (r *VectorCollection) GetManagementPolicies() xpv2.ManagementPolicies {
	return r.Spec.ManagementPolicies
}

// SetManagementPolicies of this VectorCollection.
func (r *VectorCollection) SetManagementPolicies(p xpv2.ManagementPolicies) {
	r.Spec.ManagementPolicies = p
}

// GetProviderConfigReference of this VectorCollection.
func (r *VectorCollection) GetProviderConfigReference() *xpv2.ProviderConfigReference {
	return r.Spec.ProviderConfigReference
}

// SetProviderConfigReference of this VectorCollection.
func (r *VectorCollection) SetProviderConfigReference(ref *xpv2.ProviderConfigReference) {
	r.Spec.ProviderConfigReference = ref
}

// GetWriteConnectionSecretToReference of this VectorCollection.
func (r *VectorCollection) GetWriteConnectionSecretToReference() *xpv2.LocalSecretReference {
	return r.Spec.WriteConnectionSecretToReference
}

// SetWriteConnectionSecretToReference of this VectorCollection.
func (r *VectorCollection) SetWriteConnectionSecretToReference(ref *xpv2.LocalSecretReference) {
	r.Spec.WriteConnectionSecretToReference = ref
}

// GetItems of this VectorCollectionList.
func (l *VectorCollectionList) GetItems() []resource.Managed {
	items := make([]resource.Managed, len(l.Items))
	for i := range l.Items {
		items[i] = &l.Items[i]
	}

	return items
}

// GetCondition of this Checkpoint.
func (r *Checkpoint) GetCondition(ct xpv2.ConditionType) xpv2.Condition {
	return r.Status.GetCondition(ct)
}

// SetConditions of this Checkpoint.
func (r *Checkpoint) SetConditions(c ...xpv2.Condition) {
	r.Status.SetConditions(c...)
}

// GetManagementPolicies of this Checkpoint.
func (r *Checkpoint) GetManagementPolicies() xpv2.ManagementPolicies {
	return r.Spec.ManagementPolicies
}

// SetManagementPolicies of this Checkpoint.
func (r *Checkpoint) SetManagementPolicies(p xpv2.ManagementPolicies) {
	r.Spec.ManagementPolicies = p
}

// GetProviderConfigReference of this Checkpoint.
func (r *Checkpoint) GetProviderConfigReference() *xpv2.ProviderConfigReference {
	return r.Spec.ProviderConfigReference
}

// SetProviderConfigReference of this Checkpoint.
func (r *Checkpoint) SetProviderConfigReference(ref *xpv2.ProviderConfigReference) {
	r.Spec.ProviderConfigReference = ref
}

// GetWriteConnectionSecretToReference of this Checkpoint.
func (r *Checkpoint) GetWriteConnectionSecretToReference() *xpv2.LocalSecretReference {
	return r.Spec.WriteConnectionSecretToReference
}

// SetWriteConnectionSecretToReference of this Checkpoint.
func (r *Checkpoint) SetWriteConnectionSecretToReference(ref *xpv2.LocalSecretReference) {
	r.Spec.WriteConnectionSecretToReference = ref
}

// GetItems of this CheckpointList.
func (l *CheckpointList) GetItems() []resource.Managed {
	items := make([]resource.Managed, len(l.Items))
	for i := range l.Items {
		items[i] = &l.Items[i]
	}

	return items
}

// GetCondition of this ProviderConfig.
func (c *ProviderConfig) GetCondition(ct xpv2.ConditionType) xpv2.Condition {
	return c.Status.GetCondition(ct)
}

// SetConditions of this ProviderConfig.
func (c *ProviderConfig) SetConditions(cs ...xpv2.Condition) {
	c.Status.SetConditions(cs...)
}

// GetUsers of this ProviderConfig.
func (c *ProviderConfig) GetUsers() int64 {
	return c.Status.Users
}

// SetUsers of this ProviderConfig.
func (c *ProviderConfig) SetUsers(n int64) {
	c.Status.Users = n
}

// GetCondition of this ClusterProviderConfig.
func (c *ClusterProviderConfig) GetCondition(ct xpv2.ConditionType) xpv2.Condition {
	return c.Status.GetCondition(ct)
}

// SetConditions of this ClusterProviderConfig.
func (c *ClusterProviderConfig) SetConditions(cs ...xpv2.Condition) {
	c.Status.SetConditions(cs...)
}

// GetUsers of this ClusterProviderConfig.
func (c *ClusterProviderConfig) GetUsers() int64 {
	return c.Status.Users
}

// SetUsers of this ClusterProviderConfig.
func (c *ClusterProviderConfig) SetUsers(n int64) {
	c.Status.Users = n
}

// GetProviderConfigReference of this ProviderConfigUsage.
func (u *ProviderConfigUsage) GetProviderConfigReference() xpv2.ProviderConfigReference {
	return u.ProviderConfigReference
}

// SetProviderConfigReference of this ProviderConfigUsage.
func (u *ProviderConfigUsage) SetProviderConfigReference(ref xpv2.ProviderConfigReference) {
	u.ProviderConfigReference = ref
}

// GetResourceReference of this ProviderConfigUsage.
func (u *ProviderConfigUsage) GetResourceReference() xpv2.TypedReference {
	return u.ResourceReference
}

// SetResourceReference of this ProviderConfigUsage.
func (u *ProviderConfigUsage) SetResourceReference(ref xpv2.TypedReference) {
	u.ResourceReference = ref
}

// GetItems of this ProviderConfigUsageList.
func (l *ProviderConfigUsageList) GetItems() []resource.ProviderConfigUsage {
	items := make([]resource.ProviderConfigUsage, len(l.Items))
	for i := range l.Items {
		items[i] = &l.Items[i]
	}

	return items
}
