output "target_group_arn" {
  description = "For airflow-service's `load_balancer`."
  value       = aws_lb_target_group.airflow.arn
  # ECS refuses a target group that no listener uses.
  depends_on = [aws_lb_listener.https, aws_lb_listener_rule.existing]
}

output "dns_name" {
  description = "Its name, for an alias or CNAME; null with an existing one."
  value       = local.new ? aws_lb.this[0].dns_name : null
}

output "arn_suffix" {
  description = "The dimension LoadBalancer of its metrics."
  value       = local.new ? aws_lb.this[0].arn_suffix : var.existing.arn_suffix
}

output "target_group_arn_suffix" {
  description = "The dimension TargetGroup of its metrics."
  value       = aws_lb_target_group.airflow.arn_suffix
}
