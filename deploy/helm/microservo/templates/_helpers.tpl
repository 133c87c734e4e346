{{- define "microservo.labels" -}}
app.kubernetes.io/name: microservo
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: microservo
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "microservo.namespaces" -}}
{{- toJson (default (list .Release.Namespace) .Values.target.namespaces) -}}
{{- end }}

{{- define "microservo.bootstrapServers" -}}
{{- if .Values.kafka.bootstrapServers -}}
{{- .Values.kafka.bootstrapServers -}}
{{- else if .Values.strimzi.enabled -}}
{{- printf "%s-kafka-bootstrap:9092" .Values.strimzi.cluster -}}
{{- else -}}
{{- fail "name a Kafka: set kafka.bootstrapServers to host:port, or strimzi.enabled to true" -}}
{{- end -}}
{{- end }}

{{- define "microservo.regionName" -}}
{{- .name | lower | replace " " "-" -}}
{{- end }}

{{- define "microservo.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end }}

{{- define "microservo.pod" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
securityContext: {{ toJson .Values.podSecurityContext }}
nodeSelector: {{ toJson .Values.nodeSelector }}
tolerations: {{ toJson .Values.tolerations }}
affinity: {{ toJson .Values.affinity }}
{{- end }}

{{- define "microservo.container" -}}
image: {{ include "microservo.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext: {{ toJson .Values.securityContext }}
resources: {{ toJson .Values.resources }}
envFrom:
  - configMapRef: {name: {{ .Release.Name }}-settings}
{{- with .Values.kafka.existingSecret }}
  - secretRef: {name: {{ . }}}
{{- end }}
{{- end }}
