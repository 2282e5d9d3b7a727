package v1beta1

import (
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	agentv1alpha1 "github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
)

// +kubebuilder:object:root=true
// +kubebuilder:resource:categories=crossplane

// A Catalog says what a platform's roles and models are. It stands in a Composition's pipeline as the function's input
// and is decoded strictly: a field that this version does not know is an error that names it.
type Catalog struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Monitor is the sidecar that every worker gets.
	Monitor Monitor `json:"monitor"`

	// Roles a claim can name.
	// +listType=map
	// +listMapKey=name
	Roles []Role `json:"roles"`

	// Models a claim can name.
	// +optional
	// +listType=map
	// +listMapKey=name
	Models []Model `json:"models,omitempty"`

	// KEDA says how the ScaledObjects of claims with engine: KEDA reach what they ask.
	// +optional
	KEDA *KEDA `json:"keda,omitempty"`
}

// KEDA says how ScaledObjects reach what they ask.
type KEDA struct {
	// Scaler is the provider's external scaler.
	// +optional
	Scaler KEDAExternal `json:"scaler,omitempty"`

	// Prometheus is for claims with keda.scaler: Prometheus. Without it they are refused.
	// +optional
	Prometheus *KEDAPrometheus `json:"prometheus,omitempty"`
}

// KEDAExternal is how KEDA reaches the provider's external scaler.
type KEDAExternal struct {
	// Address as HOST:PORT. aidispatcher-scaler.crossplane-system.svc:9095 where it is empty.
	// +optional
	Address string `json:"address,omitempty"`

	// TLS has KEDA use TLS, as the provider does when it is given a certificate.
	// +optional
	TLS bool `json:"tls,omitempty"`

	// AuthenticationRef names what KEDA checks the provider's certificate with (caCert), and its own certificate (tlsClientCert,
	// tlsClientKey).
	// +optional
	AuthenticationRef *KEDAAuthenticationRef `json:"authenticationRef,omitempty"`
}

// KEDAPrometheus is a Prometheus that KEDA asks for the load of pools.
type KEDAPrometheus struct {
	// ServerAddress is its URL, http or https.
	ServerAddress string `json:"serverAddress"`

	// AuthModes of KEDA's Prometheus scaler, such as bearer or basic.
	// +optional
	AuthModes string `json:"authModes,omitempty"`

	// AuthenticationRef names what KEDA authenticates itself with.
	// +optional
	AuthenticationRef *KEDAAuthenticationRef `json:"authenticationRef,omitempty"`
}

// A KEDAAuthenticationRef names a TriggerAuthentication of the claim's namespace, or a ClusterTriggerAuthentication.
type KEDAAuthenticationRef struct {
	// Kind is ClusterTriggerAuthentication where it is empty.
	// +optional
	// +kubebuilder:validation:Enum=TriggerAuthentication;ClusterTriggerAuthentication
	Kind string `json:"kind,omitempty"`

	// Name of it.
	Name string `json:"name"`
}

