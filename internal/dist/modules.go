package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// module is a module that is linked into the program; Go itself is one, named std.
type module struct {
	path, version string
	licenses      []string // paths of the files with its licence texts
}

var licenseFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)([.-].*)?$`)

// linkedModules returns the modules of the program for the system that env names, by path.
func linkedModules(env []string) ([]module, error) {
	const format = "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Version}}\t{{.Dir}}{{end}}{{else}}std\t\t{{$.Root}}{{end}}\t{{.Dir}}"
	list, err := output("", append(env, "CGO_ENABLED=0", "GOFLAGS="), "go", "list", "-deps", "-f", format, "./cmd/segsync")
	if err != nil {
		return nil, err
	}
	version, err := output("", nil, "go", "env", "GOVERSION")
	if err != nil {
		return nil, err
	}
	var modules []module
	for line := range strings.Lines(string(list)) {
		part := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(part) != 4 { // a package of this module
			continue
		}
		m := module{path: part[0], version: part[1]}
		if m.path == "std" {
			m.version = strings.TrimPrefix(strings.TrimSpace(string(version)), "go")
		}
		at := slices.IndexFunc(modules, func(other module) bool { return other.path == m.path })
		if at < 0 {
			at, modules = len(modules), append(modules, m)
		}
		if err := modules[at].addLicenses(part[2], part[3]); err != nil {
			return nil, err
		}
	}
	for _, m := range modules {
		if len(m.licenses) == 0 {
			return nil, fmt.Errorf("%s %s has no licence text", m.path, m.version)
		}
	}
	slices.SortFunc(modules, func(a, b module) int { return strings.Compare(a.path, b.path) })
	return modules, nil
}

// addLicenses adds the licence texts of a package: those beside it, and in the directories above
// it up to the root of its module.
func (m *module) addLicenses(root, dir string) error {
	for ; ; dir = filepath.Dir(dir) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			path := filepath.Join(dir, entry.Name())
			if entry.Type().IsRegular() && licenseFile.MatchString(entry.Name()) && !slices.Contains(m.licenses, path) {
				m.licenses = append(m.licenses, path)
			}
		}
		if dir == root || dir == filepath.Dir(dir) {
			slices.Sort(m.licenses)
			return nil
		}
	}
}

// notices returns the licence texts of the modules.
func notices(modules []module) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("segsync has no licence yet. It contains the modules below, under these licences. std is Go's standard library.\n")
	for _, m := range modules {
		fmt.Fprintf(&b, "\n%s\n%s %s\n", strings.Repeat("=", 80), m.path, m.version)
		for _, path := range m.licenses {
			text, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			fmt.Fprintf(&b, "%s\n\n%s\n", strings.Repeat("-", 80), bytes.TrimSpace(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))))
		}
	}
	return b.Bytes(), nil
}

// writeNotices writes the notices of the program for the system of GOOS and GOARCH.
func writeNotices(path string) error {
	modules, err := linkedModules(nil)
	if err != nil {
		return err
	}
	text, err := notices(modules)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, fs.FileMode(0o644))
}

// bom returns a list of what the program for one system is made of, in CycloneDX's format.
//
// https://cyclonedx.org/docs/1.6/json/
func (r *release) bom(t target, modules []module) ([]byte, error) {
	type property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	type component struct {
		Type       string     `json:"type"`
		Ref        string     `json:"bom-ref"`
		Name       string     `json:"name"`
		Version    string     `json:"version"`
		Scope      string     `json:"scope,omitempty"`
		PURL       string     `json:"purl"`
		Properties []property `json:"properties,omitempty"`
	}
	type dependency struct {
		Ref       string   `json:"ref"`
		DependsOn []string `json:"dependsOn"`
	}
	purl := func(path, version string) string {
		return "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
	}
	self := component{
		Type: "application", Name: "segsync", Version: r.version, PURL: purl("segsync", r.version),
		Properties: []property{{"segsync:os", t.os}, {"segsync:arch", t.arch}, {"segsync:commit", r.commit}},
	}
	self.Ref = self.PURL
	contains := dependency{Ref: self.Ref}
	var components []component
	for _, m := range modules {
		c := component{Type: "library", Name: m.path, Version: m.version, Scope: "required", PURL: purl(m.path, m.version)}
		c.Ref = c.PURL
		components, contains.DependsOn = append(components, c), append(contains.DependsOn, c.Ref)
	}
	text, err := json.MarshalIndent(map[string]any{
		"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
		"metadata":     map[string]any{"timestamp": r.date.Format(time.RFC3339), "component": self},
		"components":   components,
		"dependencies": []dependency{contains},
	}, "", "  ")
	return append(text, '\n'), err
}
