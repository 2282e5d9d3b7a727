package monitor

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// ParsePodinfo reads a file of the downward API: a line `key="value"` for each pair, the value quoted as Go quotes
// strings (kubelet, pkg/fieldpath.FormatMap).
func ParsePodinfo(b []byte) (map[string]string, error) {
	out := map[string]string{}
	sc := bufio.NewScanner(bytes.NewReader(b))
	// An object's annotations are at most 256 KiB together.
	sc.Buffer(nil, 1<<20)

	for n := 1; sc.Scan(); n++ {
		line := strings.TrimSpace(sc.Text())
		if line == "" {
			continue
		}

		key, quoted, ok := strings.Cut(line, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("cannot read line %d: want key=\"value\"", n)
		}

		value, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, fmt.Errorf("cannot read the value of %q on line %d: %w", key, n, err)
		}

		out[key] = value
	}

	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("cannot read: %w", err)
	}

	return out, nil
}

func readPodinfo(file string) (map[string]string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the pod's annotations: %w", err)
	}

	return ParsePodinfo(b)
}
