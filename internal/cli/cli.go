// Package cli is the command line for people: what they ask of a pool, and how it is printed. It must not know Kubernetes: a
// repository is read where it lies, because it must be readable when the cluster is lost, and a cluster is asked through kubectl.
package cli

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"filippo.io/age"
	"gocloud.dev/blob"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
	"github.com/southwest-ai/agent-operator/internal/checkpoint/kms"
	"github.com/southwest-ai/agent-operator/internal/checkpoint/store"
)

// An Output is where a command prints to.
type Output struct {
	// Out is for what was asked, Err for progress and for what people should know beside it.
	Out, Err io.Writer
	// Now is the clock that ages are told by.
	Now func() time.Time
}

// Commands are those of aidispatch, in the form that kong reads.
type Commands struct {
	Checkpoint CheckpointCommands `cmd:"" aliases:"cp" help:"Look at the checkpoints of a pool, verify them, and bring states back."`
	Top        TopCmd             `cmd:"" help:"Show what pools do: workers, tasks, tokens, the last change of size."`
	Trace      TraceCmd           `cmd:"" help:"Show what a pool is made of, down to slots and checkpoints, and what is wrong with it."`
	Page       PageCmd            `cmd:"" help:"Serve the provider's page of pools on this machine alone, with your rights, and print its address."`
	Why        WhyCmd             `cmd:"" help:"Tell why a pool has the size that it has, and who was removed."`
	Simulate   SimulateCmd        `cmd:"" help:"Replay a load against a policy, and draw the sizes that follow."`
}

// CheckpointCommands work on one pool's repository.
type CheckpointCommands struct {
	Ls      lsCmd      `cmd:"" help:"List the slots, or the checkpoints of one slot."`
	Show    showCmd    `cmd:"" help:"Show one checkpoint, with its files if asked."`
	Verify  verifyCmd  `cmd:"" help:"Read checkpoints back, every byte, and say what is corrupt."`
	Restore restoreCmd `cmd:"" help:"Write the files of a checkpoint to a directory, for looking."`
	Pin     pinCmd     `cmd:"" help:"Keep a checkpoint whatever the retention says."`
	Unpin   unpinCmd   `cmd:"" help:"Leave a pinned checkpoint to the retention again."`
	Rm      rmCmd      `cmd:"" help:"Remove a checkpoint. Its bytes go with the next sweep."`
	Copy    copyCmd    `cmd:"" help:"Copy the newest checkpoint of each slot to another pool's repository."`
	Key     keyCmd     `cmd:"" help:"Print the data key, opened with an age identity or a KMS key, to bring a lost Secret back."`
}

// A Repository says where a pool's checkpoints are and how to get in.
type Repository struct {
	Store       string `required:"" env:"AIDISPATCH_STORE" placeholder:"URL" help:"The bucket, such as s3://bucket?region=eu-central-1, gs://bucket, azblob://container or file:///dir."`
	Pool        string `required:"" env:"AIDISPATCH_POOL" placeholder:"PREFIX" help:"The pool's prefix in it: NAMESPACE/NAME unless the Checkpoint says otherwise."`
	Credentials string `env:"AIDISPATCH_CREDENTIALS" type:"existingfile" placeholder:"FILE" help:"The store's credentials, JSON as the Secret of a ProviderConfig has them. Without it, those of the environment are used."`
	CA          string `name:"ca" env:"AIDISPATCH_CA" type:"existingfile" placeholder:"FILE" help:"Certificates to trust beside the system's, PEM."`
	Key         string `env:"AIDISPATCH_KEY" type:"existingfile" placeholder:"FILE" help:"The data key: the key of the Secret NAME-checkpoint-key, 64 hexadecimal digits."`
	Identity    string `env:"AIDISPATCH_IDENTITY" type:"existingfile" placeholder:"FILE" help:"An age identity that the data key was wrapped for."`

	KMS            string `name:"kms" env:"AIDISPATCH_KMS" placeholder:"URL" help:"A KMS key that the data key was wrapped for: awskms:///ARN, gcpkms://projects/... or azurekeyvault://NAME.vault.azure.net/keys/KEY."`
	KMSCredentials string `name:"kms-credentials" env:"AIDISPATCH_KMS_CREDENTIALS" type:"existingfile" placeholder:"FILE" help:"Credentials for the KMS key, JSON as the Secret of its recipient has them. Without it, those of the environment are used."`

	Timeout time.Duration `default:"1m" help:"How long one request to the store may take."`
}

// An opened repository.
type opened struct {
	*checkpoint.Repository
	bucket *blob.Bucket
}

func (o *opened) close() { _ = o.bucket.Close() } // Nothing is written through it that was not acknowledged.

// maxSecret bounds the files with keys and credentials, in bytes: more than any, less than a file named by mistake.
const maxSecret = 64 << 10

func (r *Repository) bucket(ctx context.Context) (*blob.Bucket, error) {
	c := store.Config{URL: r.Store, Prefix: r.Pool}

	var err error
	if c.Credentials, err = readSmall(r.Credentials, "credentials"); err != nil {
		return nil, err
	}

	if c.CA, err = readSmall(r.CA, "certificates"); err != nil {
		return nil, err
	}

	c.Ambient = r.Credentials == ""

	return store.Open(ctx, c)
}

func (r *Repository) options() checkpoint.Options { return checkpoint.Options{Timeout: r.Timeout} }

// open opens the repository with its key.
func (r *Repository) open(ctx context.Context) (*opened, error) {
	b, err := r.bucket(ctx)
	if err != nil {
		return nil, err
	}

	key, err := r.dataKey(ctx, b)
	if err == nil {
		var repo *checkpoint.Repository
		if repo, err = checkpoint.Open(ctx, b, key, r.options()); err == nil {
			return &opened{Repository: repo, bucket: b}, nil
		}
	}

	_ = b.Close() // The first error is the one to tell.

	return nil, r.explain(err)
}

