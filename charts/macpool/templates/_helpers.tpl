{{- /* The image of a workload: (list $ "macpool-agent" .Values.agent). A digest, where one is given, goes before the tag; where neither is,
it is the image that the chart was released with. */ -}}
{{- define "macpool.image" -}}
{{- $root := index . 0 -}}
{{- $name := printf "%s/%s" $root.Values.image.registry (index . 1) -}}
{{- $digest := (index . 2).digest -}}
{{- if not (or $digest $root.Values.image.tag) -}}
{{- $digest = get (include "macpool.released" $root | fromJson) (index . 1) -}}
{{- end -}}
{{- if $digest -}}
{{ $name }}@{{ $digest }}
{{- else -}}
{{ $name }}:{{ $root.Values.image.tag | default $root.Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "macpool.labels" -}}
app.kubernetes.io/name: macpool
app.kubernetes.io/component: {{ . }}
{{- end -}}

{{- /* What of a pod both workloads let be set alike: (list $ .Values.agent). */ -}}
{{- define "macpool.scheduling" -}}
{{- $root := index . 0 -}}
{{- $workload := index . 1 -}}
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
{{- toYaml . | nindent 0 }}
{{- end }}
{{- with $workload.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $workload.nodeSelector }}
nodeSelector:
{{- toYaml . | nindent 2 }}
{{- end }}
{{- with $workload.tolerations }}
tolerations:
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end -}}
