{{/* The model as JSON. Its source is checked here, since whatever is rendered first needs it. */}}
{{- define "whisper.model" -}}
{{- $model := dict "name" "whisper" "aliases" (list "whisper-1") "source" dict -}}
{{- range $name, $value := index .Values.models 0 }}{{ $_ := set $model $name $value }}{{ end -}}
{{- $source := $model.source -}}
{{- $given := list -}}
{{- range $name, $is := dict "name" $source.name "files" $source.files "claim" (dig "claim" "name" "" $source) "image" (dig "image" "reference" "" $source) -}}
{{- if $is }}{{ $given = append $given $name }}{{ end -}}
{{- end -}}
{{- if not $given -}}
{{- fail "models[0].source says nothing: set one of name, files, claim and image." -}}
{{- end -}}
{{- if gt (len $given) 1 -}}
{{- fail (printf "models[0].source has %s: set only one of them (name: \"\" clears the default)." ($given | sortAlpha | reverse | join " and ")) -}}
{{- end -}}
{{- if and (has "claim" $given) (not $source.claim.path) -}}
{{- fail "models[0].source.claim.path is missing: name the checkpoint or folder on the claim." -}}
{{- end -}}
{{- $model | toJson -}}
{{- end }}

{{/* All names that requests may call the model. */}}
{{- define "whisper.aliases" -}}
{{- $model := include "whisper.model" . | fromJson -}}
{{- $official := ternary "base" ($model.source.name | default "" | trimPrefix "random:") (eq ($model.source.name | default "") "trial") -}}
{{- concat (list $model.name) ($model.aliases | default list) (ternary (list $official) list (ne $official "")) | uniq | join "," -}}
{{- end }}

{{/* The folder of the cache for weights that no name stands for; another source has another one. */}}
{{- define "whisper.weightsFolder" -}}
{{- $source := (include "whisper.model" . | fromJson).source -}}
/models/{{ omit $source "name" | toJson | sha256sum | trunc 12 }}
{{- end }}

{{/* WHISPER_WEIGHTS: what the handler loads. */}}
{{- define "whisper.weights" -}}
{{- $source := (include "whisper.model" . | fromJson).source -}}
{{- $folder := include "whisper.weightsFolder" . -}}
{{- if $source.name -}}
{{ $source.name }}
{{- else if $source.files -}}
{{- if eq (len $source.files) 1 }}{{ $folder }}/{{ (urlParse (first $source.files).url).path | base }}{{ else }}{{ $folder }}{{ end -}}
{{- else if (dig "claim" "name" "" $source) -}}
/source/{{ $source.claim.path | trimPrefix "/" }}
{{- else -}}
{{ $folder }}{{ with $source.image.file }}/{{ . }}{{ end }}
{{- end -}}
{{- end }}

{{/* The init container that brings the weights into the cache: none where they lie on a claim or are made up. */}}
{{- define "whisper.initContainers" -}}
{{- $source := (include "whisper.model" . | fromJson).source -}}
{{- $folder := include "whisper.weightsFolder" . -}}
{{- if dig "image" "reference" "" $source }}
- name: copy
  image: {{ $source.image.reference }}
  imagePullPolicy: {{ .Values.torchserve.image.pullPolicy }}
  command: [sh, -c, 'mkdir -p "$1" && cp -R "$2"/. "$1"/', copy, {{ $folder | replace "/models/" "/cache/" | quote }}, {{ $source.image.path | default "/models" | quote }}]
  {{- /* Not at /models, where the image may have its own. */}}
  {{- include "whisper.initCommon" (list . "/cache") | nindent 2 }}
{{- else if not (or (dig "claim" "name" "" $source) (hasPrefix "random:" ($source.name | default ""))) }}
- name: fetch
  image: {{ include "whisper.image" (list . .Values.torchserve.image) }}
  imagePullPolicy: {{ .Values.torchserve.image.pullPolicy }}
  args:
    - fetch
    {{- if $source.name }}
    - {{ $source.name }}
    - --output=/models
    {{- else }}
    {{- range $source.files }}
    - {{ printf "%s#sha256=%s" .url .sha256 | quote }}
    {{- end }}
    - --output={{ $folder }}
    {{- end }}
  {{- include "whisper.initCommon" (list . "/models") | nindent 2 }}
{{- end }}
{{- end }}

{{/* What both init containers have: list . and the folder where the cache is. */}}
{{- define "whisper.initCommon" -}}
{{- $cache := index . 1 -}}
{{- with index . 0 -}}
env:
  {{- include "whisper.homeEnv" . | nindent 2 }}
  {{- with .Values.torchserve.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
resources:
  {{- toYaml .Values.torchserve.resources | nindent 2 }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
volumeMounts:
  - {name: models, mountPath: {{ $cache }}}
  - {name: tmp, mountPath: /tmp}
{{- end }}
{{- end }}

{{/* Nothing is written but where a volume is. */}}
{{- define "whisper.homeEnv" -}}
- {name: HOME, value: /tmp}
- {name: NUMBA_CACHE_DIR, value: /tmp/numba}
{{- end }}
