output "cluster" {
  description = "The ECS cluster's name."
  value       = module.cluster.name
}

output "subnet_ids" {
  description = "Subnets for a one-off task."
  value       = local.task_subnets
}

output "security_group_id" {
  description = "Security group for a one-off task."
  value       = module.network.tasks_security_group_id
}

output "dags" {
  description = "Where DAGs are uploaded to."
  value       = module.dag_sync.source
}

output "url" {
  description = "Where Airflow is; null without a load balancer."
  value       = var.load_balancer == null ? null : try("https://${var.load_balancer.host}", null)
}

output "load_balancer_dns" {
  description = "The load balancer's own name, for an alias record."
  value       = var.load_balancer == null ? null : module.load_balancer[0].dns_name
}

output "api_host" {
  description = "The web tier's name inside the VPC."
  value       = module.cluster.api_host
}

output "admin_password_secret" {
  description = "The secret with the first administrator's password."
  value       = module.secrets.admin_password_secret
}

output "alarm_topic" {
  description = "Where a deployment that stopped halfway is told."
  value       = module.observability.topic_arn
}

output "database_identifier" {
  description = "The RDS instance; null where the database is somebody else's."
  value       = module.data.database.identifier
}

output "task_definitions" {
  description = "Task definitions by service, with their revisions."
  value = merge(
    { (local.web) = module.web.task_definition_arn },
    { for s, m in module.services : s => m.task_definition_arn },
    local.celery ? { worker = module.worker[0].task_definition_arn } : {},
  )
}

output "dashboard" {
  description = "The dashboard's name."
  value       = module.observability.dashboard
}