// Monitor is the sidecar that every worker gets.
type Monitor struct {
	// Image of the monitor, such as monitor-agent:v2 in the platform's registry.
	Image string `json:"image"`

	// ImagePullPolicy of the monitor. Kubernetes' own default where it is empty.
	// +optional
	// +kubebuilder:validation:Enum=Always;IfNotPresent;Never
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy,omitempty"`

	// Resources of the monitor. 10m of CPU and 32Mi of memory are requested, and memory is limited to 128Mi, where it is empty.
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`

	// Metrics say how the figures of the workers get out.
	// +optional
	Metrics *Metrics `json:"metrics,omitempty"`
}

// A Role says what the agents of a pool run.
type Role struct {
	// Name of the role, as a claim writes it.
	Name string `json:"name"`

	// Image of the agent.
	Image string `json:"image"`

	// ImagePullPolicy of the agent. Kubernetes' own default where it is empty.
	// +optional
	// +kubebuilder:validation:Enum=Always;IfNotPresent;Never
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy,omitempty"`

	// ImagePullSecrets are Secrets in the claim's namespace.
	// +optional
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`

	// Command of the agent. The image's own where it is empty.
	// +optional
	Command []string `json:"command,omitempty"`

	// Args of the agent. The image's own where it is empty.
	// +optional
	Args []string `json:"args,omitempty"`

	// Env of the agent. What the function sets cannot be set here: OPENAI_BASE_URL, OPENAI_API_KEY, OPENAI_MODEL,
	// ANTHROPIC_BASE_URL, ANTHROPIC_API_KEY, ANTHROPIC_MODEL, STATE_DIR, and where the memory is, VECTOR_STORE and so on.
	// +optional
	Env []corev1.EnvVar `json:"env,omitempty"`

	// EnvFrom takes over Secrets and ConfigMaps of the claim's namespace whole. What the function sets and what stands in env wins.
	// +optional
	EnvFrom []corev1.EnvFromSource `json:"envFrom,omitempty"`

	// Resources of the agent.
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitempty"`

	// Ports the agent serves on. A pool whose role has ports gets a Service.
	// +optional
	// +listType=map
	// +listMapKey=name
	Ports []Port `json:"ports,omitempty"`

	// StartupProbe of the agent. The other two do not begin before it has succeeded once.
	// +optional
	StartupProbe *corev1.Probe `json:"startupProbe,omitempty"`

	// ReadinessProbe of the agent. Without it a worker is ready as soon as its agent runs.
	// +optional
	ReadinessProbe *corev1.Probe `json:"readinessProbe,omitempty"`

	// LivenessProbe of the agent.
	// +optional
	LivenessProbe *corev1.Probe `json:"livenessProbe,omitempty"`

	// Tasks say where the monitor reads what the agent has to do. Without them it does not know, and says so.
	// +optional
	Tasks *Tasks `json:"tasks,omitempty"`

	// Inbound puts a proxy before a port of the agent, which refuses new tasks while the worker drains.
	// +optional
	Inbound *Inbound `json:"inbound,omitempty"`

	// Drain says how a worker is taken out of service.
	// +optional
	Drain *Drain `json:"drain,omitempty"`

	// Stateless agents have no slots and no state directory: any of them can be replaced by any other.
	// +optional
	Stateless bool `json:"stateless,omitempty"`

	// StatePath is the directory of what the agent must not lose. /var/lib/agent where it is empty.
	// +optional
	StatePath string `json:"statePath,omitempty"`

	// StateVolume is what the state directory is made of. An emptyDir where it is empty.
	// +optional
	StateVolume *StateVolume `json:"stateVolume,omitempty"`

	// Volumes of the agent, beside its state. No checkpoint holds what is in them.
	// +optional
	// +listType=map
	// +listMapKey=name
	Volumes []Volume `json:"volumes,omitempty"`

	// TerminationGracePeriodSeconds is the time a worker has to finish its tasks and save its state once it is told to
	// stop by somebody else than the scaler. 300 where it is empty.
	// +optional
	// +kubebuilder:validation:Minimum=2
	TerminationGracePeriodSeconds *int64 `json:"terminationGracePeriodSeconds,omitempty"`

	// RunAsUser is the user the agent and the monitor run as. 65532 where it is empty; never 0.
	// +optional
	// +kubebuilder:validation:Minimum=1
	RunAsUser *int64 `json:"runAsUser,omitempty"`

	// NodeSelector of the workers.
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`

	// Tolerations of the workers.
	// +optional
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`

	// Affinity of the workers.
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`

	// TopologySpreadConstraints of the workers. The pool's own label selector is used where one has none.
	// +optional
	TopologySpreadConstraints []corev1.TopologySpreadConstraint `json:"topologySpreadConstraints,omitempty"`

	// PriorityClassName of the workers.
	// +optional
	PriorityClassName string `json:"priorityClassName,omitempty"`

	// RuntimeClassName of the workers.
	// +optional
	RuntimeClassName *string `json:"runtimeClassName,omitempty"`

	// PodMetadata are labels and annotations of the workers, for what else watches pods.
	// +optional
	PodMetadata *PodMetadata `json:"podMetadata,omitempty"`

	// Memory is what the platform decides of the memory of this role's pools. A claim decides its collection and dimension.
	// +optional
	Memory *Memory `json:"memory,omitempty"`

	// Checkpoint is what the platform decides of the checkpoints of this role's pools.
	// +optional
	Checkpoint *Checkpoint `json:"checkpoint,omitempty"`

	// MaxReplicas is the largest pool a claim of this role may ask for. No limit but the API's own where it is empty.
	// +optional
	// +kubebuilder:validation:Minimum=1
	MaxReplicas *int32 `json:"maxReplicas,omitempty"`
}

// Memory is what the platform decides of a role's memory. Shards and tenancy cannot change once a collection is made: a
// change of them here is for collections that are made from then on.
type Memory struct {
	agentv1alpha1.VectorTuning `json:",inline"`

	// ProviderConfigRef names the configuration for claims that name none. The ClusterProviderConfig "default" where it is
	// empty.
	// +optional
	ProviderConfigRef *xpv2.ProviderConfigReference `json:"providerConfigRef,omitempty"`
}

// Checkpoint is what the platform decides of a role's checkpoints.
type Checkpoint struct {
	// Quiesce is called before and after each save, so that an agent can finish what it is writing. Without it the state is
	// saved as it is found; a file that changes meanwhile is read again.
	// +optional
	Quiesce *QuiesceHook `json:"quiesce,omitempty"`

	// ProviderConfigRef names the configuration for claims that name none. The ClusterProviderConfig "default" where it is
	// empty.
	// +optional
	ProviderConfigRef *xpv2.ProviderConfigReference `json:"providerConfigRef,omitempty"`
}

// A QuiesceHook is asked to hold still while the state is read, by a POST on loopback.
type QuiesceHook struct {
	// Port of the agent, 1 to 65535. The first of the role's ports where it is empty.
	// +optional
	Port int32 `json:"port,omitempty"`

	// Path of the hook.
	Path string `json:"path"`

	// TimeoutSeconds of one call. 10 where it is empty.
	// +optional
	// +kubebuilder:validation:Minimum=1
	TimeoutSeconds *int64 `json:"timeoutSeconds,omitempty"`
}

// A Port the agent serves on.
type Port struct {
	// Name of the port.
	Name string `json:"name"`

	// ContainerPort is the agent's port, 1 to 65535.
	ContainerPort int32 `json:"containerPort"`

	// ServicePort is the Service's port, 1 to 65535. ContainerPort where it is empty.
	// +optional
	ServicePort int32 `json:"servicePort,omitempty"`

	// AppProtocol of the Service's port, such as http.
	// +optional
	AppProtocol *string `json:"appProtocol,omitempty"`
}

// StateVolume is what the state directory is made of.
type StateVolume struct {
	// SizeLimit of the directory, or the size of the volume where StorageClassName is set.
	SizeLimit resource.Quantity `json:"sizeLimit"`

	// StorageClassName makes the directory an ephemeral volume of this class, which lives as long as its pod.
	// +optional
	StorageClassName *string `json:"storageClassName,omitempty"`
}

// A Volume of an agent's, from one of its sources: those that the "restricted" pod security standard allows, less the ones that
// hand out tokens of the workers' ServiceAccount.
type Volume struct {
	// Name of the volume.
	Name string `json:"name"`

	// MountPath is where the agent finds it, an absolute path of its own.
	MountPath string `json:"mountPath"`

	// SubPath of the volume that is mounted. All of it where it is empty.
	// +optional
	SubPath string `json:"subPath,omitempty"`

	// ReadOnly mounts it so that the agent cannot write to it.
	// +optional
	ReadOnly bool `json:"readOnly,omitempty"`

	// Secret of the claim's namespace.
	// +optional
	Secret *corev1.SecretVolumeSource `json:"secret,omitempty"`

	// ConfigMap of the claim's namespace.
	// +optional
	ConfigMap *corev1.ConfigMapVolumeSource `json:"configMap,omitempty"`

	// EmptyDir that goes with the pod.
	// +optional
	EmptyDir *corev1.EmptyDirVolumeSource `json:"emptyDir,omitempty"`

	// Ephemeral is a volume of a storage class that goes with the pod.
	// +optional
	Ephemeral *corev1.EphemeralVolumeSource `json:"ephemeral,omitempty"`

	// PersistentVolumeClaim of the claim's namespace, which all workers of a pool share.
	// +optional
	PersistentVolumeClaim *corev1.PersistentVolumeClaimVolumeSource `json:"persistentVolumeClaim,omitempty"`

	// CSI is an inline volume of a driver, such as that of the Secrets Store.
	// +optional
	CSI *corev1.CSIVolumeSource `json:"csi,omitempty"`

	// Image is what an OCI image holds, such as the weights of a model.
	// +optional
	Image *corev1.ImageVolumeSource `json:"image,omitempty"`
}

// PodMetadata are labels and annotations of the workers.
type PodMetadata struct {
	// Labels of the workers. Those of southwest.ai are the pool's own.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`

	// Annotations of the workers, such as sidecar.istio.io/inject. Those of southwest.ai are commands.
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
}

