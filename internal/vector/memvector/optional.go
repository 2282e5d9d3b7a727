package memvector

import (
	"context"
	"strconv"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// PointAlias implements vector.Aliaser.
func (d *driver) PointAlias(ctx context.Context, alias, collection string) error {
	end, err := d.begin(ctx, "PointAlias", alias)
	if err != nil {
		return err
	}
	defer end()

	if _, ok := d.s.collections[alias]; ok {
		return vector.Errorf(vector.Exists, "there is a collection %q", alias)
	}

	if _, ok := d.s.collections[collection]; !ok {
		return vector.Errorf(vector.NotFound, "there is no collection %q", collection)
	}

	d.s.aliases[alias] = collection

	return nil
}

// DropAlias implements vector.Aliaser.
func (d *driver) DropAlias(ctx context.Context, alias string) error {
	end, err := d.begin(ctx, "DropAlias", alias)
	if err != nil {
		return err
	}
	defer end()

	delete(d.s.aliases, alias)

	return nil
}

// Grant implements vector.Granter.
func (d *driver) Grant(ctx context.Context, g vector.Grant, last vector.Access) (vector.Access, error) {
	end, err := d.begin(ctx, "Grant", g.Login)
	if err != nil {
		return vector.Access{}, err
	}
	defer end()

	l := login{Grant: g, password: d.s.logins[g.Login].password}

	if l.password == "" || last.User != g.Login || last.Password != l.password {
		d.s.passwords++
		l.password = "secret-" + strconv.Itoa(d.s.passwords)
	}

	d.s.logins[g.Login] = l

	return vector.Access{User: g.Login, Password: l.password}, nil
}

// Revoke implements vector.Granter.
func (d *driver) Revoke(ctx context.Context, login string) error {
	end, err := d.begin(ctx, "Revoke", login)
	if err != nil {
		return err
	}
	defer end()

	delete(d.s.logins, login)

	return nil
}
