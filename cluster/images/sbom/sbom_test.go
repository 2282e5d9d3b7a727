package sbom

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdxlib"
)

// The builder of images is made of what its bill says, which is read back and judged by the library of SPDX itself.
func TestOf(t *testing.T) {
	self := filepath.Join(t.TempDir(), "images")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-s -w", "-o", self, "..").CombinedOutput(); err != nil {
		t.Fatalf("cannot compile: %v: %s", err, out)
	}
	b, err := Of("self", "v1.2.3", self, time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	again, err := Of("self", "v1.2.3", self, time.Unix(0, 0))
	if err != nil || !bytes.Equal(b, again) {
		t.Errorf("the same program has another bill: %v", err)
	}

	doc, err := json.Read(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if err := spdxlib.ValidateDocument(doc); err != nil {
		t.Error(err)
	}
	described, err := spdxlib.GetDescribedPackageIDs(doc)
	if err != nil || len(described) != 1 || described[0] != "program" {
		t.Errorf("it describes %v, %v", described, err)
	}

	made := map[string]string{}
	for _, p := range doc.Packages {
		made[p.PackageName] = p.PackageVersion
		if p.PackageSPDXIdentifier == "program" && (len(p.PackageChecksums) != 1 || p.PackageChecksums[0].Algorithm != common.SHA256) {
			t.Errorf("the program's digest is %v", p.PackageChecksums)
		}
	}
	want := map[string]string{"self": "v1.2.3", "stdlib": strings.TrimPrefix(runtime.Version(), "go"), "github.com/spdx/tools-golang": "v0.5.7"}
	for name, version := range want {
		if made[name] != version {
			t.Errorf("it is made of %s %q, want %q", name, made[name], version)
		}
	}
	if len(doc.Relationships) != len(doc.Packages) {
		t.Errorf("%d relations of %d packages", len(doc.Relationships), len(doc.Packages))
	}
}

func TestOfNothing(t *testing.T) {
	if _, err := Of("none", "v1", t.TempDir()+"/absent", time.Unix(0, 0)); err == nil {
		t.Error("want an error for a program that is not there")
	}
	if _, err := Of("none", "v1", "sbom_test.go", time.Unix(0, 0)); err == nil {
		t.Error("want an error for what is no program")
	}
}
