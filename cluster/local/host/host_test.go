package host

import (
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRemoval(t *testing.T) {
	cases := map[string]struct {
		reason string
		save   string
		want   string
	}{
		"Mixed": {
			reason: "Only our chains and the rules that lead to them go; a firewall's own rules stay.",
			save: `# Generated
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [3:4]
:DOCKER-USER - [0:0]
:KUBE-FIREWALL - [0:0]
:AIDISPATCHER-FORWARD - [0:0]
-A INPUT -j KUBE-FIREWALL
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A FORWARD -j AIDISPATCHER-FORWARD
-A FORWARD -m comment --comment "not -j KUBE- anything" -j DOCKER-USER
-A KUBE-FIREWALL -s 127.0.0.0/8 -j DROP
-A AIDISPATCHER-FORWARD -s 10.244.0.0/16 -j ACCEPT
COMMIT
*nat
:POSTROUTING ACCEPT [0:0]
COMMIT
`,
			want: `*filter
:KUBE-FIREWALL - [0:0]
:AIDISPATCHER-FORWARD - [0:0]
-D INPUT -j KUBE-FIREWALL
-D FORWARD -j AIDISPATCHER-FORWARD
-X KUBE-FIREWALL
-X AIDISPATCHER-FORWARD
COMMIT
`,
		},
		"NothingOfOurs": {
			reason: "Where nothing is ours nothing is run.",
			save:   "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j ACCEPT\nCOMMIT\n",
		},
		"ChainsReferToEachOther": {
			reason: "Chains are emptied, by being named, before any is deleted.",
			save:   "*nat\n:KUBE-A - [0:0]\n:KUBE-B - [0:0]\n-A KUBE-A -j KUBE-B\nCOMMIT\n",
			want:   "*nat\n:KUBE-A - [0:0]\n:KUBE-B - [0:0]\n-X KUBE-A\n-X KUBE-B\nCOMMIT\n",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, removal(tc.save)); diff != "" {
				t.Errorf("\n%s\nremoval(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestNameservers(t *testing.T) {
	cases := map[string]struct {
		reason string
		conf   string
		want   []string
	}{
		"Plain":       {reason: "Both families.", conf: "search x\nnameserver 192.0.2.1\nnameserver fd00::1\n", want: []string{"192.0.2.1", "fd00::1"}},
		"StubOnly":    {reason: "A pod's loopback is not the machine's.", conf: "nameserver 127.0.0.53\noptions edns0\n"},
		"Commented":   {reason: "Comments are none.", conf: "# nameserver 192.0.2.1\n;nameserver 192.0.2.2\n"},
		"NotAnIP":     {reason: "Nonsense is skipped.", conf: "nameserver dns.example\nnameserver\n"},
		"LinkLocalV6": {reason: "A zone means nothing in a pod's namespace.", conf: "nameserver fe80::1%eth0\n"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, nameservers(tc.conf)); diff != "" {
				t.Errorf("\n%s\nnameservers(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestHasCapability(t *testing.T) {
	cases := map[string]struct {
		reason string
		status string
		want   bool
	}{
		"All":     {reason: "Every bit is set.", status: "Name:\tx\nCapEff:\t000001ffffffffff\n", want: true},
		"Without": {reason: "All but CAP_SYS_RESOURCE.", status: "CapPrm:\t000001ffffffffff\nCapEff:\t000001fffeffffff\n"},
		"Absent":  {reason: "What is not known is not had.", status: "Name:\tx\n"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := hasCapability(tc.status, capSysResource); got != tc.want {
				t.Errorf("\n%s\nhasCapability(...): want %t, got %t", tc.reason, tc.want, got)
			}
		})
	}
}

func TestShimsAndDescendants(t *testing.T) {
	procs := []process{
		{pid: 10, ppid: 1, argv: []string{"/usr/bin/containerd-shim-runc-v2", "-namespace", "k8s.io", "-address", "/ours.sock"}},
		{pid: 11, ppid: 10, argv: []string{"/pause"}},
		{pid: 12, ppid: 11, argv: []string{"/child"}},
		{pid: 20, ppid: 1, argv: []string{"/usr/bin/containerd-shim-runc-v2", "-namespace", "moby", "-address", "/docker.sock"}},
		{pid: 21, ppid: 20, argv: []string{"/theirs"}},
		{pid: 30, ppid: 1, argv: []string{"grep", "-address", "/ours.sock"}},
		{pid: 40, ppid: 1, argv: []string{"containerd-shim", "-address"}},
	}
	shims := shimsOf(procs, "/ours.sock")
	if diff := cmp.Diff([]int{10}, shims); diff != "" {
		t.Errorf("shimsOf(...): -want, +got:\n%s", diff)
	}
	if diff := cmp.Diff([]int{12, 11}, descendants(procs, shims)); diff != "" {
		t.Errorf("descendants(...): -want, +got, children first:\n%s", diff)
	}
}

func TestMountPoints(t *testing.T) {
	const mountinfo = `1 0 8:1 / / rw - ext4 /dev/a rw
2 1 0:5 / /var/lib/x rw - tmpfs t rw
3 2 0:6 / /var/lib/x/run/netns/cni-1 rw - nsfs n rw
4 1 0:7 / /var/lib/xy rw - tmpfs t rw
5 2 0:8 / /var/lib/x/a\040b rw - tmpfs t rw
`
	want := []string{"/var/lib/x", "/var/lib/x/run/netns/cni-1", "/var/lib/x/a b"}
	if diff := cmp.Diff(want, mountPoints(mountinfo, "/var/lib/x")); diff != "" {
		t.Errorf("mountPoints(...): -want, +got:\n%s", diff)
	}
}

func TestPortFreeWithin(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if PortFreeWithin(addr, 0) {
		t.Errorf("PortFreeWithin(%s): want false while it is listened on", addr)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if !PortFreeWithin(addr, 0) {
		t.Errorf("PortFreeWithin(%s): want true once it is not", addr)
	}
}
