data "aws_region" "this" {}
data "aws_caller_identity" "this" {}

locals {
  region  = data.aws_region.this.region
  service = var.mode == "service" ? 1 : 0

  environment = merge(var.options, !var.report ? {} : { S3SYNC_REPORT = "s3://${var.bucket.name}/${var.prefix}" }, {
    S3SYNC_LAYOUT       = var.layout
    AWS_REGION          = local.region
    TRIMTAB_ENVIRONMENT = var.name
    TRIMTAB_SERVICE     = "s3sync"
    S3SYNC_METRICS      = var.metrics
    S3SYNC_STATUS_FILE  = "/run/trimtab/s3sync.json"
  })

  container = {
    name                   = "s3sync"
    image                  = var.image
    command                = ["watch", "s3://${var.bucket.name}/${var.prefix}", var.path]
    essential              = var.mode == "service"
    user                   = "50000:0"
    readonlyRootFilesystem = true
    stopTimeout            = 30
    memoryReservation      = 64
    environment            = [for k in sort(keys(local.environment)) : { name = k, value = local.environment[k] }]
    mountPoints = [
      { sourceVolume = "dags", containerPath = var.path, readOnly = false },
      { sourceVolume = "s3sync-run", containerPath = "/run/trimtab", readOnly = false },
      { sourceVolume = "s3sync-tmp", containerPath = "/tmp", readOnly = false },
    ]
    healthCheck = {
      command     = ["CMD", "/healthcheck", "status:/run/trimtab/s3sync.json"]
      interval    = 10
      timeout     = 5
      retries     = 3
      startPeriod = 300
    }
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = var.log_group.name
        awslogs-region        = local.region
        awslogs-stream-prefix = "s3sync"
        mode                  = "non-blocking"
        max-buffer-size       = "4m"
      }
    }
  }
  # ECS restarts a sidecar that is not essential only where it is told to.
  definition = merge(local.container, var.mode == "sidecar" ? { restartPolicy = { enabled = true, restartAttemptPeriod = 60 } } : {})
}

# s3sync is not healthy before it has found a file, since an empty prefix is more often a mistake than a wish,
# and what depends on it does not start: without a first file the first apply would wait for an upload that
# comes after it. It is one that Airflow reads anyway; whoever uploads owns it from then on.
resource "aws_s3_object" "first" {
  bucket       = var.bucket.name
  key          = "${var.prefix}/.airflowignore"
  content_type = "text/plain"
  kms_key_id   = var.kms_key_arn
  content      = "# What Airflow does not parse here: a pattern a line.\n"
  lifecycle {
    ignore_changes = all
  }
}

data "aws_iam_policy_document" "read" {
  statement {
    sid       = "ListDags"
    actions   = ["s3:ListBucket"]
    resources = [var.bucket.arn]
    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["${var.prefix}/", "${var.prefix}/*"]
    }
  }
  statement {
    sid       = "ReadDags"
    actions   = ["s3:GetObject"]
    resources = ["${var.bucket.arn}/${var.prefix}/*"]
  }
  # What runs here, for `s3sync wait`, `releases` and `prune`: the one thing that syncing writes to S3.
  dynamic "statement" {
    for_each = var.report ? [1] : []
    content {
      sid       = "Report"
      actions   = ["s3:PutObject"]
      resources = ["${var.bucket.arn}/${var.prefix}/.s3sync/reports/*"]
    }
  }
  statement {
    sid       = "DecryptDags"
    actions   = concat(["kms:Decrypt"], var.report ? ["kms:GenerateDataKey"] : [])
    resources = [var.kms_key_arn]
    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${local.region}.amazonaws.com"]
    }
  }
}

# ---- as a service ---------------------------------------------------------------------------------------

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.this.account_id]
    }
  }
}

data "aws_iam_policy_document" "execution" {
  statement {
    sid       = "RegistryLogin"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }
  statement {
    sid       = "Images"
    actions   = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"]
    resources = var.repository_arns
  }
  statement {
    sid       = "Logs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${var.log_group.arn}:*"]
  }
}

data "aws_iam_policy_document" "task" {
  source_policy_documents = [data.aws_iam_policy_document.read.json]
  statement {
    sid       = "WriteDags"
    actions   = ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
    resources = [var.mount.file_system_arn]
    condition {
      test     = "ArnEquals"
      variable = "elasticfilesystem:AccessPointArn"
      values   = [var.mount.access_point_arn]
    }
  }
  dynamic "statement" {
    for_each = var.metrics == "cloudwatch" ? [1] : []
    content {
      sid       = "Metrics"
      actions   = ["cloudwatch:PutMetricData"]
      resources = ["*"]
      condition {
        test     = "StringEquals"
        variable = "cloudwatch:namespace"
        values   = ["Trimtab"]
      }
    }
  }
}

resource "aws_iam_role" "execution" {
  count              = local.service
  name               = "${var.name}-dag-sync-execution"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy" "execution" {
  count  = local.service
  name   = "execution"
  role   = aws_iam_role.execution[0].id
  policy = data.aws_iam_policy_document.execution.json
}

resource "aws_iam_role" "task" {
  count              = local.service
  name               = "${var.name}-dag-sync-task"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy" "task" {
  count  = local.service
  name   = "task"
  role   = aws_iam_role.task[0].id
  policy = data.aws_iam_policy_document.task.json
}

resource "aws_ecs_task_definition" "this" {
  count                    = local.service
  family                   = "${var.name}-dag-sync"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = "256"
  memory                   = "512"
  execution_role_arn       = aws_iam_role.execution[0].arn
  task_role_arn            = aws_iam_role.task[0].arn
  container_definitions    = jsonencode([local.definition])
  skip_destroy             = true
  runtime_platform {
    cpu_architecture        = var.architecture
    operating_system_family = "LINUX"
  }
  volume {
    name = "s3sync-run"
  }
  volume {
    name = "s3sync-tmp"
  }
  volume {
    name = "dags"
    efs_volume_configuration {
      file_system_id     = var.mount.file_system_id
      transit_encryption = "ENABLED"
      authorization_config {
        access_point_id = var.mount.access_point_id
        iam             = "ENABLED"
      }
    }
  }
}

resource "aws_ecs_service" "this" {
  count                              = local.service
  name                               = "dag-sync"
  cluster                            = var.placement.cluster_arn
  task_definition                    = aws_ecs_task_definition.this[0].arn
  desired_count                      = 1
  deployment_minimum_healthy_percent = 100
  # Two at once for a moment: one writes and the other waits for its turn.
  deployment_maximum_percent = 200
  enable_ecs_managed_tags    = true
  propagate_tags             = "SERVICE"
  wait_for_steady_state      = var.placement.wait
  capacity_provider_strategy {
    capacity_provider = "FARGATE"
    weight            = 1
  }
  network_configuration {
    subnets          = var.placement.subnet_ids
    security_groups  = var.placement.security_group_ids
    assign_public_ip = false
  }
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }
  depends_on = [aws_iam_role_policy.task, aws_iam_role_policy.execution, aws_s3_object.first]
}
