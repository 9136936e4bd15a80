output "parameters" {
  description = "The base path, for ENTRYPOINT_PARAMETERS."
  value       = local.base
  # A task that starts earlier finds half of it.
  depends_on = [aws_ssm_parameter.layout, aws_ssm_parameter.broker]
}

output "parameter_names" {
  description = "Every parameter's name below the base path."
  value       = sort(concat(keys(local.parameters), var.redis == null ? [] : ["broker-url"]))
}

output "broker_parameter_arn" {
  description = "The broker URL's parameter, for ECS's `secrets`; null without a broker."
  value       = var.redis == null ? null : aws_ssm_parameter.broker[0].arn
}

output "read_policy" {
  description = "JSON of a policy that may read these parameters and secrets."
  value       = data.aws_iam_policy_document.read.json
}

output "admin_password_secret" {
  description = "The secret with the administrator's first password; null without one."
  value       = var.admin == null ? null : aws_secretsmanager_secret.made["admin-password"].name
}
