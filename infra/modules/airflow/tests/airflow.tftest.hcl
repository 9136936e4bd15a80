provider "aws" {
  region = "eu-west-1"
}

variables {
  name            = "airflow-test"
  stage           = "dev"
  repository_arns = ["arn:aws:ecr:eu-west-1:123456789012:repository/airflow"]
  release = {
    airflow       = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/airflow@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    s3sync        = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/s3sync@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    queue_metrics = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/queue-metrics@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  }
  redis = {}
}

run "celery" {
  command = plan
  assert {
    condition     = local.settings["AIRFLOW__CORE__PARALLELISM"] == "80"
    error_message = "Workers times concurrency."
  }
  assert {
    condition     = length(module.worker) == 1 && length(module.worker_scaling) == 1 && length(output.task_definitions) == 5
    error_message = "Five services."
  }
}

run "local" {
  command = plan
  variables {
    executor = "LocalExecutor"
    redis    = null
    dag_sync = "sidecar"
  }
  assert {
    condition     = length(module.worker) == 0 && length(output.task_definitions) == 4
    error_message = "No workers, no Redis."
  }
}

run "one_task" {
  command = plan
  variables {
    executor = "LocalExecutor"
    redis    = null
    dag_sync = "sidecar"
    one_task = true
    exec     = true
    sizes    = { web = { cpu = 1024, memory = 4096 } }
  }
  assert {
    condition     = length(module.services) == 0 && length(module.worker) == 0 && keys(output.task_definitions) == ["api-server"]
    error_message = "One service, of one task."
  }
  assert {
    condition     = local.settings["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://localhost:8080/execution/"
    error_message = "Containers of one task meet on localhost."
  }
}

run "refuses_workers_in_one_task" {
  command = plan
  variables {
    one_task = true
    dag_sync = "sidecar"
  }
  expect_failures = [var.one_task]
}

run "a_one_zone_file_system_keeps_tasks_in_its_zone" {
  command = plan
  variables {
    executor = "LocalExecutor"
    redis    = null
    files    = { one_zone = true }
  }
  assert {
    condition     = length(output.subnet_ids) == 1
    error_message = "A task in another zone does not find it."
  }
}

run "airflow_2" {
  command = plan
  variables { airflow_major = 2 }
  assert {
    condition     = contains(keys(output.task_definitions), "webserver") && !contains(keys(local.settings), "AIRFLOW__CORE__EXECUTION_API_SERVER_URL")
    error_message = "The web server of 2.x, and nothing of 3.x."
  }
}

run "in_place_without_a_layout" {
  command = plan
  assert {
    condition     = !contains(keys(local.settings), "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST") && one(local.synced) == "/opt/airflow/dags/.s3sync/manifest.jsonl"
    error_message = "Airflow's own bundle, of the directory."
  }
}

run "generations" {
  command = plan
  variables { dag_layout = "generations" }
  assert {
    condition = jsondecode(local.settings["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"]) == [
      { name = "dags", classpath = "trimtab_airflow.GenerationBundle", kwargs = { root = "/opt/airflow/dags", refresh_interval = 2 } },
    ]
    error_message = "The bundle reads what s3sync writes."
  }
  assert {
    condition     = one(local.synced) == "/opt/airflow/dags/current"
    error_message = "Nobody starts before there is a generation."
  }
}

run "refuses_generations_for_airflow_2" {
  command = plan
  variables {
    airflow_major = 2
    dag_layout    = "generations"
  }
  expect_failures = [var.dag_layout]
}

run "refuses_another_layout" {
  command = plan
  variables { dag_layout = "links" }
  expect_failures = [var.dag_layout]
}

run "refuses_celery_without_redis" {
  command = plan
  variables { redis = null }
  expect_failures = [var.executor]
}

run "refuses_redis_that_nobody_uses" {
  command = plan
  variables { executor = "LocalExecutor" }
  expect_failures = [var.executor]
}

run "refuses_another_stage" {
  command = plan
  variables { stage = "staging" }
  expect_failures = [var.stage]
}

run "refuses_exec_in_prod" {
  command = plan
  variables {
    stage = "prod"
    exec  = true
  }
  expect_failures = [var.exec]
}

run "refuses_a_tag_as_image" {
  command = plan
  variables {
    release = { airflow = "apache/airflow:3.1.8", s3sync = "s3sync:latest", queue_metrics = "queue-metrics:latest" }
  }
  expect_failures = [var.release]
}

run "refuses_a_snapshot_without_its_fernet_key" {
  command = plan
  variables { database = { snapshot_identifier = "before" } }
  expect_failures = [var.fernet_key_secret]
}

run "refuses_a_service_that_is_none" {
  command = plan
  variables { sizes = { flower = { cpu = 256, memory = 512 } } }
  expect_failures = [var.sizes]
}

run "refuses_airflow_1" {
  command = plan
  variables { airflow_major = 1 }
  expect_failures = [var.airflow_major]
}

run "refuses_a_proxy_without_its_address" {
  command = plan
  variables { network = { egress = { mode = "proxy", cidrs = ["10.9.0.0/28"], port = 3128 } } }
  expect_failures = [var.network]
}

run "refuses_a_name_that_does_not_fit" {
  command = plan
  variables { name = "Airflow_Production" }
  expect_failures = [var.name]
}

run "refuses_another_executor" {
  command = plan
  variables { executor = "KubernetesExecutor" }
  expect_failures = [var.executor]
}

run "refuses_celery_without_queue_metrics" {
  command = plan
  variables {
    release = { airflow = "r/airflow@sha256:0000000000000000000000000000000000000000000000000000000000000000", s3sync = "r/s3sync@sha256:0000000000000000000000000000000000000000000000000000000000000000" }
  }
  expect_failures = [var.executor]
}

run "refuses_workers_that_read_no_queue" {
  command = plan
  variables { workers = { queues = [] } }
  expect_failures = [var.workers]
}
