package main

import v1 "github.com/google/go-containerregistry/pkg/v1"

// A program of the product and the image that holds nothing else.
type program struct {
	name   string // of the image
	source string // directory of its main package, relative to the root; its last element is the binary's name
	entry  string // in the image
	// contract is a tag beside the version's: that of the contract with others, which outlives releases. None if empty.
	contract string
	title    string
}

// runtimes are embedded in packages of their names. Crossplane runs them from there.
var runtimes = []program{
	{name: "function-aidispatcher", source: "cmd/function", entry: "/function", title: "AIDispatcher's composition function"},
	{name: "provider-aidispatcher", source: "cmd/provider", entry: "/provider", title: "AIDispatcher's provider"},
}

// images are pulled by pods that the product composes, or that its examples and tests run.
var images = []program{
	// Its contract is with the provider and the function.
	{name: "monitor-agent", source: "cmd/monitor", entry: "/monitor", contract: "v2", title: "The sidecar of AIDispatcher's workers"},
	{name: "reference-agent", source: "examples/agent", entry: "/agent", title: "An agent to copy from"},
	{name: "model-server", source: "cluster/model", entry: "/model", title: "A model server for tests and demonstrations"},
}

// commandLine is for people, on the machines that they sit at.
var (
	commandLine = program{name: "aidispatch", source: "cmd/aidispatch", title: "AIDispatcher's command line"}
	desks       = []v1.Platform{
		{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64"},
		{OS: "darwin", Architecture: "amd64"}, {OS: "darwin", Architecture: "arm64"},
	}
)

// A crossplanePackage is a directory of YAML, with a runtime of its name or without one.
type crossplanePackage struct{ name, dir string }

var packages = []crossplanePackage{
	{"function-aidispatcher", "package/function"},
	{"provider-aidispatcher", "package/provider"},
	{"configuration-aidispatcher", "package/configuration"},
	{"configuration-aidispatcher-claim", "package/configuration-claim"},
}

// repository that all of the product's images are in.
const organization = "southwest-ai"
