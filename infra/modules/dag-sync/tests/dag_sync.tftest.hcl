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
    condition     = flatten([for s in jsondecode(aws_iam_role_policy.task[0].policy).Statement : s.Resource if contains(flatten([s.Action]), "s3:PutObject")]) == ["arn:aws:s3:::airflow-test-dags/dags/.s3sync/reports/*"]
    error_message = "Syncing writes nothing to S3 but its report."
  }
}

run "without_a_report_it_writes_nothing" {
  command = plan
  variables { report = false }
  assert {
    condition     = !strcontains(data.aws_iam_policy_document.read.json, "PutObject") && !strcontains(data.aws_iam_policy_document.read.json, "GenerateDataKey") && !contains(keys(local.environment), "S3SYNC_REPORT")
    error_message = "Nothing to S3."
  }
}

run "in_place_without_a_layout" {
  command = plan
  assert {
    condition     = local.environment["S3SYNC_LAYOUT"] == "in-place" && output.ready_file == "/opt/airflow/dags/.s3sync/manifest.jsonl"
    error_message = "The directory is the tree, and there at the first pass."
  }
}

run "generations" {
  command = apply
  variables {
    layout  = "generations"
    options = { S3SYNC_KEEP_FOR = "30d" }
  }
  assert {
    condition     = local.environment["S3SYNC_LAYOUT"] == "generations" && local.environment["S3SYNC_KEEP_FOR"] == "30d" && output.ready_file == "/opt/airflow/dags/current"
    error_message = "Whoever reads them waits for the name of the first."
  }
  assert {
    condition     = flatten([for s in jsondecode(aws_iam_role_policy.task[0].policy).Statement : s.Resource if contains(flatten([s.Action]), "s3:PutObject")]) == ["arn:aws:s3:::airflow-test-dags/dags/.s3sync/reports/*"]
    error_message = "They need no more of S3 than the report, for which `publish --wait` looks."
  }
}

run "a_first_apply_needs_no_upload" {
  command = plan
  assert {
    condition     = aws_s3_object.first.key == "dags/.airflowignore" && aws_s3_object.first.bucket == "airflow-test-dags"
    error_message = "With an empty prefix s3sync is not healthy, and nothing that waits for it starts."
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

run "refuses_a_layout_that_contradicts" {
  command = plan
  variables { options = { S3SYNC_LAYOUT = "generations" } }
  expect_failures = [var.options]
}

run "refuses_another_layout" {
  command = plan
  variables { layout = "links" }
  expect_failures = [var.layout]
}

run "refuses_another_mode" {
  command = plan
  variables { mode = "cron" }
  expect_failures = [var.mode]
}

run "refuses_a_name_that_does_not_fit" {
  command = plan
  variables { name = "Airflow_Production" }
  expect_failures = [var.name]
}

run "refuses_unknown_metrics" {
  command = plan
  variables { metrics = "statsd" }
  expect_failures = [var.metrics]
}

run "refuses_another_architecture" {
  command = plan
  variables { architecture = "arm64" }
  expect_failures = [var.architecture]
}