// A ModelProtocol is how a model server is spoken to.
// +kubebuilder:validation:Enum=OpenAI;Anthropic
type ModelProtocol string

// The protocols of model servers.
const (
	ProtocolOpenAI    ModelProtocol = "OpenAI"
	ProtocolAnthropic ModelProtocol = "Anthropic"
)

// A Model a claim can name.
type Model struct {
	// Name of the model, as a claim writes it.
	Name string `json:"name"`

	// Endpoint is the base URL of the model server, http or https.
	Endpoint string `json:"endpoint"`

	// Protocol of the model server. OpenAI where it is empty.
	// +optional
	Protocol ModelProtocol `json:"protocol,omitempty"`

	// Model is the name the model server knows it by. Name where it is empty.
	// +optional
	Model string `json:"model,omitempty"`

	// SecretRef names the key of a Secret in the claim's namespace that holds the model server's API key. Only the
	// monitor reads it: agents carry no key.
	// +optional
	SecretRef *corev1.SecretKeySelector `json:"secretRef,omitempty"`

	// Metering is who counts this model's tokens. Proxy where it is empty. With Gateway the endpoint is the gateway, and the
	// agents themselves get the key of the Secret.
	// +optional
	Metering Metering `json:"metering,omitempty"`

	// TokensQuery is where the figures of a gateway that counts are: PromQL, for the Prometheus of the provider configuration, that
	// returns one number, the tokens that a pool ever used. $NAMESPACE and $DISPATCHER in it are the pool's. Without it the tokens
	// of such a pool are unknown.
	// +optional
	TokensQuery string `json:"tokensQuery,omitempty"`

	// Prices of the model's tokens, from which the status of a pool says what they cost. Without it nobody knows.
	// +optional
	Prices *agentv1alpha1.TokenPrices `json:"prices,omitempty"`

	// AskForUsage lets the monitor ask for the usage of a stream where an agent did not. True where it is empty; false for a
	// model server that does not bear the question, whose streams then count as missing.
	// +optional
	AskForUsage *bool `json:"askForUsage,omitempty"`
}
