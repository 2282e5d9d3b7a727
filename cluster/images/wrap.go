package main

import (
	"context"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/southwest-ai/agent-operator/cluster/images/oci"
)

// wrapImageCmd makes images of third parties' programs, for tests that run them in the cluster.
type wrapImageCmd struct {
	Binary string `arg:"" type:"existingfile" help:"A static program for this machine."`
	Entry  string `arg:"" help:"Where it is in the image, such as /keda."`
	Ref    string `arg:"" help:"The image, such as 127.0.0.1:5001/third-party/keda:v2.21.0."`
}

// Run pushes an image that holds one program.
func (w wrapImageCmd) Run(ctx context.Context) error {
	f, err := oci.Program(w.Binary, w.Entry)
	if err != nil {
		return err
	}
	img, err := oci.Compose(oci.Spec{
		Platform: v1.Platform{OS: "linux", Architecture: hostArch()}, Entrypoint: []string{w.Entry}, Layers: [][]oci.File{{f}}, Uncompressed: true,
	})
	if err != nil {
		return err
	}
	return push(ctx, w.Ref, []built{{image: img}})
}
