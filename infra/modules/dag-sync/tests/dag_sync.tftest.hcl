provider "aws" {
  region = "eu-west-1"
}

variables {
  name            = "airflow-test"
  mode            = "service"
  image           = "r/s3sync@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  repository_arns = ["arn:aws:ecr:eu-west-1:123456789012:repository/s3sync"]
  bucket          = { name = "airflow-test-dags", arn = "arn:aws:s3:::airflow-test-dags" }
  kms_key_arn     = "arn:aws:kms:eu-west-1:123456789012:key/k"
  log_group       = { name = "/airflow-test/dag-sync", arn = "arn:aws:logs:eu-west-1:123456789012:log-group:/airflow-test/dag-sync" }
  mount           = { file_system_id = "fs-0a", file_system_arn = "arn:aws:elasticfilesystem:eu-west-1:123456789012:file-system/fs-0a", access_point_id = "fsap-0a", access_point_arn = "arn:aws:elasticfilesystem:eu-west-1:123456789012:access-point/fsap-0a" }
  placement       = { cluster_arn = "arn:aws:ecs:eu-west-1:123456789012:cluster/c", subnet_ids = ["subnet-0a"], security_group_ids = ["sg-0a"] }
}

run "a_service_that_alone_may_write" {
  command = apply
  assert {
    condition     = length(aws_ecs_service.this) == 1 && output.sidecar == null && local.container.command == ["watch", "s3://airflow-test-dags/dags", "/opt/airflow/dags"]
    error_message = "A service of its own."
  }
  assert {
    condition     = alltrue([for s in jsondecode(aws_iam_role_policy.task[0].policy).Statement : !contains(flatten([s.Action]), "s3:PutObject")])
    error_message = "Syncing writes nothing to S3."
  }
}

run "a_sidecar" {
  command = plan
  variables {
    mode      = "sidecar"
    placement = null
  }
  assert {
    condition     = length(aws_ecs_service.this) == 0 && length(aws_iam_role.task) == 0 && !jsondecode(output.sidecar.json).essential && jsondecode(output.sidecar.json).restartPolicy.enabled
    error_message = "No service, no role; restarted by ECS."
  }
}

run "refuses_a_service_without_a_place" {
  command = plan
  variables { placement = null }
  expect_failures = [var.placement]
}

run "refuses_a_tag_as_image" {
  command = plan
  variables { image = "s3sync:0.1.0" }
  expect_failures = [var.image]
}

run "refuses_a_prefix_with_slashes_at_its_ends" {
  command = plan
  variables { prefix = "/dags/" }
  expect_failures = [var.prefix]
}

run "refuses_a_setting_of_another_program" {
  command = plan
  variables { options = { ENTRYPOINT_MIGRATE = "auto" } }
  expect_failures = [var.options]
}

run "refuses_another_mode" {
  command = plan
  variables { mode = "cron" }
  expect_failures = [var.mode]
}
