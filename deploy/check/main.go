// Check checks the files in deploy that nothing on an ordinary machine can try out:
// cronjob.yaml against Kubernetes' own types, and the Dockerfile with BuildKit's parser.
// It is a module of its own, because segsync needs neither.
//
//	go run -C deploy/check .
//
// It prints the commands of the two, for the caller to try: the name of the file, a tab,
// and the arguments of segsync, separated by spaces.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"
)

func main() {
	err := errors.Join(
		named("cronjob.yaml", checkCronJob("../cronjob.yaml")),
		named("Dockerfile", checkDockerfile("../Dockerfile", "../..")),
	)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func named(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", name, err)
}

func checkCronJob(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	documents := bytes.Split(data, []byte("\n---\n"))
	if len(documents) != 2 {
		return fmt.Errorf("it has %d documents, not a claim and a job", len(documents))
	}
	var claim core.PersistentVolumeClaim
	if err := yaml.UnmarshalStrict(documents[0], &claim); err != nil {
		return err
	}
	var cron batch.CronJob
	if err := yaml.UnmarshalStrict(documents[1], &cron); err != nil {
		return err
	}
	var wrong []error
	must := func(ok bool, what string) {
		if !ok {
			wrong = append(wrong, errors.New(what))
		}
	}
	must(claim.APIVersion == "v1" && claim.Kind == "PersistentVolumeClaim", "the first document is no claim")
	must(cron.APIVersion == "batch/v1" && cron.Kind == "CronJob", "the second document is no CronJob")
	must(cron.Spec.ConcurrencyPolicy == batch.ForbidConcurrent, "two imports may run at once")
	job := cron.Spec.JobTemplate.Spec
	pod := job.Template.Spec
	if len(pod.Containers) != 1 || pod.SecurityContext == nil || pod.Containers[0].SecurityContext == nil || job.PodFailurePolicy == nil {
		return errors.New("there must be one container, two security contexts and a podFailurePolicy")
	}
	container := pod.Containers[0]
	must(pod.RestartPolicy == core.RestartPolicyNever, "podFailurePolicy needs restartPolicy Never")
	must(ptr.Deref(pod.TerminationGracePeriodSeconds, 30) >= 60, "too little time to stop")

	must(ptr.Deref(pod.SecurityContext.RunAsNonRoot, false) && ptr.Deref(pod.SecurityContext.RunAsUser, 0) > 0, "it may run as root")
	must(ptr.Deref(container.SecurityContext.ReadOnlyRootFilesystem, false), "the root file system is writable")
	must(!ptr.Deref(container.SecurityContext.AllowPrivilegeEscalation, true), "it may gain privileges")
	must(container.SecurityContext.Capabilities != nil && slices.Contains(container.SecurityContext.Capabilities.Drop, "ALL"), "it has capabilities")
	must(pod.SecurityContext.SeccompProfile != nil && pod.SecurityContext.SeccompProfile.Type == core.SeccompProfileTypeRuntimeDefault, "it has no seccomp profile")

	for _, code := range []int32{2, 3, 11} {
		must(slices.ContainsFunc(job.PodFailurePolicy.Rules, func(r batch.PodFailurePolicyRule) bool {
			return r.Action == batch.PodFailurePolicyActionFailJob && r.OnExitCodes != nil &&
				ptr.Deref(r.OnExitCodes.ContainerName, "") == container.Name &&
				r.OnExitCodes.Operator == batch.PodFailurePolicyOnExitCodesOpIn && slices.Contains(r.OnExitCodes.Values, code)
		}), fmt.Sprintf("exit code %d is tried again", code))
	}
	for _, rule := range job.PodFailurePolicy.Rules {
		if rule.OnExitCodes != nil {
			must(slices.IsSorted(rule.OnExitCodes.Values), "the API wants exit codes in rising order")
		}
	}

	dir := slices.Index(container.Args, "--dir") + 1
	must(dir > 0 && dir < len(container.Args) && len(container.VolumeMounts) == 1 && len(pod.Volumes) == 1 &&
		container.VolumeMounts[0].Name == pod.Volumes[0].Name &&
		container.VolumeMounts[0].MountPath == container.Args[dir] &&
		pod.Volumes[0].PersistentVolumeClaim != nil && pod.Volumes[0].PersistentVolumeClaim.ClaimName == claim.Name, "--dir is not in the volume of the claim")
	must(slices.Contains(container.Args, "--non-interactive"), "it may ask a question")
	fmt.Printf("cronjob.yaml\t%s\n", strings.Join(container.Args, " "))
	return errors.Join(wrong...)
}

func checkDockerfile(path, root string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	parsed, err := parser.Parse(file)
	if err != nil {
		return err
	}
	var wrong []error
	warn := func(rule, _, _, what string, where []parser.Range) {
		line := 0
		if len(where) > 0 {
			line = where[0].Start.Line
		}
		wrong = append(wrong, fmt.Errorf("line %d: %s: %s", line, rule, what))
	}
	stages, _, err := instructions.Parse(parsed.AST, linter.New(&linter.Config{Warn: warn}))
	if err != nil {
		return err
	}
	if len(stages) != 2 || stages[1].BaseName != "scratch" {
		return errors.New("the last of two stages must be from scratch")
	}
	user := "0"
	for i, stage := range stages {
		for _, command := range stage.Commands {
			switch c := command.(type) {
			case *instructions.CopyCommand:
				wrong = append(wrong, checkCopy(c, root, stages[:i]))
			case *instructions.UserCommand:
				user = c.User
			case *instructions.CmdCommand:
				fmt.Printf("Dockerfile\t%s\n", strings.Join(c.CmdLine, " "))
			}
		}
	}
	if uid, _, _ := strings.Cut(user, ":"); strings.Trim(uid, "0123456789") != "" || uid == "0" {
		wrong = append(wrong, fmt.Errorf("USER is %s: runAsNonRoot wants a number above 0", user))
	}
	return errors.Join(wrong...)
}

// checkCopy checks that what is copied is in the repository, or from an earlier stage.
func checkCopy(c *instructions.CopyCommand, root string, earlier []instructions.Stage) error {
	if c.From != "" {
		if !slices.ContainsFunc(earlier, func(s instructions.Stage) bool { return s.Name == c.From }) {
			return fmt.Errorf("%s: there is no stage %s before it", c, c.From)
		}
		return nil
	}
	for _, source := range c.SourcePaths {
		if _, err := os.Stat(filepath.Join(root, source)); err != nil {
			return fmt.Errorf("%s: %w", c, err)
		}
	}
	return nil
}
