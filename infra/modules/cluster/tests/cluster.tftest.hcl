provider "aws" {
  region = "eu-west-1"
}

variables {
  name        = "airflow-test"
  vpc_id      = "vpc-0a"
  kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/k"
  log_groups  = ["scheduler", "worker"]
}

run "logs_are_encrypted_and_end" {
  command = apply
  assert {
    condition     = alltrue([for g in aws_cloudwatch_log_group.this : g.retention_in_days == 30 && g.kms_key_id == var.kms_key_arn])
    error_message = "Encrypted, with an end."
  }
  assert {
    condition     = output.api_host == "api.airflow-test.internal"
    error_message = "The execution API has a name."
  }
}

run "an_existing_cluster" {
  command = plan
  variables { existing_cluster = { name = "shared", arn = "arn:aws:ecs:eu-west-1:123456789012:cluster/shared" } }
  assert {
    condition     = output.name == "shared" && length(aws_ecs_cluster.this) == 0
    error_message = "No second cluster."
  }
}

run "refuses_retention_that_cloudwatch_lacks" {
  command = plan
  variables { retention_days = 10 }
  expect_failures = [var.retention_days]
}

run "refuses_unknown_insights" {
  command = plan
  variables { container_insights = "on" }
  expect_failures = [var.container_insights]
}

run "refuses_a_name_that_does_not_fit" {
  command = plan
  variables { name = "Airflow_Production" }
  expect_failures = [var.name]
}
