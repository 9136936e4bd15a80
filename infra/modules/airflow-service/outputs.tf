output "service_name" {
  description = "The ECS service's name."
  value       = var.scaled ? aws_ecs_service.scaled[0].name : aws_ecs_service.fixed[0].name
}

output "task_definition_arn" {
  description = "The task definition, with its revision."
  value       = aws_ecs_task_definition.this.arn
}

output "family" {
  description = "The task definition's family."
  value       = aws_ecs_task_definition.this.family
}

output "task_role_name" {
  description = "The task role, for policies that DAGs need."
  value       = aws_iam_role.task.name
}

output "role_arns" {
  description = "Both roles, which whoever starts a one-off task must pass on."
  value       = [aws_iam_role.task.arn, aws_iam_role.execution.arn]
}

output "steady" {
  description = "Known once the service is steady, for `after` of those that follow."
  value       = var.scaled ? aws_ecs_service.scaled[0].id : aws_ecs_service.fixed[0].id
}
