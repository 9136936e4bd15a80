provider "aws" {
  region = "eu-west-1"
}

variables {
  name         = "airflow-test"
  kind         = "workers"
  cluster_name = "airflow-test"
  service_name = "worker"
  minimum      = 0
  maximum      = 10
}

run "an_alarm_for_each_count" {
  command = apply
  assert {
    condition     = length(aws_cloudwatch_metric_alarm.level) == 11 && length(aws_appautoscaling_policy.level) == 11
    error_message = "Ten counts and zero."
  }
  assert {
    condition     = alltrue([for a in aws_cloudwatch_metric_alarm.level : a.treat_missing_data == "ignore" && a.period == 10 && a.dimensions == tomap({ Environment = "airflow-test", Service = "worker" })])
    error_message = "As docs/autoscaling.md says."
  }
  assert {
    condition     = [for s in aws_appautoscaling_policy.level["08"].step_scaling_policy_configuration[0].step_adjustment : s.scaling_adjustment if s.metric_interval_upper_bound == null || s.metric_interval_upper_bound == ""] == [10]
    error_message = "The last step has no upper end."
  }
  assert {
    condition     = sort([for s in aws_appautoscaling_policy.level["08"].step_scaling_policy_configuration[0].step_adjustment : tostring(s.scaling_adjustment)]) == sort(["8", "9", "10"])
    error_message = "Every policy sets every count from its own on."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.level["03"].threshold == 2.5 && aws_cloudwatch_metric_alarm.level["00"].comparison_operator == "LessThanThreshold"
    error_message = "Half a count below."
  }
}

run "a_raised_maximum_is_applied" {
  command = apply
  variables { maximum = 12 }
  assert {
    condition     = aws_appautoscaling_target.this[0].max_capacity == 12
    error_message = "Without schedules nobody but Terraform changes the limits."
  }
}

run "no_alarm_at_zero_with_a_minimum" {
  command = plan
  variables {
    minimum   = 2
    maximum   = 4
    schedules = { night = { cron = "0 20 ? * * *", timezone = "Europe/Berlin", minimum = 0, maximum = 2 } }
  }
  assert {
    condition     = length(aws_cloudwatch_metric_alarm.level) == 4 && length(aws_appautoscaling_scheduled_action.this) == 1 && length(aws_appautoscaling_target.scheduled) == 1
    error_message = "Alarm 0 would never fire."
  }
}

run "the_web_tier" {
  command = plan
  variables {
    kind         = "web"
    service_name = "api-server"
    minimum      = 1
    maximum      = 3
  }
  assert {
    condition     = length(aws_appautoscaling_policy.web) == 2 && length(aws_cloudwatch_metric_alarm.level) == 0
    error_message = "CPU and memory."
  }
}

run "refuses_a_web_tier_at_zero" {
  command = plan
  variables { kind = "web" }
  expect_failures = [var.minimum]
}

run "refuses_more_steps_than_there_are" {
  command = plan
  variables { maximum = 30 }
  expect_failures = [var.maximum]
}

run "refuses_a_maximum_below_the_minimum" {
  command = plan
  variables {
    minimum = 5
    maximum = 3
  }
  expect_failures = [var.maximum]
}

run "refuses_a_schedule_of_five_fields" {
  command = plan
  variables { schedules = { night = { cron = "0 20 * * *", minimum = 0, maximum = 2 } } }
  expect_failures = [var.schedules]
}

run "refuses_another_kind" {
  command = plan
  variables { kind = "scheduler" }
  expect_failures = [var.kind]
}

run "refuses_a_name_that_does_not_fit" {
  command = plan
  variables { name = "Airflow_Production" }
  expect_failures = [var.name]
}
