{{/* What no schema can say: settings that do not go together. Each message is a sentence that says what to do. */}}
{{- define "whisper.validate" -}}
{{- $v := .Values -}}
{{- if and $v.apiKeys.enabled (not $v.apiKeys.existingSecret) (not $v.apiKeys.file) -}}
{{- fail "apiKeys.enabled needs apiKeys.existingSecret, or the file of `whisper-serve keys`: --set-file apiKeys.file=keys.jsonl." -}}
{{- end -}}
{{- if and $v.apiKeys.existingSecret $v.apiKeys.file -}}
{{- fail "apiKeys has an existingSecret and a file: set only one of them." -}}
{{- end -}}
{{- range $number, $line := splitList "\n" $v.apiKeys.file -}}
{{- if trim $line -}}
{{- $entry := fromJson $line -}}
{{- range list "id" "label" "salt" "hash" "created" -}}
{{- if not (and (hasKey $entry .) (kindIs "string" (get $entry .))) -}}
{{- fail (printf "apiKeys.file is not a file of `whisper-serve keys`: line %d has no %s." (add $number 1) .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $scaling := $v.autoscaling -}}
{{- $auto := ne $scaling.provider "none" -}}
{{- $one := and $v.modelCache.persistence.enabled (not $v.modelCache.persistence.existingClaim) (not (has "ReadWriteMany" $v.modelCache.persistence.accessModes)) -}}
{{- range include "whisper.models" . | fromJsonArray -}}
{{- $of := ternary (printf " (model %s)" .name) "" (gt (len $v.models) 1) -}}
{{- $own := .torchserve.autoscaling -}}
{{- $scaled := and $auto $own.enabled -}}
{{- if and $scaled (gt (int $own.minReplicas) (int $own.maxReplicas)) -}}
{{- fail (printf "autoscaling.torchserve.minReplicas is more than its maxReplicas%s." $of) -}}
{{- end -}}
{{- if and $scaled (eq (int $own.minReplicas) 0) (ne $scaling.provider "keda") -}}
{{- fail (printf "autoscaling.torchserve.minReplicas can be 0 only with autoscaling.provider: keda%s." $of) -}}
{{- end -}}
{{- if and $one (gt (int (ternary $own.maxReplicas .torchserve.replicas $scaled)) 1) -}}
{{- fail (printf "modelCache.persistence.accessModes needs ReadWriteMany when TorchServe may have several pods%s." $of) -}}
{{- end -}}
{{- if and (eq .torchserve.device "cpu") (not (dig "limits" "cpu" "" .torchserve.resources)) -}}
{{- fail (printf "torchserve.device: cpu needs torchserve.resources.limits.cpu, which sets the threads of its workers%s." $of) -}}
{{- end -}}
{{- end -}}
{{- if $v.gateway.autoscaling.enabled -}}
{{- if not $auto -}}
{{- fail "gateway.autoscaling.enabled needs autoscaling.provider: hpa or keda." -}}
{{- end -}}
{{- if gt (int $v.gateway.autoscaling.minReplicas) (int $v.gateway.autoscaling.maxReplicas) -}}
{{- fail "gateway.autoscaling.minReplicas is more than its maxReplicas." -}}
{{- end -}}
{{- if not (dig "requests" "cpu" "" $v.gateway.resources) -}}
{{- fail "gateway.autoscaling.enabled needs gateway.resources.requests.cpu, of which it takes the percentage." -}}
{{- end -}}
{{- end -}}
{{- $settings := include "whisper.gatewaySettings" . | fromJson -}}
{{- if and (include "whisper.wakeSeconds" .) (lt (float64 $settings.holdSeconds) 60.0) -}}
{{- fail "gateway.settings.holdSeconds is too short for autoscaling.torchserve.minReplicas: 0: the first request waits for a whole start." -}}
{{- end -}}
{{- if lt (float64 $settings.requestTimeout) (float64 $settings.holdSeconds) -}}
{{- fail "gateway.settings.requestTimeout is less than holdSeconds: a request that is held would time out." -}}
{{- end -}}
{{- if and $v.httpRoute.enabled (not $v.httpRoute.parentRefs) -}}
{{- fail "httpRoute.enabled needs httpRoute.parentRefs: the Gateway that takes the route." -}}
{{- end -}}
{{- if and $v.grpcRoute.enabled (not $v.grpcRoute.parentRefs) -}}
{{- fail "grpcRoute.enabled needs grpcRoute.parentRefs: the Gateway that takes the route." -}}
{{- end -}}
{{- if and (or $v.grpcRoute.enabled (and $v.ingress.enabled $v.ingress.grpc.enabled)) (not $v.gateway.grpc) -}}
{{- fail "grpcRoute and ingress.grpc need gateway.grpc: true." -}}
{{- end -}}
{{- if and $v.ingress.enabled $v.ingress.grpc.enabled (not $v.ingress.grpc.tlsSecret) (not $v.ingress.tlsSecret) -}}
{{- fail "ingress.grpc needs TLS: set ingress.grpc.tlsSecret or ingress.tlsSecret." -}}
{{- end -}}
{{- end }}
