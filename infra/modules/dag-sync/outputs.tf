output "sidecar" {
  description = "The container for airflow-service's `sidecar`; null with the mode `service`."
  value       = var.mode == "sidecar" ? { name = "s3sync", json = jsonencode(local.definition) } : null
  depends_on  = [aws_s3_object.first]
}

output "read_policy" {
  description = "JSON of a policy that may read the DAGs and leave the report, for the task role of a sidecar's task."
  value       = data.aws_iam_policy_document.read.json
}

output "ready_file" {
  description = "The file that is there once there are DAGs to read: in place the manifest, which the first pass writes; else the name of the current generation."
  value       = var.layout == "generations" ? "${var.path}/current" : "${var.path}/.s3sync/manifest.jsonl"
}

output "source" {
  description = "The URI that is kept."
  value       = "s3://${var.bucket.name}/${var.prefix}"
}

output "role_arns" {
  description = "Both roles of the service; empty with the mode `sidecar`."
  value       = concat(aws_iam_role.task[*].arn, aws_iam_role.execution[*].arn)
}
