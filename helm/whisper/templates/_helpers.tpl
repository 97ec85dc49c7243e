{{- define "whisper.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "whisper.fullname" -}}
{{- $name := include "whisper.name" . -}}
{{- $default := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $default .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{/* Labels that select the pods of a part: list . "gateway". A part "torchserve-turbo" is that of one model, "torchserve" of all. */}}
{{- define "whisper.selector" -}}
{{- $root := index . 0 -}}
{{- $part := splitn "-" 2 (index . 1) -}}
app.kubernetes.io/name: {{ include "whisper.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ $part._0 }}
{{- with $part._1 }}
whisper-serve/model: {{ . | quote }}
{{- end }}
{{- end }}

{{/* Labels of the objects of a part: list . "gateway" */}}
{{- define "whisper.labels" -}}
{{- $root := index . 0 -}}
{{ include "whisper.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* An image: list . .Values.gateway.image */}}
{{- define "whisper.image" -}}
{{- $image := index . 1 -}}
{{- if $image.digest -}}
{{ printf "%s@%s" $image.repository $image.digest }}
{{- else -}}
{{ printf "%s:%s" $image.repository (default (index . 0).Chart.AppVersion $image.tag) }}
{{- end -}}
{{- end }}

{{- define "whisper.serviceAccountName" -}}
{{- default (ternary (include "whisper.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name -}}
{{- end }}

{{- define "whisper.keysSecret" -}}
{{- default (printf "%s-keys" (include "whisper.fullname" .)) .Values.apiKeys.existingSecret -}}
{{- end }}

{{/* What both parts' pods begin with: list . .Values.gateway "gateway" */}}
{{- define "whisper.pod" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
{{- $fields := dict "nodeSelector" $part.nodeSelector "tolerations" $part.tolerations "affinity" $part.affinity "imagePullSecrets" $root.Values.imagePullSecrets -}}
serviceAccountName: {{ include "whisper.serviceAccountName" $root }}
automountServiceAccountToken: false
# Kubernetes' variables for a Service named whisper would be read as settings.
enableServiceLinks: false
securityContext:
  {{- toYaml $root.Values.podSecurityContext | nindent 2 }}
{{- with $part.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- range $name, $value := $fields }}
{{- with $value }}
{{ $name }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- with $part.topologySpread }}
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: {{ $part.topologySpread }}
    labelSelector:
      matchLabels:
        {{- include "whisper.selector" (list $root (index $ 2)) | nindent 8 }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Annotations of pods: list . .Values.gateway 9090 */}}
{{- define "whisper.podAnnotations" -}}
{{- if (index . 0).Values.monitoring.scrapeAnnotations }}
prometheus.io/scrape: "true"
prometheus.io/port: {{ index . 2 | quote }}
prometheus.io/path: /metrics
{{- end }}
{{- with (index . 1).podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end }}
