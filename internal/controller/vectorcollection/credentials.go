package vectorcollection

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"strings"
	"unicode"

	"github.com/southwest-ai/agent-operator/internal/controller/storeconfig"
	"github.com/southwest-ai/agent-operator/internal/vector"
)

// parseCredentials reads credentials: JSON with the fields user, password and apiKey, a URL with user and password,
// user:password, or a key. An error never tells of the content.
func parseCredentials(b []byte) (vector.Access, error) {
	text := strings.TrimSpace(string(b))

	switch {
	case text == "":
		return vector.Access{}, errors.New("they are empty")
	case len(text) > storeconfig.MaxCredentials:
		return vector.Access{}, errors.New("they are too long to be credentials")
	case strings.HasPrefix(text, "{"):
		return parseJSON(text)
	case strings.ContainsFunc(text, unicode.IsControl):
		return vector.Access{}, errors.New("they have more than one line")
	case strings.Contains(text, "://"):
		return parseURL(text)
	}

	if user, password, ok := strings.Cut(text, ":"); ok {
		if user == "" || password == "" {
			return vector.Access{}, errors.New("user:password lacks one of them")
		}

		return vector.Access{User: user, Password: password}, nil
	}

	return vector.Access{APIKey: text}, nil
}

func parseJSON(text string) (vector.Access, error) {
	var a struct {
		User     string `json:"user"`
		Password string `json:"password"`
		APIKey   string `json:"apiKey"`
	}

	d := json.NewDecoder(bytes.NewBufferString(text))
	d.DisallowUnknownFields()

	// The decoder's own errors quote the content.
	if err := d.Decode(&a); err != nil {
		return vector.Access{}, errors.New("they are no JSON object with only the fields user, password and apiKey")
	}

	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return vector.Access{}, errors.New("something follows the JSON object")
	}

	if a.User == "" && a.Password == "" && a.APIKey == "" {
		return vector.Access{}, errors.New("the JSON object has none of the fields user, password and apiKey")
	}

	return vector.Access{User: a.User, Password: a.Password, APIKey: a.APIKey}, nil
}

func parseURL(text string) (vector.Access, error) {
	u, err := url.Parse(text)
	if err != nil {
		return vector.Access{}, errors.New("they look like a URL and are none: escape special characters, or use JSON")
	}

	password, ok := u.User.Password()
	if !ok || u.User.Username() == "" {
		return vector.Access{}, errors.New("they are a URL without user and password")
	}

	return vector.Access{User: u.User.Username(), Password: password}, nil
}
