# One screen, from top to bottom: is anything wrong; which service; do tasks flow; do DAGs arrive; what it
# all stands on.
locals {
  own_tasks = { for s, service in var.services : s => service if service.own_task }
  widget = {
    services = [for s in sort(keys(var.services)) : ["Trimtab", "ServiceHealthy", "Environment", var.name, "Service", s]]
    memory   = [for s in sort(keys(local.own_tasks)) : ["AWS/ECS", "MemoryUtilization", "ClusterName", var.cluster_name, "ServiceName", s]]
    cpu      = [for s in sort(keys(local.own_tasks)) : ["AWS/ECS", "CPUUtilization", "ClusterName", var.cluster_name, "ServiceName", s]]
    sync = [for m in ["SyncLag", "DeletesHeld", "SyncErrors", "FilesChanged"] :
    ["Trimtab", m, "Environment", var.name, "Service", var.dag_sync_service]]
    queue = var.celery == null ? [] : [for m in ["TasksReady", "TasksBusy", "WorkersTarget", "WorkersAlive"] :
    ["Trimtab", m, "Environment", var.name, "Service", var.celery.service]]
    age = var.celery == null ? [] : [for m in ["OldestTaskAge", "SampleAge"] :
    ["Trimtab", m, "Environment", var.name, "Service", var.celery.service]]
    database = var.database == null ? [] : [for m in ["CPUUtilization", "DatabaseConnections"] :
    ["AWS/RDS", m, "DBInstanceIdentifier", var.database.identifier]]
    redis = [for id in var.redis_clusters : ["AWS/ElastiCache", "DatabaseMemoryUsagePercentage", "CacheClusterId", id]]
    web = [for m in var.load_balancer == null ? [] : ["RequestCount", "HTTPCode_Target_5XX_Count", "HTTPCode_ELB_5XX_Count"] :
    ["AWS/ApplicationELB", m, "LoadBalancer", var.load_balancer.arn_suffix]]
  }

  # title, metrics, statistic; those without metrics are left out
  graphs = [for g in [
    { title = "Service healthy (1) or not (0)", metrics = jsonencode(local.widget.services), stat = "Minimum" },
    { title = "Tasks and workers", metrics = jsonencode(local.widget.queue), stat = "Maximum" },
    { title = "Oldest waiting task, age of the sample (s)", metrics = jsonencode(local.widget.age), stat = "Maximum" },
    { title = "DAG sync", metrics = jsonencode(local.widget.sync), stat = "Maximum" },
    { title = "Web tier", metrics = jsonencode(local.widget.web), stat = "Sum" },
    { title = "Memory of services (%)", metrics = jsonencode(local.widget.memory), stat = "Maximum" },
    { title = "CPU of services (%)", metrics = jsonencode(local.widget.cpu), stat = "Average" },
    { title = "Database", metrics = jsonencode(local.widget.database), stat = "Maximum" },
    { title = "Broker's memory (%)", metrics = jsonencode(local.widget.redis), stat = "Maximum" },
  ] : g if g.metrics != "[]"]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name
  dashboard_body = jsonencode({
    widgets = concat(
      [jsondecode(jsonencode({
        type       = "alarm", x = 0, y = 0, width = 24, height = 4
        properties = { title = "Is it healthy?", alarms = [for a in aws_cloudwatch_metric_alarm.this : a.arn] }
      }))],
      [for n, g in local.graphs : jsondecode(jsonencode({
        type = "metric", x = 8 * (n % 3), y = 4 + 6 * floor(n / 3), width = 8, height = 6
        properties = {
          title = g.title, view = "timeSeries", region = local.region, period = 60, stat = g.stat, metrics = jsondecode(g.metrics)
        }
      }))],
    )
  })
}
