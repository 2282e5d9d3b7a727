package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// A Cluster says which one is asked, in kubectl's words.
type Cluster struct {
	Namespace  string `short:"n" help:"The namespace. That of kubectl's context where it is not given."`
	Context    string `help:"The context of kubectl's configuration."`
	Kubeconfig string `type:"existingfile" help:"kubectl's configuration."`
}

// flags returns what kubectl is told of the cluster.
func (c Cluster) flags() []string {
	var out []string

	for _, f := range []struct{ name, value string }{{"--namespace", c.Namespace}, {"--context", c.Context}, {"--kubeconfig", c.Kubeconfig}} {
		if f.value != "" {
			out = append(out, f.name+"="+f.value)
		}
	}

	return out
}

// get has kubectl get objects, and reads what it prints into v. Names come last, after a --, so that none is a flag whatever it is.
func (c Cluster) get(ctx context.Context, v any, args, names []string) error {
	args = append(append([]string{"get"}, args...), c.flags()...)
	if len(names) > 0 {
		args = append(append(args, "--"), names...)
	}

	b, err := kubectl(ctx, args...)
	if err != nil {
		return err
	}

	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("cannot read what kubectl printed: %w", err)
	}

	return nil
}

// kubectl runs kubectl, which knows how people get in, by whatever plugin, and returns what it prints.
func kubectl(ctx context.Context, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, kubectlTimeout)
	defer cancel()

	cmd := exec.CommandContext(ctx, "kubectl", args...) // It is what people would type.

	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said

	if err := cmd.Run(); errors.Is(err, exec.ErrNotFound) {
		return nil, errors.New("there is no kubectl: install it")
	} else if err != nil {
		return nil, fmt.Errorf("kubectl says: %s", strings.TrimSpace(said.String()))
	}

	return out.Bytes(), nil
}

// poolName returns the name of a pool that is written as NAME or ad/NAME.
func poolName(pool string) (string, error) {
	kind, name, ok := strings.Cut(pool, "/")
	if !ok {
		return pool, nil
	}

	switch strings.ToLower(kind) {
	case "ad", "aidispatcher", "aidispatchers":
		return name, nil
	default:
		return "", fmt.Errorf("%q is no pool: name it as ad/NAME", pool)
	}
}
