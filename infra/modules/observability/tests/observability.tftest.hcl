provider "aws" {
  region = "eu-west-1"
}

variables {
  name           = "airflow-test"
  kms_key_arn    = "arn:aws:kms:eu-west-1:123456789012:key/k"
  cluster_name   = "airflow-test"
  file_system_id = "fs-0a"
  services       = { scheduler = {}, worker = { may_be_zero = true } }
}

run "silence_is_a_fault_where_a_service_must_run" {
  command = apply
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["scheduler-unhealthy"].treat_missing_data == "breaching" && aws_cloudwatch_metric_alarm.this["worker-unhealthy"].treat_missing_data == "notBreaching"
    error_message = "A scheduler that says nothing is down; workers may be at zero."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["sync-lag"].treat_missing_data == "breaching" && !contains(keys(aws_cloudwatch_metric_alarm.this), "queue-silent")
    error_message = "No alarm for a queue that is not there."
  }
  assert {
    condition     = alltrue([for a in aws_cloudwatch_metric_alarm.this : strcontains(a.alarm_description, ".md")])
    error_message = "Each alarm names its runbook."
  }
}

run "everything" {
  command = apply
  variables {
    emails         = ["ops@example.com"]
    slack          = { team_id = "T0AAAAAAA", channel_id = "C0AAAAAAA" }
    load_balancer  = { arn_suffix = "app/a/b", target_group_arn_suffix = "targetgroup/t/1" }
    database       = { identifier = "airflow-test" }
    redis_clusters = ["airflow-test-001", "airflow-test-002"]
    celery         = { queued_timeout = 1800 }
    budget         = { dollars = 150 }
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["lb-5xx"].threshold == 5 && aws_cloudwatch_metric_alarm.this["lb-5xx"].period == 300 && aws_cloudwatch_metric_alarm.this["slow"].extended_statistic == "p90"
    error_message = "5 in 5 minutes, and p90."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["task-waits"].threshold == 900
    error_message = "Told at half of what Airflow waits."
  }
  assert {
    condition     = length(jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets) == 10
    error_message = "One screen."
  }
  assert {
    condition     = length(aws_budgets_budget.this) == 1 && length(aws_chatbot_slack_channel_configuration.this) == 1
    error_message = "Money and Slack."
  }
}

run "refuses_a_channel_by_name" {
  command = plan
  variables { slack = { team_id = "acme", channel_id = "#airflow" } }
  expect_failures = [var.slack]
}

run "refuses_no_address" {
  command = plan
  variables { emails = ["ops"] }
  expect_failures = [var.emails]
}

run "refuses_a_budget_of_nothing" {
  command = plan
  variables { budget = { dollars = 0 } }
  expect_failures = [var.budget]
}

run "refuses_a_name_that_does_not_fit" {
  command = plan
  variables { name = "Airflow_Production" }
  expect_failures = [var.name]
}
