output "name" {
  description = "The cluster's name."
  value       = var.existing_cluster == null ? aws_ecs_cluster.this[0].name : var.existing_cluster.name
}

output "arn" {
  description = "The cluster's ARN."
  value       = var.existing_cluster == null ? aws_ecs_cluster.this[0].arn : var.existing_cluster.arn
  # A service on Spot needs the capacity providers.
  depends_on = [aws_ecs_cluster_capacity_providers.this]
}

output "log_groups" {
  description = "Log groups by service: name and ARN."
  value       = { for service, group in aws_cloudwatch_log_group.this : service => { name = group.name, arn = group.arn } }
}

output "api_registry_arn" {
  description = "Where the API server registers its addresses."
  value       = aws_service_discovery_service.api.arn
}

output "api_host" {
  description = "The API server's name inside the VPC."
  value       = "${aws_service_discovery_service.api.name}.${aws_service_discovery_private_dns_namespace.this.name}"
}
