# Every alarm is a row here. `missing` says what silence means: breaching where it is itself the fault.
locals {
  gib      = 1073741824
  above    = "GreaterThanThreshold"
  at_least = "GreaterThanOrEqualToThreshold"
  below    = "LessThanThreshold"

  lb_dimensions     = var.load_balancer == null ? {} : { LoadBalancer = var.load_balancer.arn_suffix }
  target_dimensions = var.load_balancer == null ? {} : { LoadBalancer = var.load_balancer.arn_suffix, TargetGroup = var.load_balancer.target_group_arn_suffix }

  load_balancer = var.load_balancer == null ? {} : {
    lb-5xx = {
      namespace = "AWS/ApplicationELB", metric = "HTTPCode_ELB_5XX_Count", dimensions = local.lb_dimensions, statistic = "Sum"
      period    = 300, periods = 1, compare = local.at_least, threshold = 5, missing = "notBreaching", page = "web.md"
    }
    target-5xx = {
      namespace = "AWS/ApplicationELB", metric = "HTTPCode_Target_5XX_Count", dimensions = local.target_dimensions, statistic = "Sum"
      period    = 300, periods = 1, compare = local.at_least, threshold = 5, missing = "notBreaching", page = "web.md"
    }
    unhealthy-hosts = {
      namespace = "AWS/ApplicationELB", metric = "UnHealthyHostCount", dimensions = local.target_dimensions, statistic = "Maximum"
      period    = 60, periods = 5, compare = local.at_least, threshold = 1, missing = "notBreaching", page = "web.md"
    }
    slow = {
      namespace = "AWS/ApplicationELB", metric = "TargetResponseTime", dimensions = local.target_dimensions, statistic = "p90"
      period    = 300, periods = 3, compare = local.above, threshold = 2, missing = "notBreaching", page = "web.md"
    }
  }

  tasks = merge([for s, service in var.services : {
    "${s}-cpu" = {
      namespace = "AWS/ECS", metric = "CPUUtilization", dimensions = { ClusterName = var.cluster_name, ServiceName = s }, statistic = "Average"
      period    = 300, periods = 3, compare = local.above, threshold = 90, missing = "notBreaching", page = "size.md"
    }
    "${s}-memory" = {
      namespace = "AWS/ECS", metric = "MemoryUtilization", dimensions = { ClusterName = var.cluster_name, ServiceName = s }, statistic = "Maximum"
      period    = 60, periods = 5, compare = local.above, threshold = 90, missing = "notBreaching", page = "size.md"
    }
  } if service.own_task]...)

  services = merge([for s, service in var.services : {
    "${s}-unhealthy" = {
      namespace = "Trimtab", metric = "ServiceHealthy", dimensions = { Environment = var.name, Service = s }, statistic = "Minimum"
      period    = 60, periods = 5, compare = local.below, threshold = 1, missing = service.may_be_zero ? "notBreaching" : "breaching", page = "service-healthy.md"
    }
    "${s}-oom" = {
      namespace = "Trimtab", metric = "OomKills", dimensions = { Environment = var.name, Service = s }, statistic = "Maximum"
      period    = 300, periods = 1, compare = local.above, threshold = 0, missing = "notBreaching", page = "size.md"
    }
  }]...)

  sync = {
    sync-lag = {
      namespace = "Trimtab", metric = "SyncLag", dimensions = { Environment = var.name, Service = var.dag_sync_service }, statistic = "Maximum"
      period    = 60, periods = 5, compare = local.above, threshold = 300, missing = "breaching", page = "sync-lag.md"
    }
    deletes-held = {
      namespace = "Trimtab", metric = "DeletesHeld", dimensions = { Environment = var.name, Service = var.dag_sync_service }, statistic = "Maximum"
      period    = 60, periods = 1, compare = local.above, threshold = 0, missing = "notBreaching", page = "deletes-held.md"
    }
    sync-errors = {
      namespace = "Trimtab", metric = "SyncErrors", dimensions = { Environment = var.name, Service = var.dag_sync_service }, statistic = "Sum"
      period    = 900, periods = 1, compare = local.above, threshold = 10, missing = "notBreaching", page = "sync-lag.md"
    }
  }

  queue = var.celery == null ? {} : {
    queue-silent = {
      namespace = "Trimtab", metric = "SampleAge", dimensions = { Environment = var.name, Service = var.celery.service }, statistic = "Maximum"
      period    = 60, periods = 3, compare = local.above, threshold = 60, missing = "breaching", page = "queue-silent.md"
    }
    # Well before Airflow gives such a task up.
    task-waits = {
      namespace = "Trimtab", metric = "OldestTaskAge", dimensions = { Environment = var.name, Service = var.celery.service }, statistic = "Maximum"
      period    = 60, periods = 3, compare = local.above, threshold = floor(var.celery.queued_timeout / 2), missing = "notBreaching", page = "task-waits.md"
    }
    worker-unprotected = {
      namespace = "Trimtab", metric = "WorkerUnprotected", dimensions = { Environment = var.name, Service = var.celery.service }, statistic = "Maximum"
      period    = 60, periods = 5, compare = local.above, threshold = 0, missing = "notBreaching", page = "task-waits.md"
    }
    # One that shuts down is silent for two minutes.
    worker-silent = {
      namespace = "Trimtab", metric = "WorkerSilent", dimensions = { Environment = var.name, Service = var.celery.service }, statistic = "Maximum"
      period    = 60, periods = 10, compare = local.above, threshold = 0, missing = "notBreaching", page = "task-waits.md"
    }
  }

  database = var.database == null ? {} : {
    db-cpu = {
      namespace = "AWS/RDS", metric = "CPUUtilization", dimensions = { DBInstanceIdentifier = var.database.identifier }, statistic = "Average"
      period    = 300, periods = 3, compare = local.above, threshold = 80, missing = "notBreaching", page = "database.md"
    }
    db-storage = {
      namespace = "AWS/RDS", metric = "FreeStorageSpace", dimensions = { DBInstanceIdentifier = var.database.identifier }, statistic = "Minimum"
      period    = 300, periods = 1, compare = local.below, threshold = floor(var.database.storage_gb * local.gib / 10), missing = "notBreaching", page = "database.md"
    }
    db-memory = {
      namespace = "AWS/RDS", metric = "FreeableMemory", dimensions = { DBInstanceIdentifier = var.database.identifier }, statistic = "Minimum"
      period    = 300, periods = 3, compare = local.below, threshold = local.gib / 8, missing = "notBreaching", page = "database.md"
    }
    db-connections = {
      namespace = "AWS/RDS", metric = "DatabaseConnections", dimensions = { DBInstanceIdentifier = var.database.identifier }, statistic = "Maximum"
      period    = 60, periods = 5, compare = local.above, threshold = floor(var.database.max_connections * 0.8), missing = "breaching", page = "database.md"
    }
  }

  redis = merge([for n, id in var.redis_clusters : {
    "redis-${n + 1}-memory" = {
      namespace = "AWS/ElastiCache", metric = "DatabaseMemoryUsagePercentage", dimensions = { CacheClusterId = id }, statistic = "Maximum"
      period    = 60, periods = 5, compare = local.above, threshold = 75, missing = "notBreaching", page = "redis.md"
    }
    "redis-${n + 1}-evictions" = {
      namespace = "AWS/ElastiCache", metric = "Evictions", dimensions = { CacheClusterId = id }, statistic = "Sum"
      period    = 60, periods = 1, compare = local.above, threshold = 0, missing = "notBreaching", page = "redis.md"
    }
  }]...)

  files = {
    files-io = {
      namespace = "AWS/EFS", metric = "PercentIOLimit", dimensions = { FileSystemId = var.file_system_id }, statistic = "Maximum"
      period    = 300, periods = 3, compare = local.above, threshold = 90, missing = "notBreaching", page = "sync-lag.md"
    }
  }

  alarms = merge(local.load_balancer, local.services, local.tasks, local.sync, local.queue, local.database, local.redis, local.files)
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each            = local.alarms
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "${each.value.metric}: ${var.runbooks}/${each.value.page}"
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = startswith(each.value.statistic, "p") ? null : each.value.statistic
  extended_statistic  = startswith(each.value.statistic, "p") ? each.value.statistic : null
  period              = each.value.period
  evaluation_periods  = each.value.periods
  threshold           = each.value.threshold
  comparison_operator = each.value.compare
  treat_missing_data  = each.value.missing
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}
