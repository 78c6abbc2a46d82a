// Dist builds what is released into a directory: static binaries for six systems, in
// archives with the man pages, completions and the licence texts of all that is linked in;
// beside each archive a list of these modules (CycloneDX); a .deb and an .rpm for two of
// them; and checksums.txt. The same source and the same Go give the same bytes, wherever
// and whenever it runs.
//
//	go run ./internal/dist [-out DIR] [-only OS/ARCH]
//	go run ./internal/dist -notices FILE
//
// It must run in the root of the module. The environment may say what is otherwise taken
// from git: VERSION, COMMIT, and SOURCE_DATE_EPOCH, the date of all files.
package main

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// nfpm makes the packages. Later versions need modules that not every proxy has.
const nfpm = "github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2"

// noticesName is the file with the licence texts, in archives and packages.
const noticesName = "THIRD_PARTY_NOTICES"

var targets = []target{
	{"linux", "amd64"}, {"linux", "arm64"},
	{"darwin", "amd64"}, {"darwin", "arm64"},
	{"windows", "amd64"}, {"windows", "arm64"},
}

type target struct{ os, arch string }

func (t target) binary() string {
	if t.os == "windows" {
		return "segsync.exe"
	}
	return "segsync"
}

func main() {
	out := flag.String("out", "dist", "`directory` for what is built; what an earlier run left there is deleted")
	only := flag.String("only", "", "one `system` to build for, such as linux/amd64")
	noticesFile := flag.String("notices", "", "write the licence texts into a `file`, and build nothing")
	flag.Parse()
	var err error
	switch {
	case flag.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flag.Arg(0))
	case *noticesFile != "":
		err = writeNotices(*noticesFile)
	default:
		err = run(*out, *only)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "dist: error:", err)
		os.Exit(1)
	}
}

func run(out, only string) error {
	builds := slices.DeleteFunc(slices.Clone(targets), func(t target) bool { return only != "" && t.os+"/"+t.arch != only })
	if len(builds) == 0 {
		return fmt.Errorf("there is no release for %s", only)
	}
	r, err := newRelease(out)
	if err != nil {
		return err
	}
	if err := r.clear(); err != nil {
		return err
	}
	defer os.RemoveAll(r.stage)
	fmt.Printf("segsync %s of %s\n", r.version, r.date.Format(time.RFC3339))
	if err := r.stageCommon(); err != nil {
		return err
	}
	for _, t := range builds {
		if err := r.build(t); err != nil {
			return fmt.Errorf("%s/%s: %w", t.os, t.arch, err)
		}
	}
	return r.writeChecksums()
}

// release is one release in the making. Its paths are absolute.
type release struct {
	version string // as git describes it: v1.2.3, v1.2.3-4-gabcdef0, or abcdef0
	commit  string
	date    time.Time
	out     string
	stage   string // in out, for what the archives and packages are made of
}

