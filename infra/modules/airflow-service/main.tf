data "aws_region" "this" {}
data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}

locals {
  region = data.aws_region.this.region
  family = "${var.name}-${var.service}"

  fargate_sizes = {
    256   = [512, 1024, 2048]
    512   = range(1024, 4097, 1024)
    1024  = range(2048, 8193, 1024)
    2048  = range(4096, 16385, 1024)
    4096  = range(8192, 30721, 1024)
    8192  = range(16384, 61441, 4096)
    16384 = range(32768, 122881, 8192)
  }

  worker = var.service == "worker"
  # A container is killed with its migration half done unless ECS is told to wait for it.
  migrates = !local.worker && contains(["auto", "major"], var.migrate)

  # One number for both, so that entrypoint's grace is always under ECS's.
  stop_timeout = coalesce(var.stop_timeout, local.worker ? 120 : 60)
  stop_grace   = local.stop_timeout - 5

  # A worker consumes from its first moment: on a queue that nobody fills it takes nothing until `protect`, once
  # its task is protected, gives it its own (docs/queue-metrics.md, The windows).
  protects = try(var.queue_metrics.mode, "") == "protect"
  queues   = local.protects ? ["trimtab.hold"] : try(var.queue_metrics.queues, ["default"])
  command  = local.worker ? ["celery", "worker", "--queues", join(",", local.queues)] : [var.service]

  # The parameter by which a deployment tells older workers to drain. Outside of the base path, where
  # entrypoint would read it.
  wanted_parameter = "/${var.name}-deployment/${var.service}"

  # One container for the service, and one for each that shares its task: container = service.
  services = merge({ airflow = var.service }, { for s in var.beside : s => s })

  log = { for stream in concat(keys(local.services), ["queue-metrics"]) : stream => {
    logDriver = "awslogs"
    options = {
      awslogs-group         = var.log_group.name
      awslogs-region        = local.region
      awslogs-stream-prefix = stream
      # A log driver that stalls costs lines and not the service.
      mode            = "non-blocking"
      max-buffer-size = "4m"
    }
  } }

  environments = { for container, service in local.services : container => merge(
    var.environment,
    {
      AWS_REGION            = local.region
      AWS_DEFAULT_REGION    = local.region
      TRIMTAB_ENVIRONMENT   = var.name
      TRIMTAB_SERVICE       = service
      ENTRYPOINT_PARAMETERS = var.parameters
      ENTRYPOINT_METRICS    = var.metrics
      # Whoever is beside waits for the one that the task is named after.
      ENTRYPOINT_MIGRATE     = container == "airflow" ? var.migrate : "wait"
      ENTRYPOINT_STOP_GRACE  = "${local.stop_grace}s"
      ENTRYPOINT_STATUS_FILE = "/run/trimtab/entrypoint.json"
    },
    length(var.wait_files) == 0 ? {} : { ENTRYPOINT_WAIT_FILES = join(",", var.wait_files) },
    # A cold stop gives messages back; a warm one lasts as long as its tasks, longer than Fargate waits.
    local.worker ? { ENTRYPOINT_SIGNAL_REWRITE = "TERM:QUIT" } : {},
    local.migrates && container == "airflow" ? { ENTRYPOINT_TASK_PROTECTION = "migrate" } : {},
  ) }

  # Each container has its own: what one fills the other still has. Names stay as they are for the first.
  scratch = merge(
    { for container, service in local.services : container => {
      for v, path in { run = "/run/trimtab", tmp = "/tmp", logs = "/opt/airflow/logs" } : (container == "airflow" ? v : "${container}-${v}") => path
    } },
    var.queue_metrics == null ? {} : { queue-metrics = { qm-run = "/run/trimtab", qm-tmp = "/tmp" } },
  )

  airflow = [for container, service in local.services : {
    name                   = container
    image                  = var.images.airflow
    entryPoint             = ["/entrypoint"]
    command                = container == "airflow" ? local.command : [service]
    essential              = true
    user                   = "50000:0"
    readonlyRootFilesystem = !var.exec
    stopTimeout            = local.stop_timeout
    environment            = [for k in sort(keys(local.environments[container])) : { name = k, value = local.environments[container][k] }]
    portMappings           = contains(["api-server", "webserver"], service) ? [{ containerPort = 8080, protocol = "tcp" }] : []
    # Where a sidecar may write, the service itself still reads only.
    mountPoints = concat(
      [for v, path in local.scratch[container] : { sourceVolume = v, containerPath = path, readOnly = false }],
      [for k in sort(keys(var.mounts)) : { sourceVolume = k, containerPath = var.mounts[k].path, readOnly = !var.mounts[k].write || var.sidecar != null }],
    )
    dependsOn = concat(
      var.sidecar == null ? [] : [{ containerName = var.sidecar.name, condition = "HEALTHY" }],
      # No worker takes tasks before its protection was asked for.
      local.protects ? [{ containerName = "queue-metrics", condition = "HEALTHY" }] : [],
    )
    healthCheck = {
      command     = ["CMD", "/healthcheck", "airflow:${service}"]
      interval    = 15
      timeout     = 5
      retries     = 3
      startPeriod = 300
    }
    ulimits          = [{ name = "nofile", softLimit = 65536, hardLimit = 65536 }]
    logConfiguration = local.log[container]
  }]

  # queue-metrics follows Airflow's own settings of the broker and of the queue's limits.
  queue_environment = var.queue_metrics == null ? {} : merge(
    { for k, v in var.environment : k => v if can(regex(join("|", [
      "^AIRFLOW__CORE__PARALLELISM$", "^AIRFLOW__CELERY__", "^AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__",
      "^AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT$", "^AIRFLOW__EXECUTION_API__JWT_EXPIRATION_TIME$",
    ]), k)) },
    {
      AWS_REGION                = local.region
      TRIMTAB_ENVIRONMENT       = var.name
      TRIMTAB_SERVICE           = "worker"
      QUEUE_METRICS_QUEUES      = join(",", var.queue_metrics.queues)
      QUEUE_METRICS_METRICS     = var.metrics
      QUEUE_METRICS_STATUS_FILE = "/run/trimtab/queue-metrics.json"
    },
    var.queue_metrics.mode == "watch" ? {
      QUEUE_METRICS_WORKER_CONCURRENCY = tostring(var.queue_metrics.worker_concurrency)
      QUEUE_METRICS_MIN_WORKERS        = tostring(var.queue_metrics.min_workers)
      QUEUE_METRICS_MAX_WORKERS        = tostring(var.queue_metrics.max_workers)
      QUEUE_METRICS_HOLD               = var.queue_metrics.hold
      } : {
      QUEUE_METRICS_WANTED_REVISION = "ssm://${local.wanted_parameter}"
    },
  )

  queue_metrics = var.queue_metrics == null ? [] : [{
    name                   = "queue-metrics"
    image                  = var.images.queue_metrics
    command                = [var.queue_metrics.mode]
    essential              = false
    restartPolicy          = { enabled = true, restartAttemptPeriod = 60 }
    user                   = "50000:0"
    readonlyRootFilesystem = true
    # ECS stops in the reverse order of dependsOn: protect goes after its worker.
    stopTimeout       = 30
    memoryReservation = 64
    environment       = [for k in sort(keys(local.queue_environment)) : { name = k, value = local.queue_environment[k] }]
    secrets           = [{ name = "QUEUE_METRICS_BROKER_URL", valueFrom = var.queue_metrics.broker_parameter_arn }]
    mountPoints       = [for v, path in local.scratch["queue-metrics"] : { sourceVolume = v, containerPath = path, readOnly = false }]
    healthCheck = {
      command     = ["CMD", "/healthcheck", "status:/run/trimtab/queue-metrics.json"]
      interval    = 10
      timeout     = 5
      retries     = 3
      startPeriod = 120
    }
    logConfiguration = local.log["queue-metrics"]
  }]

  # As JSON, because containers of different shapes are no list of one type.
  containers = concat(
    [for c in local.airflow : jsonencode(c)],
    [for c in local.queue_metrics : jsonencode(c)],
    var.sidecar == null ? [] : [var.sidecar.json],
  )
  container_definitions = "[${join(",", local.containers)}]"

  volumes = concat(
    flatten([for volumes in values(local.scratch) : keys(volumes)]),
    var.sidecar == null ? [] : ["${var.sidecar.name}-run", "${var.sidecar.name}-tmp"],
  )
}

