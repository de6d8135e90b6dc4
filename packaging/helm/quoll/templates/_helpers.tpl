{{- define "quoll.name" -}}
{{- if contains "quoll" .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-quoll{{ end }}
{{- end }}

{{- define "quoll.labels" -}}
app: {{ include "quoll.name" . }}
{{- end }}

{{- /* The line of a member: (list $ 3). */ -}}
{{- define "quoll.member" -}}
{{- $name := include "quoll.name" (index . 0) -}}
server.{{ index . 1 }}={{ $name }}-{{ index . 1 }}.{{ $name }}-members:2888:3888;{{ if not (index . 0).Values.tls.client.plain }}127.0.0.1:{{ end }}2181
{{- end }}

{{- /* The port that clients and probes from outside of the pod use, by its name. */ -}}
{{- define "quoll.port" -}}
{{ ternary "client" "client-tls" .Values.tls.client.plain }}
{{- end }}

{{- /* How many members the ensemble has that is there; nothing if there is none, or no cluster to ask. */ -}}
{{- define "quoll.running" -}}
{{- with lookup "apps/v1" "StatefulSet" .Release.Namespace (include "quoll.name" .) }}{{ .spec.replicas }}{{ end }}
{{- end }}

{{- /* The settings of a pair of stores: (list .Values.tls.client "/tls/client" "ssl."). */ -}}
{{- define "quoll.stores" -}}
{{- $tls := index . 0 }}{{ $dir := index . 1 }}{{ $prefix := index . 2 -}}
- --set={{ $prefix }}keyStore.location={{ $dir }}/{{ $tls.keyStore }}
- --set={{ $prefix }}keyStore.type={{ $tls.type }}
- --set={{ $prefix }}trustStore.location={{ $dir }}/{{ $tls.trustStore }}
- --set={{ $prefix }}trustStore.type={{ $tls.type }}
{{- with $tls.passwordKey }}
- --set={{ $prefix }}keyStore.passwordPath={{ $dir }}/{{ . }}
- --set={{ $prefix }}trustStore.passwordPath={{ $dir }}/{{ . }}
{{- end }}
{{- end }}

{{- /* A Job that runs one command of quoll against the ensemble: (dict "root" $ "job" "join-3" "hook" "post-upgrade" "weight" 3 "args" (list ...)). */ -}}
{{- define "quoll.job" -}}
{{- $name := include "quoll.name" .root -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ $name }}-{{ .job }}
  labels: {{- include "quoll.labels" .root | nindent 4 }}
  annotations:
    helm.sh/hook: {{ .hook }}
    helm.sh/hook-weight: {{ .weight | quote }}
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
spec:
  backoffLimit: 6
  template:
    spec:
      restartPolicy: OnFailure
      automountServiceAccountToken: false
      {{- with .root.Values.image.pullSecrets }}
      imagePullSecrets: {{- range . }}
        - name: {{ . }}
        {{- end }}
      {{- end }}
      securityContext: {{- include "quoll.podSecurity" . | nindent 8 }}
      containers:
        - name: quoll
          image: {{ .root.Values.image.repository }}:{{ .root.Values.image.tag }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          # Without the entry point, which makes the configuration of a server.
          command: {{ toJson .args }}
          env:
            - name: QUOLL_AUTH
              valueFrom:
                secretKeyRef: {name: {{ .root.Values.superuser.existingSecret }}, key: auth}
            {{- $tls := .root.Values.tls.client }}
            {{- if not $tls.plain }}
            - name: CLIENT_JVMFLAGS
              value: >-
                -Dzookeeper.client.secure=true
                -Dzookeeper.ssl.keyStore.location=/tls/client/{{ $tls.keyStore }} -Dzookeeper.ssl.keyStore.type={{ $tls.type }}
                -Dzookeeper.ssl.trustStore.location=/tls/client/{{ $tls.trustStore }} -Dzookeeper.ssl.trustStore.type={{ $tls.type }}
                {{- with $tls.passwordKey }}
                -Dzookeeper.ssl.keyStore.passwordPath=/tls/client/{{ . }} -Dzookeeper.ssl.trustStore.passwordPath=/tls/client/{{ . }}
                {{- end }}
            {{- end }}
          securityContext: {{- include "quoll.containerSecurity" . | nindent 12 }}
          {{- if not $tls.plain }}
          volumeMounts:
            - {name: tls-client, mountPath: /tls/client, readOnly: true}
      volumes:
        - name: tls-client
          secret: {secretName: {{ $tls.existingSecret }}, defaultMode: 0440}
          {{- end }}
{{- end }}

{{- define "quoll.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "quoll.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}
