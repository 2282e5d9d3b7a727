package v1alpha1

import (
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A VectorStoreType is a kind of vector store.
// +kubebuilder:validation:Enum=pgvector;Qdrant;Weaviate;Milvus;Chroma
type VectorStoreType string

// Credentials say where a store's credentials are.
// +kubebuilder:validation:XValidation:rule="self.source != 'Secret' || has(self.secretRef)",message="source Secret needs secretRef"
// +kubebuilder:validation:XValidation:rule="self.source != 'Environment' || has(self.env)",message="source Environment needs env"
// +kubebuilder:validation:XValidation:rule="self.source != 'Filesystem' || has(self.fs)",message="source Filesystem needs fs"
type Credentials struct {
	// Source of the credentials.
	// +kubebuilder:validation:Enum=None;Secret;Environment;Filesystem
	Source xpv2.CredentialsSource `json:"source"`

	xpv2.CommonCredentialSelectors `json:",inline"`
}

// The types of vector stores.
const (
	StorePGVector VectorStoreType = "pgvector"
	StoreQdrant   VectorStoreType = "Qdrant"
	StoreWeaviate VectorStoreType = "Weaviate"
	StoreMilvus   VectorStoreType = "Milvus"
	StoreChroma   VectorStoreType = "Chroma"
)

// A CABundleReference says where certificate authorities are, PEM.
type CABundleReference struct {
	// Kind of the object.
	// +optional
	// +kubebuilder:validation:Enum=ConfigMap;Secret
	// +kubebuilder:default=ConfigMap
	Kind string `json:"kind,omitempty"`

	// Name of the object.
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`

	// Namespace of the object. A ProviderConfig may only name its own, which is the default.
	// +optional
	Namespace string `json:"namespace,omitempty"`

	// Key in the object.
	// +optional
	// +kubebuilder:default="ca.crt"
	Key string `json:"key,omitempty"`
}

// StoreTLS says how a store is trusted.
type StoreTLS struct {
	// CABundleRef says which certificate authorities to trust, beside those of the system.
	// +optional
	CABundleRef *CABundleReference `json:"caBundleRef,omitempty"`

	// InsecureSkipVerify trusts whoever answers. Never where the data matters.
	// +optional
	InsecureSkipVerify bool `json:"insecureSkipVerify,omitempty"`
}

// VectorStore says where a vector store is and how to get in.
type VectorStore struct {
	// Type of the store.
	Type VectorStoreType `json:"type"`

	// Endpoint of the store, a URL without credentials: postgres://host:5432/database for pgvector, http or https for the others.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	Endpoint string `json:"endpoint"`

	// TLS says how the store is trusted.
	// +optional
	TLS *StoreTLS `json:"tls,omitempty"`

	// Credentials by which collections are made: a key, user:password, a URL with both, or JSON with the fields user, password
	// and apiKey.
	// +optional
	Credentials *Credentials `json:"credentials,omitempty"`

	// AgentCredentials are given to agents where the store cannot make a login for each collection. Without them the agents
	// of a ProviderConfig get its Credentials, and those of a ClusterProviderConfig get none: they are the platform's.
	// +optional
	AgentCredentials *Credentials `json:"agentCredentials,omitempty"`

	// TimeoutSeconds is how long a call may take.
	// +optional
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=300
	TimeoutSeconds *int32 `json:"timeoutSeconds,omitempty"`
}

// A KMSKey is a key in a cloud's key management service, which encrypts and decrypts with it and never gives it out.
type KMSKey struct {
	// URL of the key, without credentials: awskms:///arn:aws:kms:eu-central-1:111122223333:key/ID,
	// gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K, azurekeyvault://NAME.vault.azure.net/keys/K.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern=`^(awskms|gcpkms|azurekeyvault)://`
	URL string `json:"url"`

	// Credentials by which the provider encrypts with the key. They need no right to decrypt. Of a ClusterProviderConfig, the
	// provider's own identity is used where it is empty (IRSA, workload identity, a managed identity); a ProviderConfig needs a
	// Secret of its namespace.
	// +optional
	Credentials *Credentials `json:"credentials,omitempty"`
}

// A KeyRecipient may open the checkpoints of a pool when the cluster and its Secrets are lost.
// +kubebuilder:validation:XValidation:rule="has(self.age) != has(self.kms)",message="a recipient is either age or kms"
type KeyRecipient struct {
	// Age is an age recipient, age1... Its identity is kept outside of the cluster.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=8192
	Age string `json:"age,omitempty"`

	// KMS is a key in AWS KMS, Google Cloud KMS or Azure Key Vault. Who may decrypt with it may open the checkpoints.
	// +optional
	KMS *KMSKey `json:"kms,omitempty"`
}

// CheckpointStore says where an object store is and how to get in.
type CheckpointStore struct {
	// URL of the bucket, without credentials: s3://bucket?region=eu-central-1, gs://bucket, azblob://container?storage_account=name.
	// A path after the bucket is a prefix.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	URL string `json:"url"`

	// TLS says how the store is trusted.
	// +optional
	TLS *StoreTLS `json:"tls,omitempty"`

	// Credentials by which the provider makes repositories, and removes what is kept no longer.
	// +optional
	Credentials *Credentials `json:"credentials,omitempty"`

	// WorkerCredentials are given to the workers' monitors. They need to read, to write and to list, and never to delete. Of a
	// ProviderConfig, Credentials are used where it is empty. Of a ClusterProviderConfig, the Secret is looked for in each
	// pool's own namespace, so that each team has credentials of its own; without it the workers have none.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self.source in ['None', 'Secret']",message="workerCredentials.source must be None or Secret"
	WorkerCredentials *Credentials `json:"workerCredentials,omitempty"`

	// Recipients are for whom each pool's data key is wrapped, in the store beside the data. Without any, the state is lost with
	// the Secret that has the key.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	Recipients []KeyRecipient `json:"recipients,omitempty"`

	// TimeoutSeconds is how long a call may take.
	// +optional
	// +kubebuilder:default=60
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=600
	TimeoutSeconds *int32 `json:"timeoutSeconds,omitempty"`
}

// PrometheusServer says where the workers' metrics are, and how to get in. Without one the workers are asked themselves.
// +kubebuilder:validation:XValidation:rule="!has(self.bearerToken) || !has(self.basicAuth)",message="bearerToken and basicAuth exclude each other: remove one"
type PrometheusServer struct {
	// URL of the server's API, without credentials and without /api/v1: http://prometheus.monitoring:9090, or
	// https://mimir.example.org/prometheus.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https']",message="url must begin with http:// or https://"
	URL string `json:"url"`

	// TLS says how the server is trusted.
	// +optional
	TLS *StoreTLS `json:"tls,omitempty"`

	// BearerToken is sent with each query.
	// +optional
	BearerToken *Credentials `json:"bearerToken,omitempty"`

	// BasicAuth is sent with each query: user:password.
	// +optional
	BasicAuth *Credentials `json:"basicAuth,omitempty"`

	// Headers are sent with each query, such as X-Scope-OrgID. They are no secrets.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	Headers map[string]string `json:"headers,omitempty"`

	// StaleAfterSeconds is how old a sample may be. More than two of the server's scrape intervals.
	// +optional
	// +kubebuilder:default=60
	// +kubebuilder:validation:Minimum=5
	// +kubebuilder:validation:Maximum=3600
	StaleAfterSeconds *int32 `json:"staleAfterSeconds,omitempty"`

	// TimeoutSeconds is how long a query may take.
	// +optional
	// +kubebuilder:default=5
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=60
	TimeoutSeconds *int32 `json:"timeoutSeconds,omitempty"`
}

// ProviderConfigSpec says where the stores are.
type ProviderConfigSpec struct {
	// VectorStore is where collections are kept.
	// +optional
	VectorStore *VectorStore `json:"vectorStore,omitempty"`

	// CheckpointStore is where checkpoints are kept.
	// +optional
	CheckpointStore *CheckpointStore `json:"checkpointStore,omitempty"`

	// Prometheus is where the load of pools is read. Without it the workers are asked themselves.
	// +optional
	Prometheus *PrometheusServer `json:"prometheus,omitempty"`
}

// ProviderConfigStatus is the observed state of a ProviderConfig.
type ProviderConfigStatus struct {
	xpv2.ProviderConfigStatus `json:",inline"`
}

// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,categories=crossplane;provider;aidispatcher
// +kubebuilder:printcolumn:name="USERS",type="integer",JSONPath=".status.users"
// +kubebuilder:printcolumn:name="AGE",type="date",JSONPath=".metadata.creationTimestamp"

// A ProviderConfig says where the stores of one namespace are.
type ProviderConfig struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec may refer to Secrets and ConfigMaps of its own namespace, and to nothing else.
	// +kubebuilder:validation:XValidation:rule="!has(self.vectorStore) || !has(self.vectorStore.credentials) || self.vectorStore.credentials.source in ['None', 'Secret']",message="vectorStore.credentials.source must be None or Secret: the environment and the files of the provider are for a ClusterProviderConfig only"
	// +kubebuilder:validation:XValidation:rule="!has(self.vectorStore) || !has(self.vectorStore.agentCredentials) || self.vectorStore.agentCredentials.source in ['None', 'Secret']",message="vectorStore.agentCredentials.source must be None or Secret: the environment and the files of the provider are for a ClusterProviderConfig only"
	// +kubebuilder:validation:XValidation:rule="!has(self.checkpointStore) || !has(self.checkpointStore.credentials) || self.checkpointStore.credentials.source in ['None', 'Secret']",message="checkpointStore.credentials.source must be None or Secret: the environment and the files of the provider are for a ClusterProviderConfig only"
	// +kubebuilder:validation:XValidation:rule="!has(self.checkpointStore) || !has(self.checkpointStore.recipients) || self.checkpointStore.recipients.all(r, !has(r.kms) || (has(r.kms.credentials) && r.kms.credentials.source == 'Secret'))",message="checkpointStore.recipients[].kms needs credentials from a Secret: the provider's own identity is for a ClusterProviderConfig only"
	// +kubebuilder:validation:XValidation:rule="!has(self.prometheus) || !has(self.prometheus.bearerToken) || self.prometheus.bearerToken.source in ['None', 'Secret']",message="prometheus.bearerToken.source must be None or Secret: the environment and the files of the provider are for a ClusterProviderConfig only"
	// +kubebuilder:validation:XValidation:rule="!has(self.prometheus) || !has(self.prometheus.basicAuth) || self.prometheus.basicAuth.source in ['None', 'Secret']",message="prometheus.basicAuth.source must be None or Secret: the environment and the files of the provider are for a ClusterProviderConfig only"
	Spec   ProviderConfigSpec   `json:"spec"`
	Status ProviderConfigStatus `json:"status,omitempty"`
}

