package helm

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/loader"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"helm.sh/helm/v4/pkg/engine"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the files that are made of the chart")

const chartDir = "quoll"

// files are the templates in the order in which they are applied.
var files = []string{"services", "poddisruptionbudget", "configmap", "statefulset", "size", "servicemonitor"}

// render returns what the chart makes of values, as a release quoll in a cluster with a StatefulSet of so many members, or none.
func render(ctx context.Context, values map[string]any, running int) (string, error) {
	chart, err := loader.Load(chartDir)
	if err != nil {
		return "", err
	}
	all, err := util.ToRenderValues(chart, values, common.ReleaseOptions{Name: "quoll", Namespace: "default", IsInstall: running == 0, IsUpgrade: running > 0}, common.DefaultCapabilities)
	if err != nil {
		return "", err
	}
	e := engine.Engine{Strict: true}
	e.CustomTemplateFuncs = map[string]any{"lookup": func(version, kind, namespace, name string) (map[string]any, error) {
		if running == 0 || version+kind+namespace+name != "apps/v1StatefulSetdefaultquoll" {
			return map[string]any{}, nil
		}
		return map[string]any{"spec": map[string]any{"replicas": int64(running)}}, nil
	}}
	out, err := e.RenderWithContext(ctx, chart, all)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, name := range files {
		path := "quoll/templates/" + name + ".yaml"
		text := strings.TrimSpace(regexp.MustCompile(`(?m)^\s*\n`).ReplaceAllString(out[path], ""))
		delete(out, path)
		if text != "" {
			b.WriteString("---\n" + strings.TrimPrefix(text, "---\n") + "\n")
		}
	}
	delete(out, "quoll/templates/_helpers.tpl")
	if len(out) > 0 {
		return "", fmt.Errorf("templates without a place: %q", slices.Sorted(maps.Keys(out)))
	}
	return b.String(), nil
}

// objects are what a text has, each read with the type that Kubernetes has for it: a field that the type has not is an error.
func objects(t *testing.T, text string) map[string]any {
	t.Helper()
	all := map[string]any{}
	for part := range strings.SplitSeq(text, "---\n") {
		var head struct {
			meta.TypeMeta   `json:",inline"`
			meta.ObjectMeta `json:"metadata"`
		}
		if err := yaml.Unmarshal([]byte(part), &head); err != nil {
			t.Fatalf("%v:\n%s", err, part)
		}
		var o any
		switch head.APIVersion + " " + head.Kind {
		case " ":
			continue // before the first
		case "v1 Service":
			o = new(core.Service)
		case "v1 ConfigMap":
			o = new(core.ConfigMap)
		case "policy/v1 PodDisruptionBudget":
			o = new(policy.PodDisruptionBudget)
		case "apps/v1 StatefulSet":
			o = new(apps.StatefulSet)
		case "batch/v1 Job":
			o = new(batch.Job)
		case "monitoring.coreos.com/v1 ServiceMonitor":
			o = new(monitoring.ServiceMonitor)
		default:
			t.Fatalf("nobody expects a %s %s", head.APIVersion, head.Kind)
		}
		if err := yaml.UnmarshalStrict([]byte(part), o); err != nil {
			t.Fatalf("%v:\n%s", err, part)
		}
		key := head.Kind + "/" + head.Name
		if all[key] != nil {
			t.Errorf("two of %s", key)
		}
		all[key] = o
	}
	return all
}

