provider "aws" {
  region = "eu-west-1"
}

variables {
  name               = "airflow-test"
  service            = "scheduler"
  cluster_arn        = "arn:aws:ecs:eu-west-1:123456789012:cluster/airflow-test"
  cluster_name       = "airflow-test"
  cpu                = 512
  memory             = 2048
  subnet_ids         = ["subnet-0a", "subnet-0b"]
  security_group_ids = ["sg-0a"]
  log_group          = { name = "/airflow-test/scheduler", arn = "arn:aws:logs:eu-west-1:123456789012:log-group:/airflow-test/scheduler" }
  parameters         = "/airflow-test"
  repository_arns    = ["arn:aws:ecr:eu-west-1:123456789012:repository/airflow"]
  images = {
    airflow       = "r/airflow@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    queue_metrics = "r/queue-metrics@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  }
}

run "read_only_with_a_grace_below_stop_timeout" {
  command = apply
  variables { stop_timeout = 40 }
  assert {
    condition     = local.airflow[0].readonlyRootFilesystem && local.airflow[0].user == "50000:0" && local.airflow[0].stopTimeout == 40 && local.environments.airflow["ENTRYPOINT_STOP_GRACE"] == "35s"
    error_message = "Read-only, as Airflow's user, five seconds before ECS."
  }
  assert {
    condition     = length(aws_ecs_service.fixed) == 1 && length(aws_ecs_service.scaled) == 0 && !aws_ecs_service.fixed[0].network_configuration[0].assign_public_ip
    error_message = "Its count is Terraform's, and it has no public address."
  }
}

run "a_worker_waits_for_its_protection" {
  command = apply
  variables {
    service       = "worker"
    scaled        = true
    desired_count = 0
    spot          = true
    queue_metrics = { mode = "protect", queues = ["default", "gpu"], broker_parameter_arn = "arn:aws:ssm:eu-west-1:123456789012:parameter/airflow-test/broker-url", kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/k" }
  }
  assert {
    condition     = [for d in local.airflow[0].dependsOn : d.containerName] == ["queue-metrics"] && local.stop_timeout == 120
    error_message = "No task before protection was asked for; all the time that Fargate gives."
  }
  assert {
    condition     = join(" ", local.airflow[0].command) == "celery worker --queues trimtab.hold" && { for e in local.queue_metrics[0].environment : e.name => e.value }["QUEUE_METRICS_QUEUES"] == "default,gpu"
    error_message = "It starts on a queue that nobody fills, and protect has its real ones."
  }
  assert {
    condition     = !local.queue_metrics[0].essential && local.queue_metrics[0].restartPolicy.enabled && local.queue_metrics[0].secrets[0].name == "QUEUE_METRICS_BROKER_URL"
    error_message = "A sidecar that ends does not end the worker, and its URL is no plain variable."
  }
  assert {
    condition     = aws_ssm_parameter.wanted[0].value == aws_ecs_task_definition.this.arn
    error_message = "Older workers read which revision is wanted."
  }
  assert {
    condition     = length(aws_ecs_service.scaled) == 1
    error_message = "Its count is Application Auto Scaling's."
  }
}

run "exec_says_that_its_root_is_writable" {
  command = plan
  variables { exec = true }
  assert {
    condition     = aws_ecs_task_definition.this.tags["trimtab:writable-root"] == "ECS Exec"
    error_message = "By name."
  }
}

run "who_migrates_is_protected_meanwhile" {
  command = apply
  variables {
    service = "api-server"
    migrate = "auto"
    beside  = ["scheduler", "triggerer"]
  }
  assert {
    condition     = local.environments.airflow["ENTRYPOINT_TASK_PROTECTION"] == "migrate" && strcontains(aws_iam_role_policy.task.policy, "ecs:UpdateTaskProtection")
    error_message = "A deployment must not end a migration."
  }
  assert {
    condition = alltrue([for s in ["scheduler", "triggerer"] : local.environments[s]["ENTRYPOINT_MIGRATE"] == "wait" &&
    local.environments[s]["TRIMTAB_SERVICE"] == s && !contains(keys(local.environments[s]), "ENTRYPOINT_TASK_PROTECTION")])
    error_message = "Who is beside waits for it."
  }
  assert {
    condition     = length(distinct(flatten([for c in local.airflow : [for m in c.mountPoints : m.sourceVolume]]))) == 9 && length(aws_ecs_task_definition.this.volume) == 9
    error_message = "Each container writes to volumes of its own."
  }
}

run "who_waits_needs_no_protection" {
  command = plan
  assert {
    condition     = !contains(keys(local.environments.airflow), "ENTRYPOINT_TASK_PROTECTION") && !strcontains(data.aws_iam_policy_document.task.json, "UpdateTaskProtection")
    error_message = "A scheduler waits for the schema, and asks ECS for nothing."
  }
}

run "refuses_a_second_web_tier_in_one_task" {
  command = plan
  variables {
    service = "api-server"
    beside  = ["api-server"]
  }
  expect_failures = [var.beside]
}

run "refuses_a_size_that_fargate_lacks" {
  command = plan
  variables { memory = 8192 }
  expect_failures = [var.memory]
}

run "refuses_a_tag_as_image" {
  command = plan
  variables { images = { airflow = "apache/airflow:3.1.8" } }
  expect_failures = [var.images]
}

run "refuses_a_worker_without_a_broker" {
  command = plan
  variables { service = "worker" }
  expect_failures = [var.queue_metrics]
}

run "refuses_a_scheduler_on_spot" {
  command = plan
  variables { spot = true }
  expect_failures = [var.spot]
}

run "refuses_a_secret_in_the_clear" {
  command = plan
  variables { environment = { AIRFLOW__CORE__FERNET_KEY = "k" } }
  expect_failures = [var.environment]
}

run "refuses_more_time_than_fargate_gives" {
  command = plan
  variables { stop_timeout = 300 }
  expect_failures = [var.stop_timeout]
}

run "refuses_another_service" {
  command = plan
  variables { service = "flower" }
  expect_failures = [var.service]
}

run "refuses_another_architecture" {
  command = plan
  variables { architecture = "arm64" }
  expect_failures = [var.architecture]
}

run "refuses_another_migration" {
  command = plan
  variables { migrate = "always" }
  expect_failures = [var.migrate]
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

run "refuses_another_mode_of_queue_metrics" {
  command = plan
  variables { queue_metrics = { mode = "once", broker_parameter_arn = "arn:aws:ssm:eu-west-1:123456789012:parameter/airflow-test/broker-url", kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/k" } }
  expect_failures = [var.queue_metrics]
}

run "refuses_queue_metrics_without_its_image" {
  command = plan
  variables {
    images        = { airflow = "r/airflow@sha256:0000000000000000000000000000000000000000000000000000000000000000" }
    queue_metrics = { mode = "watch", broker_parameter_arn = "arn:aws:ssm:eu-west-1:123456789012:parameter/airflow-test/broker-url", kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/k" }
  }
  expect_failures = [var.queue_metrics]
}
