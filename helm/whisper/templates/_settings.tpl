{{/* Helm reads numbers as floats: whole ones without an exponent. */}}
{{- define "whisper.number" -}}
{{- if kindIs "float64" . -}}
{{- if eq . (float64 (int64 .)) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- else if kindIs "slice" . -}}
{{ join "," . }}
{{- else -}}
{{ . }}
{{- end -}}
{{- end }}

{{/* A quantity of Kubernetes, such as 10Gi, in bytes. */}}
{{- define "whisper.bytes" -}}
{{- $units := dict "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- mulf (regexFind "^[0-9.]+" (toString .) | float64) (get $units (regexFind "[A-Za-z]*$" (toString .)) | required (printf "%v is no size: write it as 10Gi" .)) | int64 -}}
{{- end }}

{{/* A map of settings as WHISPER_… variables. */}}
{{- define "whisper.environment" -}}
{{- range $name, $value := . }}
{{- if not (kindIs "invalid" $value) }}
WHISPER_{{ $name | snakecase | upper }}: {{ include "whisper.number" $value | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* How long a start may take of a model that may go down to no pod at all; empty where there is none. */}}
{{- define "whisper.wakeSeconds" -}}
{{- $most := 0 -}}
{{- range include "whisper.models" . | fromJsonArray -}}
{{- $auto := .torchserve.autoscaling -}}
{{- if and (eq $.Values.autoscaling.provider "keda") $auto.enabled (eq (int $auto.minReplicas) 0) -}}
{{- $most = max $most (int .torchserve.startupSeconds) -}}
{{- end -}}
{{- end -}}
{{- if $most }}{{ $most }}{{ end -}}
{{- end }}

{{/* The gateway's settings, as JSON: what is asked for over what this chart knows better than the program. */}}
{{- define "whisper.gatewaySettings" -}}
{{- /* What lies in /tmp besides is small; beyond its size a pod would be evicted. */ -}}
{{- $spool := mulf 0.95 (include "whisper.bytes" .Values.gateway.spoolSize) | int64 -}}
{{- $settings := dict "maxSpoolBytes" $spool "holdSeconds" 120 "requestTimeout" 600 "drainSeconds" 30 "maxUploadBytes" 1073741824 "resolveSeconds" 5 -}}
{{- with include "whisper.wakeSeconds" . -}}
{{- /* The first request waits for a node, an image, weights and the start. */ -}}
{{- $_ := set $settings "holdSeconds" (int .) -}}
{{- $_ := set $settings "requestTimeout" (add (int .) 600) -}}
{{- end -}}
{{- /* Not merge: to that a 0 is nothing. */ -}}
{{- range $name, $value := .Values.gateway.settings }}{{ $_ := set $settings $name $value }}{{ end -}}
{{- $settings | toJson -}}
{{- end }}

{{- define "whisper.terminationSeconds" -}}
{{- $settings := include "whisper.gatewaySettings" . | fromJson -}}
{{- /* Five seconds for the last windows, five for the last bytes, five to end. */ -}}
{{ add (int .Values.gateway.preStopSeconds) (ceil $settings.drainSeconds) 15 }}
{{- end }}

{{/* How long a TorchServe that is to stop still serves: until no gateway sends to it, and what is there is done. list . torchserve */}}
{{- define "whisper.torchservePreStop" -}}
{{- $settings := include "whisper.gatewaySettings" (index . 0) | fromJson -}}
{{- $drain := (index . 1).drain -}}
{{ add (ceil $settings.resolveSeconds) (int $drain.dnsTtlSeconds) (int $drain.finishSeconds) }}
{{- end }}

{{/* The gateway's port of metrics in its pods. */}}
{{- define "whisper.metricsPort" -}}9090{{- end }}

{{/* PromQL label matchers for the gateways of this release, for series with the labels of the pods. */}}
{{- define "whisper.gatewaySeries" -}}
namespace="{{ .Release.Namespace }}",app_kubernetes_io_instance="{{ .Release.Name }}",app_kubernetes_io_component="gateway"
{{- end }}

{{/* PromQL for the seconds of audio that wait for a model or are in work: list . model */}}
{{- define "whisper.pendingAudio" -}}
{{- $series := printf "%s,model=%q" (include "whisper.gatewaySeries" (index . 0)) (index . 1).name -}}
sum(whisper_gateway_queued_audio_seconds{ {{- $series -}} }) + sum(whisper_gateway_in_flight_audio_seconds{ {{- $series -}} })
{{- end }}
