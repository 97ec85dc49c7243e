{{/*
All models as JSON, each with what is made of its values: `part`, by which its objects are called and its pods are selected,
`aliases`, all of its other names, and `torchserve`, its own values over those of all models. They are checked here, since
whatever is rendered first needs them.
*/}}
{{- define "whisper.models" -}}
{{- $root := . -}}
{{- $models := list -}}
{{- $owners := include "whisper.nameOwners" . | fromJson -}}
{{- $parts := dict -}}
{{- range $number, $given := .Values.models -}}
{{- $name := $given.name | default "whisper" -}}
{{- $source := $given.source | default dict -}}
{{- include "whisper.checkSource" (list (printf "models[%d].source" $number) $source) -}}
{{- /* These names come by themselves, unless they are another model's. */ -}}
{{- $aliases := $given.aliases | default list -}}
{{- if and (eq $number 0) (not (hasKey $given "aliases")) -}}
{{- $aliases = list "whisper-1" -}}
{{- end -}}
{{- $official := ternary "base" ($source.name | default "" | trimPrefix "random:") (eq ($source.name | default "") "trial") -}}
{{- $names := list -}}
{{- range append $aliases $official -}}
{{- if and . (or (not (hasKey $owners .)) (eq (int (get $owners .)) $number)) -}}
{{- $names = append $names . -}}
{{- $_ := set $owners . $number -}}
{{- end -}}
{{- end -}}
{{- $part := "torchserve" -}}
{{- if gt (len $root.Values.models) 1 -}}
{{- $part = printf "torchserve-%s" ($name | lower | replace "_" "-" | replace "." "-") -}}
{{- end -}}
{{- if hasKey $parts $part -}}
{{- fail (printf "models[%d].name and models[%d].name both make objects called %s: change one of them." (get $parts $part) $number $part) -}}
{{- end -}}
{{- $_ := set $parts $part $number -}}
{{- if gt (len (printf "%s-%s" (include "whisper.fullname" $root) $part)) 63 -}}
{{- fail (printf "models[%d].name is too long for names of objects, which have 63 characters: shorten it, or set fullnameOverride." $number) -}}
{{- end -}}
{{- $shared := set (deepCopy $root.Values.torchserve) "autoscaling" $root.Values.autoscaling.torchserve -}}
{{- $torchserve := include "whisper.over" (list $shared ($given.torchserve | default dict)) | fromJson -}}
{{- $models = append $models (dict "name" $name "aliases" (without ($names | uniq) $name) "source" $source "part" $part "torchserve" $torchserve) -}}
{{- end -}}
{{- $models | toJson -}}
{{- end }}

{{/* Of each name that values give to a model, the model's number, as JSON. */}}
{{- define "whisper.nameOwners" -}}
{{- $owners := dict -}}
{{- range $number, $model := .Values.models -}}
{{- range prepend ($model.aliases | default list) ($model.name | default "whisper") -}}
{{- if and (hasKey $owners .) (ne (get $owners .) $number) -}}
{{- fail (printf "models[%d] and models[%d] are both called %s: a name or alias is for one model only." (get $owners .) $number .) -}}
{{- end -}}
{{- $_ := set $owners . $number -}}
{{- end -}}
{{- end -}}
{{- $owners | toJson -}}
{{- end }}

{{/* A map with another one over it, as JSON: list below above. Not merge: to that a 0 is nothing. A null takes a key away, as everywhere in Helm. */}}
{{- define "whisper.over" -}}
{{- $both := deepCopy (index . 0) -}}
{{- range $key, $value := index . 1 -}}
{{- if kindIs "invalid" $value -}}
{{- $_ := unset $both $key -}}
{{- else if and (kindIs "map" $value) (kindIs "map" (get $both $key)) -}}
{{- $_ := set $both $key (include "whisper.over" (list (get $both $key) $value) | fromJson) -}}
{{- else -}}
{{- $_ := set $both $key $value -}}
{{- end -}}
{{- end -}}
{{- $both | toJson -}}
{{- end }}

{{/* The claim that keeps a model's weights: list . "torchserve-turbo" */}}
{{- define "whisper.claim" -}}
{{ include "whisper.fullname" (index . 0) }}-{{ index . 1 | replace "torchserve" "models" }}
{{- end }}
