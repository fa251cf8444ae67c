{{- /* The digests of the images of a release, by their names. hack/release.sh writes them down; the chart in the tree has none. */ -}}
{{- define "macpool.released" -}}
{}
{{- end -}}