// +kubebuilder:object:root=true

// ProviderConfigList is a list of ProviderConfigs.
type ProviderConfigList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []ProviderConfig `json:"items"`
}

// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=crossplane;provider;aidispatcher
// +kubebuilder:printcolumn:name="USERS",type="integer",JSONPath=".status.users"
// +kubebuilder:printcolumn:name="AGE",type="date",JSONPath=".metadata.creationTimestamp"

// A ClusterProviderConfig says where the stores of all namespaces are.
type ClusterProviderConfig struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   ProviderConfigSpec   `json:"spec"`
	Status ProviderConfigStatus `json:"status,omitempty"`
}

// +kubebuilder:object:root=true

// ClusterProviderConfigList is a list of ClusterProviderConfigs.
type ClusterProviderConfigList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []ClusterProviderConfig `json:"items"`
}

// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Namespaced,categories=crossplane;provider;aidispatcher
// +kubebuilder:printcolumn:name="CONFIG-KIND",type="string",JSONPath=".providerConfigRef.kind"
// +kubebuilder:printcolumn:name="CONFIG-NAME",type="string",JSONPath=".providerConfigRef.name"
// +kubebuilder:printcolumn:name="RESOURCE-KIND",type="string",JSONPath=".resourceRef.kind"
// +kubebuilder:printcolumn:name="RESOURCE-NAME",type="string",JSONPath=".resourceRef.name"
// +kubebuilder:printcolumn:name="AGE",type="date",JSONPath=".metadata.creationTimestamp"

// A ProviderConfigUsage says that a managed resource uses a configuration of either kind.
type ProviderConfigUsage struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	xpv2.TypedProviderConfigUsage `json:",inline"`
}

// +kubebuilder:object:root=true

// ProviderConfigUsageList is a list of ProviderConfigUsages.
type ProviderConfigUsageList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []ProviderConfigUsage `json:"items"`
}

func init() {
	SchemeBuilder.Register(&ProviderConfig{}, &ProviderConfigList{})
	SchemeBuilder.Register(&ClusterProviderConfig{}, &ClusterProviderConfigList{})
	SchemeBuilder.Register(&ProviderConfigUsage{}, &ProviderConfigUsageList{})
}
