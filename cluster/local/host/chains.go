package host

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
)

// ours are the beginnings of the names of chains that the cluster makes. A machine is no node of two clusters, so those
// of kube-proxy are ours too.
var ours = []string{"KUBE-", "AIDISPATCHER-"}

// RemoveChains removes the cluster's iptables chains and the rules that lead to them, and nothing else.
func RemoveChains(ctx context.Context) error {
	for _, family := range []string{"iptables", "ip6tables"} {
		save, err := exec.CommandContext(ctx, family+"-save").Output()
		if err != nil {
			return fmt.Errorf("cannot list the rules of %s: %w", family, err)
		}
		restore := removal(string(save))
		if restore == "" {
			continue
		}
		cmd := exec.CommandContext(ctx, family+"-restore", "--noflush", "--wait", "10")
		cmd.Stdin = strings.NewReader(restore)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("cannot remove the cluster's rules from %s: %w: %s", family, err, stderr.String())
		}
	}
	return nil
}

// removal turns the output of iptables-save into input for iptables-restore --noflush that removes our chains: rules in
// others' chains that jump to ours first, then the chains themselves, which naming them there empties.
func removal(save string) string {
	var out strings.Builder
	var table string
	var head, jumps, drops []string
	for line := range strings.Lines(save) {
		line = strings.TrimSpace(line)
		fields := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "*"):
			table, head, jumps, drops = line, nil, nil, nil
		case strings.HasPrefix(line, ":") && isOurs(fields[0][1:]):
			head = append(head, fields[0]+" - [0:0]")
			drops = append(drops, "-X "+fields[0][1:])
		case strings.HasPrefix(line, "-A ") && !isOurs(fields[1]) && jumpsToOurs(line):
			jumps = append(jumps, "-D "+line[len("-A "):])
		case line == "COMMIT" && len(drops) > 0:
			for _, l := range append(append(append([]string{table}, head...), append(jumps, drops...)...), line) {
				fmt.Fprintln(&out, l)
			}
		}
	}
	return out.String()
}

func isOurs(chain string) bool {
	for _, prefix := range ours {
		if strings.HasPrefix(chain, prefix) {
			return true
		}
	}
	return false
}

// quoted is a comment of a rule, which may hold anything.
var quoted = regexp.MustCompile(`"(\\.|[^"\\])*"`)

func jumpsToOurs(line string) bool {
	rule := strings.Fields(quoted.ReplaceAllString(line, `""`))
	for i := range len(rule) - 1 {
		if (rule[i] == "-j" || rule[i] == "-g") && isOurs(rule[i+1]) {
			return true
		}
	}
	return false
}