func newRelease(out string) (*release, error) {
	version, err := fromEnvOrGit("VERSION", "describe", "--tags", "--always", "--dirty")
	if err != nil {
		return nil, err
	}
	if !regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.+~_-]*$`).MatchString(version) {
		return nil, fmt.Errorf("VERSION is %q: it must be of letters, digits and .+~_-", version)
	}
	commit, err := fromEnvOrGit("COMMIT", "rev-parse", "HEAD")
	if err != nil {
		return nil, err
	}
	epoch, err := fromEnvOrGit("SOURCE_DATE_EPOCH", "log", "-1", "--format=%ct")
	if err != nil {
		return nil, err
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("SOURCE_DATE_EPOCH is %q: it must be a number of seconds", epoch)
	}
	out, err = filepath.Abs(out)
	if err != nil {
		return nil, err
	}
	return &release{version, commit, time.Unix(seconds, 0).UTC(), out, filepath.Join(out, "stage")}, nil
}

func fromEnvOrGit(name string, args ...string) (string, error) {
	if v := os.Getenv(name); v != "" {
		return v, nil
	}
	answer, err := exec.Command("git", args...).Output()
	if err != nil {
		return "", fmt.Errorf("%s is not set, and git %s: %w", name, args[0], err)
	}
	return strings.TrimSpace(string(answer)), nil
}

// clear empties the output directory, unless it holds what no release left there.
func (r *release) clear() error {
	old, err := os.ReadDir(r.out)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, file := range old {
		if name := file.Name(); !strings.HasPrefix(name, "segsync") && name != "checksums.txt" && name != "stage" {
			return fmt.Errorf("%s holds %s, which no release left there: give another -out", r.out, name)
		}
	}
	for _, file := range old {
		if err := os.RemoveAll(filepath.Join(r.out, file.Name())); err != nil {
			return err
		}
	}
	return os.MkdirAll(r.stage, 0o755)
}

// stageCommon stages what is the same for all systems.
func (r *release) stageCommon() error {
	for _, c := range []struct{ from, to string }{
		{".env-example", "common/.env-example"},
		{"deploy/package/nfpm.yaml", "package/nfpm.yaml"},
		{"deploy/package/before-remove.sh", "package/before-remove.sh"},
		{"deploy/package/reload-systemd.sh", "package/reload-systemd.sh"},
	} {
		if err := r.copy(c.from, c.to); err != nil {
			return err
		}
	}
	// The documents link to each other and to the files of deploy/.
	documents := []string{"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE",
		"deploy/Dockerfile", "deploy/crontab", "deploy/cronjob.yaml", "deploy/segsync.service", "deploy/segsync.timer"}
	for _, pattern := range []string{"docs/*", "deploy/monitoring/*"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		documents = append(documents, names...)
	}
	for _, name := range documents {
		err := cmp.Or(r.copy(name, "common/"+name), r.copy(name, "doc/"+name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return r.stageGenerated()
}

// stageGenerated stages the man pages and the completions, which the program writes.
func (r *release) stageGenerated() error {
	program := filepath.Join(r.stage, "generator")
	if err := r.compile(program, nil, "-tags", "mangen"); err != nil {
		return err
	}
	pages := filepath.Join(r.stage, "pages")
	if err := os.Mkdir(pages, 0o755); err != nil {
		return err
	}
	if _, err := r.output("", nil, program, "man", pages); err != nil {
		return err
	}
	for shell, file := range map[string]string{
		"bash": "segsync.bash", "zsh": "_segsync", "fish": "segsync.fish", "powershell": "segsync.ps1",
	} {
		script, err := r.output("", nil, program, "completion", shell)
		if err != nil {
			return err
		}
		if err := r.write("common/completions/"+file, script); err != nil {
			return err
		}
	}
	names, err := filepath.Glob(filepath.Join(pages, "*.1"))
	if err != nil {
		return err
	}
	for _, name := range names {
		page, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		base := filepath.Base(name)
		if err := cmp.Or(r.write("common/man/"+base, page), r.write("man/"+base+".gz", compress(page))); err != nil {
			return err
		}
	}
	return nil
}

// build makes everything for one system.
func (r *release) build(t target) error {
	fmt.Printf("%s/%s\n", t.os, t.arch)
	binary := filepath.Join(r.stage, t.binary())
	env := []string{"GOOS=" + t.os, "GOARCH=" + t.arch, "GOAMD64=v1", "GOARM64=v8.0"}
	if err := r.compile(binary, env); err != nil {
		return err
	}
	defer os.Remove(binary)
	name := fmt.Sprintf("segsync_%s_%s_%s", strings.TrimPrefix(r.version, "v"), t.os, t.arch)
	if err := r.describe(name, t, env); err != nil {
		return err
	}
	files, err := r.archived(name, t)
	if err != nil {
		return err
	}
	if t.os == "windows" {
		return writeZip(filepath.Join(r.out, name+".zip"), files, r.date)
	}
	if err := writeTar(filepath.Join(r.out, name+".tar.gz"), files, r.date); err != nil || t.os != "linux" {
		return err
	}
	return r.pack(t)
}

// describe stages the licence texts of the program for one system, and writes the list of its modules.
func (r *release) describe(name string, t target, env []string) error {
	modules, err := linkedModules(env)
	if err != nil {
		return err
	}
	text, err := notices(modules)
	if err != nil {
		return err
	}
	list, err := r.bom(t, modules)
	if err != nil {
		return err
	}
	return cmp.Or(r.write("common/"+noticesName, text), os.WriteFile(filepath.Join(r.out, name+".cdx.json"), list, 0o644))
}

// archived returns the files of the archive for one system, in order.
func (r *release) archived(top string, t target) ([]file, error) {
	files := []file{{filepath.Join(r.stage, t.binary()), top + "/" + t.binary(), 0o755}}
	common := filepath.Join(r.stage, "common")
	err := filepath.WalkDir(common, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(common, path)
		name = filepath.ToSlash(name)
		files = append(files, file{path, top + "/" + name, 0o644})
		return err
	})
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	return files, err
}

// pack makes the packages of one system, of the files that deploy/package/nfpm.yaml names.
func (r *release) pack(t target) error {
	env := []string{"PACKAGE_ARCH=" + t.arch, "PACKAGE_VERSION=" + packageVersion(r.version, r.date)}
	for _, packager := range []string{"deb", "rpm"} {
		if _, err := r.output(r.stage, env, "go", "run", nfpm, "package", "-f", "package/nfpm.yaml", "-p", packager, "-t", r.out); err != nil {
			return err
		}
	}
	return nil
}

// packageVersion makes of a version of git's one that dpkg and rpm sort rightly: a
// release candidate before the release, a later commit after it, and one that has no tag
// to be measured from before everything.
func packageVersion(version string, date time.Time) string {
	version, dirty := strings.CutSuffix(version, "-dirty")
	number := regexp.MustCompile(`^v?(\d+(?:\.\d+)+)(?:-([a-z][0-9a-z.]*?))?(?:-(\d+)-(g[0-9a-f]+))?$`).FindStringSubmatch(version)
	packaged := ""
	if number == nil {
		packaged = "0~" + date.Format("20060102150405") + "." + strings.NewReplacer("-", ".", "_", ".").Replace(version)
	} else {
		packaged = number[1]
		if number[2] != "" {
			packaged += "~" + number[2]
		}
		if number[3] != "" {
			packaged += "+" + number[3] + "." + number[4]
		}
	}
	if dirty {
		packaged += "+dirty"
	}
	return packaged
}

func (r *release) writeChecksums() error {
	entries, err := os.ReadDir(r.out) // sorted
	if err != nil {
		return err
	}
	var sums bytes.Buffer
	for _, entry := range entries {
		if entry.IsDir() {
			continue
		}
		data, err := os.ReadFile(filepath.Join(r.out, entry.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(data), entry.Name())
	}
	return os.WriteFile(filepath.Join(r.out, "checksums.txt"), sums.Bytes(), 0o644)
}

// compile builds the program for the system that env names, else for this one.
func (r *release) compile(binary string, env []string, flags ...string) error {
	linked := fmt.Sprintf("-s -w -X main.version=%s -X main.commit=%s -X main.date=%s", r.version, r.commit, r.date.Format(time.RFC3339))
	args := append([]string{"build", "-trimpath", "-buildvcs=false", "-tags", "nethttpomithttp2", "-ldflags", linked, "-o", binary}, flags...)
	_, err := r.output("", append(env, "CGO_ENABLED=0", "GOFLAGS="), "go", append(args, "./cmd/segsync")...)
	return err
}

// output runs a program with the date of the release.
func (r *release) output(dir string, env []string, program string, args ...string) ([]byte, error) {
	return output(dir, append(env, "TZ=UTC", "SOURCE_DATE_EPOCH="+strconv.FormatInt(r.date.Unix(), 10)), program, args...)
}

// output runs a program in dir with this environment beside the one that is here, and
// returns what it prints.
func output(dir string, env []string, program string, args ...string) ([]byte, error) {
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	answer, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s%s", filepath.Base(program), strings.Join(args, " "), err, answer, stderr.Bytes())
	}
	return answer, nil
}

func (r *release) copy(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return r.write(to, data)
}

// write writes a file of the stage, and the directories above it, with the date of the
// release and the same modes under any umask.
func (r *release) write(name string, data []byte) error {
	path := filepath.Join(r.stage, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	for dir := filepath.Dir(path); dir != r.stage; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return err
	}
	return cmp.Or(os.Chmod(path, 0o644), os.Chtimes(path, r.date, r.date))
}

func compress(data []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	w.Write(data)
	w.Close()
	return b.Bytes()
}
