package qdrant

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/metadata"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

const (
	// leastKey is how many bytes an API key needs before tokens are signed with it.
	leastKey = 16
	// foreign is the name of a collection that no login reaches: it cannot be one's name in the API.
	foreign = "0-not-granted"
)

// Grant implements vector.Granter. The login's name has no place in Qdrant, and a token that was made before is made again.
func (d *driver) Grant(ctx context.Context, g vector.Grant, _ vector.Access) (vector.Access, error) {
	switch {
	case d.apiKey == "":
		return vector.Access{}, vector.Errorf(vector.Unsupported, "the configuration has no API key to sign tokens with")
	case len(d.apiKey) < leastKey:
		return vector.Access{}, vector.Errorf(vector.Unsupported, "the API key is shorter than %d bytes: who gets a token signed with it could guess it", leastKey)
	case len(g.Collections) == 0:
		return vector.Access{}, vector.Errorf(vector.Invalid, "a login must reach a collection")
	}

	t, err := token(d.apiKey, append(slices.Clone(g.Collections), g.Aliases...))
	if err != nil {
		return vector.Access{}, err
	}

	if err := d.heeds(ctx, t, g.Collections[0]); err != nil {
		return vector.Access{}, err
	}

	return vector.Access{APIKey: t}, nil
}

// Revoke implements vector.Granter. There is nothing in Qdrant that could be removed: see the package's documentation.
func (d *driver) Revoke(ctx context.Context, _ string) error {
	if err := ctx.Err(); err != nil {
		return &vector.Error{Kind: vector.Unavailable, Err: err}
	}

	return nil
}

// heeds returns an Unsupported error unless the server lets a token in where it should, and not where it should not.
func (d *driver) heeds(ctx context.Context, token, collection string) error {
	if d.tokens.Load() {
		return nil
	}

	ctx = metadata.AppendToOutgoingContext(ctx, keyHeader, token)
	look := func(name string) error {
		_, err := d.collections.CollectionExists(ctx, &pb.CollectionExistsRequest{CollectionName: name})

		return failed(err)
	}

	err := look(collection)

	switch vector.KindOf(err) {
	case "":
	case vector.Unauthenticated:
		return vector.Errorf(vector.Unsupported, "the server takes no tokens: start it with service.jwt_rbac (%w)", err)
	case vector.PermissionDenied:
		return vector.Errorf(vector.Unsupported, "the server does not take tokens signed with this API key: it must be its api_key (%w)", err)
	default:
		return err
	}

	err = look(foreign)

	switch vector.KindOf(err) {
	case vector.PermissionDenied:
		d.tokens.Store(true)

		return nil
	case "":
		return vector.Errorf(vector.Unsupported, "the server lets everybody in, whatever the token: start it with service.api_key and service.jwt_rbac")
	default:
		return err
	}
}

// A claim opens a collection, or an alias, to reading and writing.
type claim struct {
	Collection string `json:"collection"`
	Access     string `json:"access"`
}

// token returns a JWT (RFC 7519, HS256) that opens collections by these names and nothing else. Equal names make equal tokens.
func token(key string, names []string) (string, error) {
	slices.Sort(names)

	claims := []claim{}
	for _, n := range slices.Compact(names) {
		claims = append(claims, claim{Collection: n, Access: "rw"})
	}

	payload, err := json.Marshal(map[string][]claim{"access": claims})
	if err != nil {
		return "", fmt.Errorf("cannot write the claims of a token: %w", err)
	}

	enc := base64.RawURLEncoding
	signed := enc.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + enc.EncodeToString(payload)

	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(signed))

	return signed + "." + enc.EncodeToString(mac.Sum(nil)), nil
}
