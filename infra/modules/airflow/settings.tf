# Airflow's settings, in one place and with their reasons. Secrets come by the parameters instead.
locals {
  three  = var.airflow_major == 3
  celery = var.executor == "CeleryExecutor"

  # Well above the longest way from zero to a worker that takes tasks (docs/autoscaling.md): a task that
  # waits for longer is failed, and its token ends.
  queued_timeout = 3600

  parallelism = local.celery ? var.workers.maximum * var.workers.concurrency : var.local_parallelism

  settings = merge(
    {
      AIRFLOW__CORE__EXECUTOR      = var.executor
      AIRFLOW__CORE__LOAD_EXAMPLES = "False"
      # Users in the database, with roles. 3.x's own default has a password for each container.
      AIRFLOW__CORE__AUTH_MANAGER = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
      # As many as the workers can hold: less starves them, more fills a queue that nobody reads.
      AIRFLOW__CORE__PARALLELISM = tostring(local.parallelism)
      # 16 of one DAG is one worker's worth.
      AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG = tostring(local.parallelism)
      # healthcheck asks the scheduler on 8974.
      AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK = "True"
      AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT = tostring(local.queued_timeout)

      # Task logs go to S3 when a task ends, in a directory for each day, and the container's copy goes.
      AIRFLOW__LOGGING__REMOTE_LOGGING         = "True"
      AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER = "s3://${local.buckets.logs}/logs"
      AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID     = "aws_default"
      AIRFLOW__LOGGING__DELETE_LOCAL_LOGS      = "True"
      AIRFLOW_CONN_AWS_DEFAULT                 = "aws://"
      AIRFLOW__LOGGING__COLORED_CONSOLE_LOG    = "False"
    },
    local.three ? {
      # Containers of one task share their addresses.
      AIRFLOW__CORE__EXECUTION_API_SERVER_URL = "http://${var.one_task ? "localhost" : module.cluster.api_host}:8080/execution/"
      # A queued task's token lives so long: as long as it may wait.
      AIRFLOW__EXECUTION_API__JWT_EXPIRATION_TIME = tostring(local.queued_timeout)
      # A task that the API server keeps waiting longer fails before it began; 5 s by default.
      AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT = "30"
      # As docs/latency.md measured: an upload is a DAG within seconds; the defaults take up to 5 minutes.
      AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL              = "5"
      AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL = "1"
      AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL     = "5"
      AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL     = "0"
      AIRFLOW__LOGGING__LOG_FILENAME_TEMPLATE               = "{{ ti.dag_run.run_after.strftime('%Y/%m/%d') }}/dag_id={{ ti.dag_id }}/run_id={{ ti.run_id }}/task_id={{ ti.task_id }}/{% if ti.map_index >= 0 %}map_index={{ ti.map_index }}/{% endif %}attempt={{ try_number|default(ti.try_number) }}.log"
      } : {
      AIRFLOW__SCHEDULER__STANDALONE_DAG_PROCESSOR      = "True"
      AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL         = "5"
      AIRFLOW__SCHEDULER__MIN_FILE_PROCESS_INTERVAL     = "5"
      AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL = "5"
    },
    # Each service has it: the web tier for links to versions, though it mounts nothing.
    var.dag_layout != "generations" ? {} : {
      AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST = jsonencode([{
        name      = "dags"
        classpath = "trimtab_airflow.GenerationBundle"
        kwargs    = { root = local.dags.path, refresh_interval = 2 }
      }])
    },
    local.celery ? {
      AIRFLOW__CELERY__WORKER_CONCURRENCY = tostring(var.workers.concurrency)
      # A new TLS connection takes most of the default's second on a small CPU; past it the task fails.
      AIRFLOW__CELERY__OPERATION_TIMEOUT = "10"
      # A worker that takes tasks ahead keeps them from one that is idle.
      AIRFLOW__CELERY__WORKER_PREFETCH_MULTIPLIER = "1"
      AIRFLOW__OPERATORS__DEFAULT_QUEUE           = var.workers.queues[0]
      # A shorter one gives a long task to a second worker, where it fails.
      AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT = "86400"
    } : {},
    try(var.load_balancer.host, null) == null ? {} : {
      (local.three ? "AIRFLOW__API__BASE_URL" : "AIRFLOW__WEBSERVER__BASE_URL") = "https://${var.load_balancer.host}"
    },
    var.network.egress.mode != "proxy" ? {} : {
      HTTP_PROXY  = var.network.egress.proxy_url
      HTTPS_PROXY = var.network.egress.proxy_url
      # AWS by the endpoints, each other by name.
      NO_PROXY = "localhost,127.0.0.1,169.254.169.254,169.254.170.2,.${var.name}.internal,.amazonaws.com,${module.network.vpc_cidr}"
    },
    var.environment,
  )
}
