//go:build !windows

// Package deploy_test checks the files beside it against the program that they run.
package deploy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"segsync/internal/sandbox"
	"segsync/internal/sandboxtest"
)

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// only returns the single match of the pattern's group.
func only(t *testing.T, pattern, text string) string {
	t.Helper()
	found := regexp.MustCompile(`(?m)`+pattern).FindAllStringSubmatch(text, -1)
	if len(found) != 1 {
		t.Fatalf("%q matches %d times, not once", pattern, len(found))
	}
	return found[0][1]
}

// manifest is what the tests read of a Kubernetes object.
type manifest struct {
	Kind     string
	Metadata struct{ Name string }
	Spec     struct {
		Schedule                string
		ConcurrencyPolicy       string `yaml:"concurrencyPolicy"`
		StartingDeadlineSeconds int    `yaml:"startingDeadlineSeconds"`
		JobTemplate             struct {
			Spec job
		} `yaml:"jobTemplate"`
	}
}

type job struct {
	ActiveDeadlineSeconds int `yaml:"activeDeadlineSeconds"`
	PodFailurePolicy      struct {
		Rules []struct {
			Action      string
			OnExitCodes struct {
				ContainerName string `yaml:"containerName"`
				Operator      string
				Values        []int
			} `yaml:"onExitCodes"`
		}
	} `yaml:"podFailurePolicy"`
	Template struct{ Spec pod }
}

type pod struct {
	RestartPolicy                 string `yaml:"restartPolicy"`
	TerminationGracePeriodSeconds int    `yaml:"terminationGracePeriodSeconds"`
	SecurityContext               struct {
		RunAsNonRoot   bool                  `yaml:"runAsNonRoot"`
		RunAsUser      int                   `yaml:"runAsUser"`
		SeccompProfile struct{ Type string } `yaml:"seccompProfile"`
	} `yaml:"securityContext"`
	Containers []container
	Volumes    []struct {
		Name                  string
		PersistentVolumeClaim struct {
			ClaimName string `yaml:"claimName"`
		} `yaml:"persistentVolumeClaim"`
	}
}

type container struct {
	Name            string
	Args            []string
	SecurityContext struct {
		AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
		ReadOnlyRootFilesystem   bool  `yaml:"readOnlyRootFilesystem"`
		Capabilities             struct{ Drop []string }
	} `yaml:"securityContext"`
	VolumeMounts []struct {
		Name      string
		MountPath string `yaml:"mountPath"`
	} `yaml:"volumeMounts"`
}

