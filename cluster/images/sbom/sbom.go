// Package sbom says what a program is made of, as the program itself does: from the modules that the Go compiler has written into
// it. It knows nothing of images.
package sbom

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
)

const (
	// home is where the product's sources are, and what the names of its documents begin with.
	home = "https://github.com/southwest-ai/agent-operator"
	// unknown is SPDX' word for what nobody has looked into.
	unknown = "NOASSERTION"
)

// Of returns the bill of materials of a program, as SPDX 2.3 in JSON. The same program has the same one.
func Of(name, version, binary string, created time.Time) ([]byte, error) {
	content, err := os.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("cannot read a program: %w", err)
	}
	info, err := buildinfo.Read(bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("cannot read what %s is made of: %w", binary, err)
	}
	sum := sha256.Sum256(content)
	digest := hex.EncodeToString(sum[:])

	program := &v2_3.Package{
		PackageName: name, PackageSPDXIdentifier: "program", PackageVersion: version,
		PackageDownloadLocation: home, PackageLicenseConcluded: "Apache-2.0", PackageLicenseDeclared: "Apache-2.0",
		PackageCopyrightText:  unknown,
		PackageSourceInfo:     info.Main.Path + ", " + info.Path,
		PackageChecksums:      []common.Checksum{{Algorithm: common.SHA256, Value: digest}},
		PrimaryPackagePurpose: "APPLICATION",
	}
	doc := &v2_3.Document{
		SPDXVersion: v2_3.Version, DataLicense: v2_3.DataLicense, SPDXIdentifier: "DOCUMENT",
		DocumentName:      name + " " + version,
		DocumentNamespace: home + "/sbom/" + name + "/" + digest,
		CreationInfo: &v2_3.CreationInfo{
			Created:  created.UTC().Format(time.RFC3339),
			Creators: []common.Creator{{CreatorType: "Tool", Creator: "github.com/southwest-ai/agent-operator/cluster/images"}},
		},
		Packages:      []*v2_3.Package{program},
		Relationships: []*v2_3.Relationship{relation("DOCUMENT", common.TypeRelationshipDescribe, "program")},
	}

	modules := append([]*debug.Module{{Path: "stdlib", Version: strings.TrimPrefix(info.GoVersion, "go")}}, info.Deps...)
	for i, m := range modules {
		p := module(i, m)
		doc.Packages = append(doc.Packages, p)
		doc.Relationships = append(doc.Relationships, relation("program", common.TypeRelationshipDependsOn, p.PackageSPDXIdentifier))
	}

	var out bytes.Buffer
	if err := json.Write(doc, &out, json.Indent("  ")); err != nil {
		return nil, fmt.Errorf("cannot write the bill of materials of %s: %w", name, err)
	}
	return out.Bytes(), nil
}

// module describes a module by what was compiled, which a replacement is.
func module(i int, m *debug.Module) *v2_3.Package {
	if m.Replace != nil {
		m = m.Replace
	}
	p := &v2_3.Package{
		PackageName: m.Path, PackageVersion: m.Version, PackageSPDXIdentifier: common.ElementID(fmt.Sprintf("module-%d", i)),
		PackageDownloadLocation: unknown, PackageLicenseConcluded: unknown, PackageLicenseDeclared: unknown, PackageCopyrightText: unknown,
		PackageExternalReferences: []*v2_3.PackageExternalReference{{
			Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL,
			Locator: "pkg:golang/" + m.Path + "@" + m.Version,
		}},
	}
	if m.Sum != "" {
		p.PackageComment = "go.sum " + m.Sum
	}
	return p
}

func relation(from common.ElementID, how string, to common.ElementID) *v2_3.Relationship {
	return &v2_3.Relationship{
		RefA: common.MakeDocElementID("", string(from)), Relationship: how, RefB: common.MakeDocElementID("", string(to)),
	}
}
