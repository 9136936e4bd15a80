output "alarm_names" {
  description = "The alarms that carry the count over."
  value       = [for a in aws_cloudwatch_metric_alarm.level : a.alarm_name]
}

output "target" {
  description = "The scalable target."
  value       = local.target.resource_id
}
