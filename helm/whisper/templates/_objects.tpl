{{/* Objects that both parts have. */}}

{{/* A PodDisruptionBudget: list . .Values.gateway.pdb "gateway" */}}
{{- define "whisper.pdb" -}}
{{- $root := index . 0 -}}
{{- $part := index . 2 -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "whisper.fullname" $root }}-{{ $part }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "whisper.labels" (list $root $part) | nindent 4 }}
spec:
  maxUnavailable: {{ (index . 1).maxUnavailable }}
  {{- if semverCompare ">=1.27.0-0" $root.Capabilities.KubeVersion.Version }}
  # Pods that do not work anyway may be evicted.
  unhealthyPodEvictionPolicy: AlwaysAllow
  {{- end }}
  selector:
    matchLabels:
      {{- include "whisper.selector" (list $root $part) | nindent 6 }}
{{- end }}

{{/* The beginning of an object that scales a part: list . "gateway" */}}
{{- define "whisper.scaled" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
metadata:
  name: {{ include "whisper.fullname" $root }}-{{ $part }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "whisper.labels" (list $root $part) | nindent 4 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ include "whisper.fullname" $root }}-{{ $part }}
{{- end }}

{{/* A metric of a HorizontalPodAutoscaler that prometheus-adapter serves: list . "name" target labels */}}
{{- define "whisper.externalMetric" -}}
- type: External
  external:
    metric:
      name: {{ index . 1 }}
      selector:
        matchLabels:
          app_kubernetes_io_instance: {{ (index . 0).Release.Name }}
          {{- range $label, $value := index . 3 }}
          {{ $label }}: {{ $value | quote }}
          {{- end }}
    target: {type: AverageValue, averageValue: {{ index . 2 | quote }}}
{{- end }}

{{/* A trigger of a ScaledObject that asks Prometheus: list . "query" threshold */}}
{{- define "whisper.prometheusTrigger" -}}
{{- $keda := (index . 0).Values.autoscaling.keda -}}
- type: prometheus
  metricType: AverageValue
  metadata:
    serverAddress: {{ $keda.serverAddress }}
    query: {{ index . 1 | quote }}
    threshold: {{ index . 2 | quote }}
    activationThreshold: "0"
  {{- with $keda.authenticationRef }}
  authenticationRef: {name: {{ . }}}
  {{- end }}
{{- end }}
