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

{{/* All names besides its own that the model goes by. */}}
{{- define "whisper.aliases" -}}
{{- $model := include "whisper.model" . | fromJson -}}
{{- $official := ternary "base" ($model.source.name | default "" | trimPrefix "random:") (eq ($model.source.name | default "") "trial") -}}
{{- concat ($model.aliases | default list) (ternary (list $official) list (ne $official "")) | uniq | join "," -}}
{{- end }}

{{/* Folders of the cache: one for each source and image, so that a new version and its rollback find their own. */}}
{{- define "whisper.weightsFolder" -}}
{{- $model := include "whisper.model" . | fromJson -}}
/cache/weights/{{ $model.source | toJson | sha256sum | trunc 12 }}
{{- end }}

{{- define "whisper.archiveFolder" -}}
{{- $model := include "whisper.model" . | fromJson -}}
/cache/archives/{{ list $model.source (include "whisper.image" (list . .Values.torchserve.image)) | toJson | sha256sum | trunc 12 }}
{{- end }}

{{/* What `whisper-serve build --model` is given. */}}
{{- define "whisper.weights" -}}
{{- $source := (include "whisper.model" . | fromJson).source -}}
{{- $folder := include "whisper.weightsFolder" . -}}
{{- if $source.name -}}
{{ $source.name }}
{{- else if $source.files -}}
{{- if eq (len $source.files) 1 }}{{ $folder }}/{{ (urlParse (first $source.files).url).path | base }}{{ else }}{{ $folder }}{{ end -}}
{{- else if (dig "claim" "name" "" $source) -}}
/source/{{ $source.claim.path | default "" | trimPrefix "/" }}
{{- else -}}
{{ $folder }}{{ with $source.image.file }}/{{ . }}{{ end }}
{{- end -}}
{{- end }}

{{/* Init containers: bring the weights here, if no name stands for them, and pack the archive that TorchServe loads. */}}
{{- define "whisper.initContainers" -}}
{{- $model := include "whisper.model" . | fromJson -}}
{{- $source := $model.source -}}
{{- $folder := include "whisper.weightsFolder" . -}}
{{- if (dig "image" "reference" "" $source) }}
- name: copy
  image: {{ $source.image.reference }}
  imagePullPolicy: {{ .Values.torchserve.image.pullPolicy }}
  command: [sh, -c, 'mkdir -p "$1" && cp -R "$2"/. "$1"/', copy, {{ $folder | quote }}, {{ $source.image.path | default "/models" | quote }}]
  {{- include "whisper.initCommon" . | nindent 2 }}
{{- end }}
{{- if $source.files }}
- name: fetch
  image: {{ include "whisper.image" (list . .Values.torchserve.image) }}
  imagePullPolicy: {{ .Values.torchserve.image.pullPolicy }}
  args:
    - fetch
    {{- range $source.files }}
    - {{ printf "%s#sha256=%s" .url .sha256 | quote }}
    {{- end }}
    - --output={{ $folder }}
  {{- include "whisper.initCommon" . | nindent 2 }}
{{- end }}
- name: build
  image: {{ include "whisper.image" (list . .Values.torchserve.image) }}
  imagePullPolicy: {{ .Values.torchserve.image.pullPolicy }}
  args:
    - build
    - --model={{ include "whisper.weights" . }}
    - --name={{ $model.name }}
    - --output={{ include "whisper.archiveFolder" . }}
    - --external-weights
    - --if-needed
  {{- include "whisper.initCommon" . | nindent 2 }}
{{- end }}

{{- define "whisper.initCommon" -}}
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
  - {name: cache, mountPath: /cache}
  - {name: tmp, mountPath: /tmp}
  {{- if (dig "claim" "name" "" (include "whisper.model" . | fromJson).source) }}
  - {name: source, mountPath: /source, readOnly: true}
  {{- end }}
{{- end }}

{{/* Nothing is written but where a volume is. */}}
{{- define "whisper.homeEnv" -}}
- {name: HOME, value: /tmp}
- {name: XDG_CACHE_HOME, value: /cache}
- {name: NUMBA_CACHE_DIR, value: /tmp/numba}
{{- end }}
