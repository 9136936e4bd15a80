locals {
  workers    = var.kind == "workers"
  resource   = "service/${var.cluster_name}/${var.service_name}"
  count      = "ecs:service:DesiredCount"
  target     = concat(aws_appautoscaling_target.this, aws_appautoscaling_target.scheduled)[0]
  dimensions = { Environment = var.name, Service = var.metric_service }
  # One alarm for each count, and one at zero where zero is allowed: docs/autoscaling.md says why.
  levels = { for k in range(var.minimum == 0 ? 0 : 1, var.maximum + 1) : format("%02d", k) => k if local.workers }
}

# Two of the same, because Terraform's lifecycle takes no condition: a changed limit must be applied, and one
# that a schedule has set must not be put back before the schedule says so.
resource "aws_appautoscaling_target" "this" {
  count              = length(var.schedules) == 0 ? 1 : 0
  service_namespace  = "ecs"
  resource_id        = local.resource
  scalable_dimension = local.count
  min_capacity       = var.minimum
  max_capacity       = var.maximum
}

resource "aws_appautoscaling_target" "scheduled" {
  count              = length(var.schedules) == 0 ? 0 : 1
  service_namespace  = "ecs"
  resource_id        = local.resource
  scalable_dimension = local.count
  min_capacity       = var.minimum
  max_capacity       = var.maximum
  lifecycle {
    ignore_changes = [min_capacity, max_capacity]
  }
}

# ---- workers: the count is the metric -------------------------------------------------------------------

resource "aws_appautoscaling_policy" "level" {
  for_each           = local.levels
  name               = "${var.name}-${var.service_name}-${each.key}"
  policy_type        = "StepScaling"
  service_namespace  = local.target.service_namespace
  resource_id        = local.target.resource_id
  scalable_dimension = local.target.scalable_dimension
  step_scaling_policy_configuration {
    adjustment_type         = "ExactCapacity"
    metric_aggregation_type = "Maximum"
    cooldown                = 0
    # From its own count on, each policy has a step for every count: an alarm that stays repeats its action
    # once a minute, and policies with one count each would fight.
    dynamic "step_adjustment" {
      for_each = each.value == 0 ? [] : range(0, var.maximum - each.value + 1)
      content {
        metric_interval_lower_bound = step_adjustment.value
        metric_interval_upper_bound = each.value + step_adjustment.value == var.maximum ? null : step_adjustment.value + 1
        scaling_adjustment          = each.value + step_adjustment.value
      }
    }
    dynamic "step_adjustment" {
      for_each = each.value == 0 ? [0] : []
      content {
        metric_interval_upper_bound = 0
        scaling_adjustment          = 0
      }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "level" {
  for_each            = local.levels
  alarm_name          = "${var.name}-${var.service_name}-${each.value == 0 ? "none" : "${each.value}"}-wanted"
  alarm_description   = "Sets the count of ${var.service_name}; no alarm for people."
  namespace           = "Trimtab"
  metric_name         = "WorkersTarget"
  dimensions          = local.dimensions
  statistic           = "Maximum"
  period              = 10
  evaluation_periods  = 1
  threshold           = each.value == 0 ? 0.5 : each.value - 0.5
  comparison_operator = each.value == 0 ? "LessThanThreshold" : "GreaterThanOrEqualToThreshold"
  # Nothing is published while Redis is silent: the count stays as it is.
  treat_missing_data = "ignore"
  alarm_actions      = [aws_appautoscaling_policy.level[each.key].arn]
}

# ---- web tier -------------------------------------------------------------------------------------------

resource "aws_appautoscaling_policy" "web" {
  for_each = local.workers ? {} : {
    cpu    = { metric = "ECSServiceAverageCPUUtilization", target = var.cpu_percent }
    memory = { metric = "ECSServiceAverageMemoryUtilization", target = var.memory_percent }
  }
  name               = "${var.name}-${var.service_name}-${each.key}"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = local.target.service_namespace
  resource_id        = local.target.resource_id
  scalable_dimension = local.target.scalable_dimension
  target_tracking_scaling_policy_configuration {
    target_value       = each.value.target
    scale_out_cooldown = 60
    scale_in_cooldown  = 300
    predefined_metric_specification {
      predefined_metric_type = each.value.metric
    }
  }
}

# ---- off hours ------------------------------------------------------------------------------------------

resource "aws_appautoscaling_scheduled_action" "this" {
  for_each           = var.schedules
  name               = "${var.name}-${var.service_name}-${each.key}"
  service_namespace  = local.target.service_namespace
  resource_id        = local.target.resource_id
  scalable_dimension = local.target.scalable_dimension
  schedule           = "cron(${each.value.cron})"
  timezone           = each.value.timezone
  scalable_target_action {
    min_capacity = each.value.minimum
    max_capacity = each.value.maximum
  }
}