func (r *Repository) dataKey(ctx context.Context, b *blob.Bucket) (checkpoint.DataKey, error) {
	switch {
	case count(r.Key, r.Identity, r.KMS) > 1:
		return checkpoint.DataKey{}, errors.New("give the data key, an identity or a KMS key, and not two of them")
	case r.Key != "":
		text, err := readSmall(r.Key, "data key")
		if err != nil {
			return checkpoint.DataKey{}, err
		}

		return parseKey(text)
	case r.Identity != "" || r.KMS != "":
		return r.unwrap(ctx, b)
	default:
		return checkpoint.DataKey{}, errors.New("checkpoints are encrypted: give the data key with --key, an age identity with --identity, or a KMS key with --kms")
	}
}

// count returns how many flags were given.
func count(flags ...string) (n int) {
	for _, f := range flags {
		if f != "" {
			n++
		}
	}

	return n
}

// unwrap opens the data key that lies beside the data.
func (r *Repository) unwrap(ctx context.Context, b *blob.Bucket) (checkpoint.DataKey, error) {
	if r.KMS != "" {
		return r.unwrapWithKMS(ctx, b)
	}

	f, err := os.Open(r.Identity)
	if err != nil {
		return checkpoint.DataKey{}, fmt.Errorf("cannot open the identity: %w", err)
	}
	defer f.Close() // It was only read.

	ids, err := age.ParseIdentities(io.LimitReader(f, maxSecret))
	if err != nil {
		return checkpoint.DataKey{}, fmt.Errorf("cannot read the identity: %w", err)
	}

	p, err := checkpoint.ReadPool(ctx, b, r.options())
	if err != nil {
		return checkpoint.DataKey{}, err
	}

	return checkpoint.UnwrapWithAge(p, ids...)
}

func (r *Repository) unwrapWithKMS(ctx context.Context, b *blob.Bucket) (checkpoint.DataKey, error) {
	secret, err := readSmall(r.KMSCredentials, "credentials of the KMS key")
	if err != nil {
		return checkpoint.DataKey{}, err
	}

	k, err := kms.Open(ctx, kms.Config{URL: r.KMS, Credentials: secret, Ambient: r.KMSCredentials == ""})
	if err != nil {
		return checkpoint.DataKey{}, err
	}
	defer k.Close() // It holds nothing.

	p, err := checkpoint.ReadPool(ctx, b, r.options())
	if err != nil {
		return checkpoint.DataKey{}, err
	}

	key, err := checkpoint.UnwrapWithKMS(ctx, p, r.KMS, k)
	if err != nil {
		return key, fmt.Errorf("%w; it is wrapped for: %s", err, recipients(p))
	}

	return key, nil
}

// recipients tells for whom the data key is wrapped.
func recipients(p checkpoint.Pool) string {
	names := make([]string, 0, len(p.Keys))
	for _, k := range p.Keys {
		names = append(names, strconv.Quote(k.Recipient))
	}

	if len(names) == 0 {
		return "nobody"
	}

	return strings.Join(names, ", ")
}

// explain says what to do about an error that has an obvious remedy.
func (r *Repository) explain(err error) error {
	switch {
	case errors.Is(err, checkpoint.ErrNotFound):
		return fmt.Errorf("there are no checkpoints of pool %q in this store: check --store and --pool, which is NAMESPACE/NAME unless the Checkpoint's spec.forProvider.pool says otherwise: %w", r.Pool, err)
	case errors.Is(err, checkpoint.ErrKey):
		return fmt.Errorf("the data key is another pool's: take that of the Secret NAME-checkpoint-key in the pool's namespace: %w", err)
	default:
		return err
	}
}

func parseKey(text []byte) (checkpoint.DataKey, error) {
	var key checkpoint.DataKey

	b, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(b) != len(key) {
		return key, fmt.Errorf("the data key must be %d hexadecimal digits, as the Secret has it", 2*len(key))
	}

	copy(key[:], b)

	return key, nil
}

// readSmall reads a file that may not be given. An error never tells of its content.
func readSmall(path, what string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}

	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open the %s: %w", what, err)
	}
	defer f.Close() // It was only read.

	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read the %s: %w", what, err)
	}

	if len(b) > maxSecret {
		return nil, fmt.Errorf("the file with the %s is too long to be one", what)
	}

	return b, nil
}

// A name is a slot, or a checkpoint of it: SLOT or SLOT/EPOCH-SEQUENCE.
type name string

func (n name) split() (slot string, at *checkpoint.Position, err error) {
	slot, position, found := strings.Cut(string(n), "/")
	if !found {
		return slot, nil, nil
	}

	p, err := checkpoint.ParsePosition(position)
	if err != nil {
		return "", nil, fmt.Errorf("%q is no checkpoint: write SLOT/EPOCH-SEQUENCE, as ls prints them", string(n))
	}

	return slot, &p, nil
}

// find returns the manifest that a name means: of a slot alone its newest.
func (o *opened) find(ctx context.Context, n name) (checkpoint.Manifest, error) {
	slot, at, err := n.split()
	if err != nil {
		return checkpoint.Manifest{}, err
	}

	if at == nil {
		all, err := o.Positions(ctx, slot)
		if err != nil {
			return checkpoint.Manifest{}, err
		}

		if len(all) == 0 {
			return checkpoint.Manifest{}, fmt.Errorf("slot %s has no checkpoints: list the slots with aidispatch checkpoint ls", slot)
		}

		at = &all[0]
	}

	return o.Manifest(ctx, slot, *at)
}