// check judges what belongs together.
func check(t *testing.T, text string) {
	t.Helper()
	all := objects(t, text)
	set := all["StatefulSet/quoll"].(*apps.StatefulSet)
	pod := set.Spec.Template
	matches := func(what string, selector, labels map[string]string) {
		t.Helper()
		for key, value := range selector {
			if labels[key] != value {
				t.Errorf("%s selects %q, not %q", what, selector, labels)
			}
		}
		if len(selector) == 0 {
			t.Errorf("%s selects everything", what)
		}
	}
	c := pod.Spec.Containers[0]
	ports := map[string]int32{}
	for _, p := range c.Ports {
		if want := map[string]int32{"client": 2181, "client-tls": 2281, "quorum": 2888, "election": 3888, "metrics": 7000}[p.Name]; p.ContainerPort != want {
			t.Errorf("the port %s is %d; the server listens on %d", p.Name, p.ContainerPort, want)
		}
		ports[p.Name] = p.ContainerPort
	}
	matches("the StatefulSet", set.Spec.Selector.MatchLabels, pod.Labels)
	matches("the budget", all["PodDisruptionBudget/quoll"].(*policy.PodDisruptionBudget).Spec.Selector.MatchLabels, pod.Labels)
	for _, name := range []string{"quoll", set.Spec.ServiceName} {
		s := all["Service/"+name].(*core.Service)
		matches("the service "+name, s.Spec.Selector, pod.Labels)
		for _, p := range s.Spec.Ports {
			if p.Name != p.TargetPort.StrVal || ports[p.Name] != p.Port {
				t.Errorf("the service %s has a port %v that no container has", name, p)
			}
		}
	}
	// Members find each other by the names of their pods, and before any of them is ready.
	if s := all["Service/"+set.Spec.ServiceName].(*core.Service); s.Spec.ClusterIP != core.ClusterIPNone || !s.Spec.PublishNotReadyAddresses || set.Spec.PodManagementPolicy != apps.ParallelPodManagement {
		t.Errorf("the first member waits for ever for the others: %+v, %s", s.Spec, set.Spec.PodManagementPolicy)
	}
	if most := all["PodDisruptionBudget/quoll"].(*policy.PodDisruptionBudget).Spec.MaxUnavailable; most == nil || most.IntValue() != 1 {
		t.Errorf("of three members %v may go at a time", most)
	}
	if wait := pod.Spec.TerminationGracePeriodSeconds; wait == nil || *wait < 60 {
		t.Errorf("a server with a large tree has %v seconds to end", wait)
	}
	if a := pod.Spec.Affinity; a != nil {
		for _, term := range a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution {
			matches("the affinity", term.LabelSelector.MatchLabels, pod.Labels)
		}
		for _, weighted := range a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution {
			matches("the affinity", weighted.PodAffinityTerm.LabelSelector.MatchLabels, pod.Labels)
		}
	}
	// A server without a quorum is not ready, and alive: to restart it would bring none back. One that loads a large tree is not even that.
	for name, probe := range map[string]*core.Probe{"alive": c.LivenessProbe, "started": c.StartupProbe} {
		if probe == nil || probe.TCPSocket == nil || !slices.Contains([]string{"client", "client-tls"}, probe.TCPSocket.Port.StrVal) || ports[probe.TCPSocket.Port.StrVal] == 0 {
			t.Errorf("whether it is %s is asked by %+v", name, probe)
		} else if name == "started" && probe.FailureThreshold*probe.PeriodSeconds < 600 {
			t.Errorf("it has %d times %d seconds to start", probe.FailureThreshold, probe.PeriodSeconds)
		}
	}
	if ready := c.ReadinessProbe; ready == nil || ready.Exec == nil || !slices.Equal(ready.Exec.Command, []string{"quoll", "status"}) {
		t.Errorf("whether it is ready is asked by %+v", ready)
	}
	if m, ok := all["ServiceMonitor/quoll"].(*monitoring.ServiceMonitor); ok {
		s := all["Service/"+set.Spec.ServiceName].(*core.Service)
		matches("the monitor", m.Spec.Selector.MatchLabels, s.Labels)
		if !slices.ContainsFunc(s.Spec.Ports, func(p core.ServicePort) bool { return p.Name == m.Spec.Endpoints[0].Port }) {
			t.Errorf("the monitor asks port %q", m.Spec.Endpoints[0].Port)
		}
	}
	if s := set.Spec.Template.Spec.Containers[0]; !slices.Equal(s.Args[:3], []string{"quoll", "server", "/data/conf/zoo.cfg"}) || s.Command != nil {
		t.Errorf("the container runs %q %q", s.Command, s.Args)
	}
	pods := []core.PodSpec{pod.Spec}
	for _, o := range all {
		if job, ok := o.(*batch.Job); ok {
			pods = append(pods, job.Spec.Template.Spec)
		}
	}
	for i, p := range pods {
		volumes := map[string]bool{}
		for _, v := range p.Volumes {
			volumes[v.Name] = true
			if v.Secret == nil || *v.Secret.DefaultMode != 0o440 {
				t.Errorf("a volume that the group cannot read, or everybody can: %+v", v)
			}
		}
		if i == 0 {
			for _, v := range set.Spec.VolumeClaimTemplates {
				volumes[v.Name] = true
			}
		}
		mounts := p.Containers[0].VolumeMounts
		for _, m := range mounts {
			if !volumes[m.Name] {
				t.Errorf("no volume %q", m.Name)
			}
			delete(volumes, m.Name)
		}
		if len(volumes) > 0 {
			t.Errorf("volumes that nothing mounts: %v", volumes)
		}
		// Every path among the settings lies on a volume: the root is read-only.
		settings := slices.Clone(p.Containers[0].Args)
		for _, e := range p.Containers[0].Env {
			for word := range strings.FieldsSeq(e.Value) {
				settings = append(settings, strings.TrimPrefix(e.Name+"="+word, e.Name+"=-D"))
			}
		}
		for _, setting := range settings {
			_, path, found := strings.Cut(setting, "=/")
			if found && !slices.ContainsFunc(mounts, func(m core.VolumeMount) bool {
				if m.ReadOnly { // the files of a secret
					return filepath.Dir("/"+path) == m.MountPath
				}
				return strings.HasPrefix("/"+path+"/", m.MountPath+"/")
			}) {
				t.Errorf("%s is on no volume", setting)
			}
		}
		// The image starts as root and would change its user, which a container without capabilities cannot.
		if s := p.SecurityContext; s == nil || s.RunAsUser == nil || *s.RunAsUser != 1000 || s.RunAsGroup == nil || *s.RunAsGroup != 1000 || s.FSGroup == nil || *s.FSGroup != 1000 {
			t.Errorf("the pod has another user than the files of the image: %+v", s)
		}
		if s := p.SecurityContext; s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault || *p.AutomountServiceAccountToken {
			t.Errorf("security of the pod: %+v", s)
		}
		if s := p.Containers[0].SecurityContext; s == nil || !*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation || !slices.Equal(s.Capabilities.Drop, []core.Capability{"ALL"}) {
			t.Errorf("security of the container: %+v", s)
		}
	}
}

