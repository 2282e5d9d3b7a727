package monitor

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"
)

// setKey sends the platform's key in the protocol's way, and nothing of what the agent took for one. Without a key the
// request goes as it came.
func setKey(h http.Header, protocol, key string) {
	if key == "" {
		return
	}

	h.Del("Authorization")
	h.Del("X-Api-Key")

	if protocol == ProtocolAnthropic {
		h.Set("X-Api-Key", key)
	} else {
		h.Set("Authorization", "Bearer "+key)
	}
}

// keyLasts is how long a key file is not looked at again. It takes the kubelet a minute to bring a Secret that has changed.
const keyLasts = time.Second

// A keyFile is looked at again and again, because Secrets are rotated under running workers, and read when it has changed.
type keyFile struct {
	name string
	now  func() time.Time

	mu     sync.Mutex
	looked time.Time
	info   fs.FileInfo
	key    string
}

// read returns the key in the file, or none where there is no file. A file without a key is a mistake that is told here,
// because a model server would only say 401.
func (k *keyFile) read() (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()

	now := k.now()
	if since := now.Sub(k.looked); since >= 0 && since < keyLasts {
		return k.key, nil
	}

	key, err := k.look()
	if err != nil {
		// It is looked at anew until it is mended.
		return "", err
	}

	k.key, k.looked = key, now

	return key, nil
}

// look returns what the file has now. The lock is held.
func (k *keyFile) look() (string, error) {
	info, err := os.Stat(k.name)

	switch {
	case errors.Is(err, fs.ErrNotExist):
		k.info = nil

		return "", nil
	case err != nil:
		return "", fmt.Errorf("cannot read the model's key: %w", err)
	}

	if k.info != nil && os.SameFile(k.info, info) && k.info.ModTime().Equal(info.ModTime()) && k.info.Size() == info.Size() {
		return k.key, nil
	}

	b, err := os.ReadFile(k.name)
	if err != nil {
		return "", fmt.Errorf("cannot read the model's key: %w", err)
	}

	key := strings.TrimSpace(string(b))
	if key == "" || strings.ContainsFunc(key, unicode.IsControl) {
		return "", errors.New("cannot use the model's key: the Secret's value is empty or not one line")
	}

	k.info = info

	return key, nil
}
