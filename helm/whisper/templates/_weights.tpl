{{/* Fails unless a model says where its weights come from: list "models[0].source" source */}}
{{- define "whisper.checkSource" -}}
{{- $where := index . 0 -}}
{{- $source := index . 1 -}}
{{- $given := list -}}
{{- range $name, $is := dict "name" $source.name "files" $source.files "claim" (dig "claim" "name" "" $source) "image" (dig "image" "reference" "" $source) -}}
{{- if $is }}{{ $given = append $given $name }}{{ end -}}
{{- end -}}
{{- if not $given -}}
{{- fail (printf "%s says nothing: set one of name, files, claim and image." $where) -}}
{{- end -}}
{{- if gt (len $given) 1 -}}
{{- fail (printf "%s has %s: set only one of them (name: \"\" clears the default)." $where ($given | sortAlpha | reverse | join " and ")) -}}
{{- end -}}
{{- if and (has "claim" $given) (not $source.claim.path) -}}
{{- fail (printf "%s.claim.path is missing: name the checkpoint or folder on the claim." $where) -}}
{{- end -}}
{{- end }}

{{/* The folder of the cache for a model's weights that no name stands for; another source has another one. */}}
{{- define "whisper.weightsFolder" -}}
/models/{{ omit .source "name" | toJson | sha256sum | trunc 12 }}
{{- end }}

{{/* WHISPER_WEIGHTS of a model: what the handler loads. */}}
{{- define "whisper.weights" -}}
{{- $source := .source -}}
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

{{/* The ConfigMap's data of a model. */}}
{{- define "whisper.torchserveConfig" -}}
WHISPER_WEIGHTS: {{ include "whisper.weights" . | quote }}
WHISPER_MODEL_CACHE: /models
{{- include "whisper.environment" .torchserve.settings }}
{{- end }}

{{/* The init container that brings the weights into the cache: none where they lie on a claim or are made up. list . model */}}
{{- define "whisper.initContainers" -}}
{{- $root := index . 0 -}}
{{- $model := index . 1 -}}
{{- $source := $model.source -}}
{{- $torchserve := $model.torchserve -}}
{{- $folder := include "whisper.weightsFolder" $model -}}
{{- if dig "image" "reference" "" $source }}
- name: copy
  image: {{ $source.image.reference }}
  imagePullPolicy: {{ $torchserve.image.pullPolicy }}
  command:
    - sh
    - -c
    - |
      {{- include "whisper.copyScript" . | nindent 6 }}
    - copy
    - {{ $folder | replace "/models/" "/cache/" | quote }}
    - {{ $source.image.path | default "/models" | quote }}
    - $(POD_NAME)
  {{- /* Not at /models, where the image may have its own. */}}
  {{- $pod := dict "name" "POD_NAME" "valueFrom" (dict "fieldRef" (dict "fieldPath" "metadata.name")) }}
  {{- include "whisper.initCommon" (list $root $torchserve "/cache" (list $pod)) | nindent 2 }}
{{- else if not (or (dig "claim" "name" "" $source) (hasPrefix "random:" ($source.name | default ""))) }}
- name: fetch
  image: {{ include "whisper.image" (list $root $torchserve.image) }}
  imagePullPolicy: {{ $torchserve.image.pullPolicy }}
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
  {{- include "whisper.initCommon" (list $root $torchserve "/models" list) | nindent 2 }}
{{- end }}
{{- end }}

{{/*
Copies a folder. Its arguments: what the copy is called, the folder, the pod's name. Other pods may be reading what is there, or
copy the same, and a pod may be killed at any time. So what is there is never written to, a copy has a name of its own until it
is complete, and the first one that is stays. All it needs is sh and cp, mv, rm, mkdir and chmod.
*/}}
{{- define "whisper.copyScript" -}}
drop() { chmod -R u+rwX "$@" 2>/dev/null; rm -rf "$@"; }
part="$1.part-$3"
if [ ! -d "$1" ]; then
  drop "$part"
  # Where another pod was faster a failure does not matter: that pod has dropped this copy.
  { mkdir -p "$part" && cp -R "$2"/. "$part"/ && mv "$part" "$1"; } || [ -d "$1" ] || { drop "$part"; exit 1; }
fi
# Of pods that were killed, or slower: mv puts a copy into the folder that was there first.
drop "$1".part-* "$1/${1##*/}".part-* || true
{{- end }}

{{/* What both init containers have: list . torchserve, the folder where the cache is, and more variables. */}}
{{- define "whisper.initCommon" -}}
{{- $torchserve := index . 1 -}}
env:
  {{- include "whisper.homeEnv" . | nindent 2 }}
  {{- with concat (index . 3) (default list $torchserve.extraEnv) }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
resources:
  {{- toYaml $torchserve.resources | nindent 2 }}
securityContext:
  {{- toYaml (index . 0).Values.securityContext | nindent 2 }}
volumeMounts:
  - {name: models, mountPath: {{ index . 2 }}}
  - {name: tmp, mountPath: /tmp}
{{- end }}

{{/* Nothing is written but where a volume is. */}}
{{- define "whisper.homeEnv" -}}
- {name: HOME, value: /tmp}
- {name: NUMBA_CACHE_DIR, value: /tmp/numba}
{{- end }}