func TestLint(t *testing.T) {
	for _, m := range lint.RunAll(chartDir, nil, "default").Messages {
		if m.Severity >= support.WarningSev {
			t.Error(m)
		}
	}
}

// everything are the values of an ensemble that changes its size, and of one that speaks TLS alone.
var everything = set("superuser/existingSecret", "super", "replicas", 5, "tls/client/existingSecret", "client", "tls/client/plain", false, "tls/quorum/existingSecret", "quorum")

// TestFiles compares the files that are made of the chart.
func TestFiles(t *testing.T) {
	const head = "# The chart of packaging/helm/quoll with its defaults, made by `make generate`: three servers, one a node, with stable names and volumes.\n#\n" +
		"#\tkubectl apply -f packaging/kubernetes/quoll.yaml\n"
	for name, c := range map[string]struct {
		head   string
		values map[string]any
	}{
		"../kubernetes/quoll.yaml":                        {head, nil},
		"../../compat/packaging/testdata/kubernetes.yaml": {"# The chart of packaging/helm/quoll with a superuser, five members and TLS, made by `make generate`.\n", everything},
	} {
		text, err := render(t.Context(), c.values, 0)
		if err != nil {
			t.Fatal(err)
		}
		check(t, text)
		want := []byte(c.head + text)
		if *update {
			if err := os.WriteFile(name, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if have, err := os.ReadFile(name); err != nil || !bytes.Equal(have, want) {
			t.Errorf("%s is not what the chart makes (%v): make generate", name, err)
		}
	}
}

// set makes values of paths and what is at them.
func set(pairs ...any) map[string]any {
	values := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		m, path := values, strings.Split(pairs[i].(string), "/")
		for _, key := range path[:len(path)-1] {
			if m[key] == nil {
				m[key] = map[string]any{}
			}
			m = m[key].(map[string]any)
		}
		m[path[len(path)-1]] = pairs[i+1]
	}
	return values
}

// others has for each value of the chart another one than its default, and what else must be set for it to matter.
var others = map[string]struct {
	value any
	with  []any
}{
	"image/repository":                {value: "registry.example/quoll"},
	"image/tag":                       {value: "1.2"},
	"image/pullPolicy":                {value: "Always"},
	"image/pullSecrets":               {value: []any{"registry"}, with: []any{"superuser/existingSecret", "super"}},
	"replicas":                        {value: 5},
	"config":                          {value: map[string]any{"tickTime": "500", "4lw.commands.whitelist": "*"}},
	"superuser/existingSecret":        {value: "super"},
	"tls/client/existingSecret":       {value: "certs", with: []any{"tls/client/passwordKey", "password"}},
	"tls/client/plain":                {value: false, with: []any{"tls/client/existingSecret", "certs", "superuser/existingSecret", "super", "tls/client/passwordKey", "password"}},
	"tls/client/keyStore":             {value: "keystore.p12", with: []any{"tls/client/existingSecret", "certs"}},
	"tls/client/trustStore":           {value: "truststore.p12", with: []any{"tls/client/existingSecret", "certs"}},
	"tls/client/type":                 {value: "PKCS12", with: []any{"tls/client/existingSecret", "certs"}},
	"tls/client/passwordKey":          {value: "password", with: []any{"tls/client/existingSecret", "certs"}},
	"tls/quorum/existingSecret":       {value: "certs", with: []any{"tls/client/existingSecret", "others"}},
	"tls/quorum/keyStore":             {value: "keystore.p12", with: []any{"tls/quorum/existingSecret", "certs"}},
	"tls/quorum/trustStore":           {value: "truststore.p12", with: []any{"tls/quorum/existingSecret", "certs"}},
	"tls/quorum/type":                 {value: "JKS", with: []any{"tls/quorum/existingSecret", "certs"}},
	"tls/quorum/passwordKey":          {value: "password", with: []any{"tls/quorum/existingSecret", "certs"}},
	"persistence/data/size":           {value: "1Gi"},
	"persistence/data/storageClass":   {value: "fast"},
	"persistence/log/enabled":         {value: true},
	"persistence/log/size":            {value: "1Gi", with: []any{"persistence/log/enabled", true}},
	"persistence/log/storageClass":    {value: "fast", with: []any{"persistence/log/enabled", true}},
	"metrics/enabled":                 {value: true},
	"metrics/serviceMonitor/enabled":  {value: true, with: []any{"metrics/enabled", true}},
	"metrics/serviceMonitor/interval": {value: "5s", with: []any{"metrics/enabled", true, "metrics/serviceMonitor/enabled", true}},
	"metrics/serviceMonitor/labels":   {value: map[string]any{"release": "prometheus"}, with: []any{"metrics/enabled", true, "metrics/serviceMonitor/enabled", true}},
	"service/type":                    {value: "LoadBalancer"},
	"service/annotations":             {value: map[string]any{"a": "b"}},
	"antiAffinity":                    {value: "soft"},
	"topologySpreadConstraints":       {value: []any{map[string]any{"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"}}},
	"nodeSelector":                    {value: map[string]any{"disk": "ssd"}},
	"tolerations":                     {value: []any{map[string]any{"key": "dedicated", "operator": "Exists"}}},
	"priorityClassName":               {value: "high"},
	"resources":                       {value: map[string]any{"limits": map[string]any{"memory": "1Gi"}}},
	"podLabels":                       {value: map[string]any{"team": "a"}},
	"podAnnotations":                  {value: map[string]any{"a": "b"}},
	"extraEnv":                        {value: []any{map[string]any{"name": "JVMFLAGS", "value": "-Djute.maxbuffer=4194304"}}},
}

// TestValues gives each value that values.yaml names another one: the objects are others then, and such as Kubernetes takes.
func TestValues(t *testing.T) {
	named := valuePaths(t)
	for path := range named {
		if _, ok := others[path]; !ok {
			t.Errorf("%s has no row in this test", path)
		}
	}
	for path, o := range others {
		if !named[path] {
			t.Errorf("values.yaml does not name %s", path)
		}
		without, err := render(t.Context(), set(o.with...), 0)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		with, err := render(t.Context(), set(append([]any{path, o.value}, o.with...)...), 0)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if with == without {
			t.Errorf("%s has no effect", path)
		}
		check(t, with)
	}
	for _, wrong := range []map[string]any{
		set("replica", 3), set("tls/client/secret", "x"), set("replicas", 0), set("config/tickTime", 2000), set("antiAffinity", "maybe"), set("persistence/logs/enabled", true), set("tls/client/plain", false),
	} {
		if _, err := render(t.Context(), wrong, 0); err == nil {
			t.Errorf("%v is taken", wrong)
		}
	}
}

// valuePaths are the paths of values.yaml. What is a map of the user's own is one value.
func valuePaths(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(chartDir + "/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := yaml.UnmarshalStrict(text, &values); err != nil {
		t.Fatal(err)
	}
	paths := map[string]bool{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		m, ok := v.(map[string]any)
		if !ok || len(m) == 0 || path == "config" || path == "resources" {
			paths[path] = true
			return
		}
		for key, v := range m {
			walk(strings.TrimPrefix(path+"/"+key, "/"), v)
		}
	}
	walk("", values)
	return paths
}

// TestSize changes the number of members of an ensemble that runs.
func TestSize(t *testing.T) {
	jobs := func(replicas, running int) (names []string) {
		t.Helper()
		text, err := render(t.Context(), set("superuser/existingSecret", "super", "replicas", replicas), running)
		if err != nil {
			t.Fatal(err)
		}
		check(t, text)
		for part := range strings.SplitSeq(text, "---\n") {
			var job batch.Job
			if err := yaml.Unmarshal([]byte(part), &job); err != nil {
				t.Fatal(err)
			}
			if job.Kind == "Job" {
				names = append(names, fmt.Sprint(job.Annotations["helm.sh/hook"], " ", job.Annotations["helm.sh/hook-weight"], " ", strings.Join(job.Spec.Template.Spec.Containers[0].Command, " ")))
			}
		}
		return names
	}
	join := func(n int) string {
		return fmt.Sprintf("post-upgrade,post-rollback %d quoll join --server quoll:2181 server.%[1]d=quoll-%[1]d.quoll-members:2888:3888;2181", n)
	}
	leave := func(hooks string, n int) string {
		return fmt.Sprintf("%s -1 quoll leave --server quoll:2181 --above %d", hooks, n)
	}
	for _, c := range []struct {
		replicas, running int
		want              []string
	}{
		{3, 0, []string{join(0), join(1), join(2), leave("post-rollback", 2)}},
		{5, 3, []string{join(0), join(1), join(2), join(3), join(4), leave("post-rollback", 4)}},
		{3, 5, []string{join(0), join(1), join(2), leave("pre-upgrade,post-rollback", 2)}},
	} {
		if have := jobs(c.replicas, c.running); !slices.Equal(have, c.want) {
			t.Errorf("%d members of %d: %q", c.replicas, c.running, have)
		}
	}
	if _, err := render(t.Context(), set("replicas", 5), 3); err == nil || !strings.Contains(err.Error(), "superuser.existingSecret") {
		t.Errorf("without a superuser: %v", err)
	}
	if _, err := render(t.Context(), nil, 3); err != nil {
		t.Errorf("an upgrade of the same size: %v", err)
	}
}