resource "aws_ecs_task_definition" "this" {
  family                   = local.family
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = tostring(var.cpu)
  memory                   = tostring(var.memory)
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn
  container_definitions    = local.container_definitions
  # A rollback needs the earlier revision.
  skip_destroy = true
  # Read by the policies: what has a writable root says why.
  tags = var.exec ? { "trimtab:writable-root" = "ECS Exec" } : {}
  runtime_platform {
    cpu_architecture        = var.architecture
    operating_system_family = "LINUX"
  }
  dynamic "volume" {
    for_each = toset(local.volumes)
    content {
      name = volume.key
    }
  }
  dynamic "volume" {
    for_each = var.mounts
    content {
      name = volume.key
      efs_volume_configuration {
        file_system_id     = volume.value.file_system_id
        transit_encryption = "ENABLED"
        authorization_config {
          access_point_id = volume.value.access_point_id
          iam             = "ENABLED"
        }
      }
    }
  }
}

# What a deployment wants: a worker of another revision drains as soon as it reads this.
resource "aws_ssm_parameter" "wanted" {
  #checkov:skip=CKV2_AWS_34:the name of a task definition is no secret
  count = local.worker ? 1 : 0
  name  = local.wanted_parameter
  type  = "String"
  value = aws_ecs_task_definition.this.arn
}