// readManifests returns the volume claim and the CronJob.
func readManifests(t *testing.T) (claim, cron manifest) {
	t.Helper()
	var all []manifest
	for d := yaml.NewDecoder(strings.NewReader(read(t, "cronjob.yaml"))); ; {
		var m manifest
		err := d.Decode(&m)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	if len(all) != 2 || all[0].Kind != "PersistentVolumeClaim" || all[1].Kind != "CronJob" {
		t.Fatalf("cronjob.yaml is not a claim and a CronJob: %+v", all)
	}
	if n := len(all[1].Spec.JobTemplate.Spec.Template.Spec.Containers); n != 1 {
		t.Fatalf("cronjob.yaml has %d containers", n)
	}
	return all[0], all[1]
}

func TestCronJob(t *testing.T) {
	claim, cron := readManifests(t)
	job := cron.Spec.JobTemplate.Spec
	pod := job.Template.Spec
	container := pod.Containers[0]
	inContainer := container.SecurityContext
	must := func(ok bool, wrong string) {
		t.Helper()
		if !ok {
			t.Error(wrong)
		}
	}
	must(cron.Spec.ConcurrencyPolicy == "Forbid", "two imports may run at once")
	day := 24 * 60 * 60
	must(job.ActiveDeadlineSeconds > 0 && job.ActiveDeadlineSeconds+cron.Spec.StartingDeadlineSeconds < day, "a night may block the next one")
	must(pod.RestartPolicy == "Never", "podFailurePolicy needs restartPolicy Never")
	must(pod.TerminationGracePeriodSeconds >= 60, "too little time to stop")
	must(pod.SecurityContext.RunAsNonRoot && pod.SecurityContext.RunAsUser > 0, "it may run as root")
	must(pod.SecurityContext.SeccompProfile.Type == "RuntimeDefault", "it has no seccomp profile")
	must(inContainer.ReadOnlyRootFilesystem, "the root file system is writable")
	must(inContainer.AllowPrivilegeEscalation != nil && !*inContainer.AllowPrivilegeEscalation, "it may gain privileges")
	must(slices.Contains(inContainer.Capabilities.Drop, "ALL"), "it has capabilities")

	var ending []int
	for _, rule := range job.PodFailurePolicy.Rules {
		if on := rule.OnExitCodes; rule.Action == "FailJob" && on.Operator == "In" && on.ContainerName == container.Name {
			ending = append(ending, on.Values...)
		}
	}
	if diff := cmp.Diff([]int{2, 3, 11}, ending); diff != "" {
		t.Errorf("exit codes that are not tried again, in rising order (-want +got):\n%s", diff)
	}

	must(len(container.VolumeMounts) == 1 && len(pod.Volumes) == 1, "there is not one volume")
	dir := container.Args[slices.Index(container.Args, "--dir")+1]
	must(container.VolumeMounts[0].MountPath == dir &&
		container.VolumeMounts[0].Name == pod.Volumes[0].Name &&
		pod.Volumes[0].PersistentVolumeClaim.ClaimName == claim.Metadata.Name, "--dir is not in the volume of the claim")
}

// nightly is the command of every schedule, without --dir and what concerns output.
const nightly = "import --resume --since last"

// schedules returns the arguments of segsync by the file that has them.
func schedules(t *testing.T) map[string]string {
	t.Helper()
	_, cron := readManifests(t)
	all := map[string]string{
		"crontab":         only(t, `^\d+ \d+ \* \* \* timeout --foreground --preserve-status -k 5m 20h segsync (.*)$`, read(t, "crontab")),
		"segsync.service": only(t, `^ExecStart=/usr/bin/segsync (.*)$`, read(t, "segsync.service")),
		"cronjob.yaml":    strings.Join(cron.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Args, " "),
		"Dockerfile":      only(t, `^#     (import .*)$`, read(t, "Dockerfile")),
		"unattended.md":   only(t, "every night:\n\n```sh\nsegsync (.*)$", read(t, "../docs/unattended.md")),
	}
	for _, name := range []string{"README.md", "docs/unattended.md"} {
		crontab := regexp.MustCompile(`(?m)^\d+ \d+ \* \* \* .*?\bsegsync (.*)$`)
		for i, m := range crontab.FindAllStringSubmatch(read(t, "../"+name), -1) {
			all[fmt.Sprintf("%s, crontab %d", name, i+1)] = m[1]
		}
	}
	return all
}

func TestSchedulesRunTheSameCommand(t *testing.T) {
	output := regexp.MustCompile(` (--dir \S+|-q|--log-format json|--non-interactive)`)
	for file, arguments := range schedules(t) {
		if got := output.ReplaceAllString(arguments, ""); got != nightly {
			t.Errorf("%s runs segsync %s, not %s", file, got, nightly)
		}
	}
}

// TestTheNightlyCommand runs each command of the schedules twice, and checks that the
// alerts, the dashboard and the documents name metrics that the program writes.
func TestTheNightlyCommand(t *testing.T) {
	program := filepath.Join(t.TempDir(), "segsync")
	if out, err := exec.Command("go", "build", "-o", program, "../cmd/segsync").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	world := sandboxtest.New(sandbox.Options{Profiles: 10, Plain: true})
	server := world.Listen(t)
	env := []string{"SEGMENT_RATE_LIMIT=100000"}
	for _, s := range world.Box.Settings(server.URL) {
		env = append(env, s.Name+"="+s.Value)
	}
	written := map[string]bool{}
	tried := map[string]bool{}
	for file, arguments := range schedules(t) {
		args := strings.Fields(arguments)
		if at := slices.Index(args, "--dir"); at >= 0 {
			args = slices.Delete(args, at, at+2)
		}
		command := strings.Join(args, " ")
		if tried[command] {
			continue
		}
		tried[command] = true
		dir := t.TempDir()
		args = append(args, "--dir", dir, "--metrics-file", filepath.Join(dir, "segsync.prom"))
		for range 2 {
			cmd := exec.Command(program, args...)
			cmd.Dir, cmd.Env = dir, env
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: segsync %s: %v\n%s", file, command, err, out)
			}
		}
		for _, m := range series.FindAllString(read(t, filepath.Join(dir, "segsync.prom")), -1) {
			written[m] = true
		}
	}
	for file, metrics := range namedMetrics(t) {
		if len(metrics) < 2 {
			t.Errorf("%s names hardly any metrics: %q", file, metrics)
		}
		for _, m := range metrics {
			if !written[m] {
				t.Errorf("%s: the program writes no metric %s; it writes %q", file, m, slices.Sorted(maps.Keys(written)))
			}
		}
	}
}

var series = regexp.MustCompile(`\bsegsync_[a-z_]+`)

// namedMetrics returns the metrics in the expressions of each file.
func namedMetrics(t *testing.T) map[string][]string {
	t.Helper()
	var rules struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	const ruleFile = "monitoring/segsync.rules.yml"
	if err := yaml.NewDecoder(strings.NewReader(read(t, ruleFile))).Decode(&rules); err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	const dashboardFile = "monitoring/grafana-dashboard.json"
	if err := json.NewDecoder(bytes.NewBufferString(read(t, dashboardFile))).Decode(&dashboard); err != nil {
		t.Fatal(err)
	}
	named := map[string][]string{}
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			named[ruleFile] = append(named[ruleFile], series.FindAllString(rule.Expr, -1)...)
		}
	}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			found := series.FindAllString(target.Expr, -1)
			if len(found) == 0 {
				t.Errorf("%s: the panel %q has no metric", dashboardFile, panel.Title)
			}
			named[dashboardFile] = append(named[dashboardFile], found...)
		}
	}
	named["docs/unattended.md"] = series.FindAllString(read(t, "../docs/unattended.md"), -1)
	return named
}

// TestDockerfile checks what can be checked without a container engine.
func TestDockerfile(t *testing.T) {
	text := read(t, "Dockerfile")
	if !regexp.MustCompile(`(?m)^FROM \S+:\S+@sha256:[0-9a-f]{64} AS build$`).MatchString(text) {
		t.Error("the base image is not pinned by tag and digest")
	}
	if user := only(t, `^USER (\S+)$`, text); !regexp.MustCompile(`^[1-9]\d*(:\d+)?$`).MatchString(user) {
		t.Errorf("USER is %s: runAsNonRoot needs a number above 0", user)
	}
	_, final, found := strings.Cut(text, "\nFROM scratch\n")
	if !found || strings.Contains(final, "\nFROM ") {
		t.Error("the last stage is not from scratch")
	}
	version := only(t, `^go (\d+\.\d+)`, read(t, "../go.mod"))
	if !strings.Contains(text, "FROM golang:"+version+".") {
		t.Errorf("go.mod asks for Go %s, and the image is built with another", version)
	}
	for _, m := range regexp.MustCompile(`(?m)^COPY ([^-].*) \S+$`).FindAllStringSubmatch(text, -1) {
		for _, source := range strings.Fields(m[1]) {
			if _, err := os.Stat(filepath.Join("..", source)); err != nil {
				t.Errorf("COPY %s: %v", m[1], err)
			}
		}
	}
}

// TestVersion checks that the image of the CronJob has the newest version of the changes.
func TestVersion(t *testing.T) {
	newest := regexp.MustCompile(`(?m)^## (\d+\.\d+\.\d+)`).FindStringSubmatch(read(t, "../CHANGELOG.md"))
	if newest == nil {
		t.Fatal("CHANGELOG.md has no version")
	}
	if image := only(t, `^ +image: registry\.example\.com/segsync:(\S+)$`, read(t, "cronjob.yaml")); image != newest[1] {
		t.Errorf("cronjob.yaml runs version %s, the newest in CHANGELOG.md is %s", image, newest[1])
	}
}

func TestActionsArePinned(t *testing.T) {
	files, err := filepath.Glob("../.github/workflows/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no workflows: %v", err)
	}
	for _, file := range files {
		for _, m := range regexp.MustCompile(`(?m)^.*\buses: *(.*)$`).FindAllStringSubmatch(read(t, file), -1) {
			if !regexp.MustCompile(`^\S+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`).MatchString(m[1]) {
				t.Errorf("%s: %s is not pinned by commit, with the version in a comment", file, m[1])
			}
		}
	}
}

// TestUnitEndsBeforeTheNextNight checks the settings that bound a night.
func TestUnitEndsBeforeTheNextNight(t *testing.T) {
	unit := read(t, "segsync.service")
	want := map[string]string{
		"TimeoutStartSec":          "20h",
		"MemoryMax":                "256M",
		"Restart":                  "on-failure",
		"SuccessExitStatus":        "143", // in particular not 3
		"RestartPreventExitStatus": "2 3 11 130",
	}
	got := map[string]string{}
	for name := range want {
		got[name] = only(t, fmt.Sprintf(`^%s=(.*)$`, name), unit)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("segsync.service (-want +got):\n%s", diff)
	}
}
