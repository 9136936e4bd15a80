# A person's own task, started by hand and ended by itself after an hour: a shell in Airflow's image, and a
# way for port forwarding. It is no service, and runs with the least of the roles: it reads the parameters.
# Its root is writable because ECS Exec's agent writes there; that is the one exception, by name.
data "aws_iam_policy_document" "debug_assume" {
  count = var.debug ? 1 : 0
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

data "aws_iam_policy_document" "debug" {
  count                   = var.debug ? 1 : 0
  source_policy_documents = [module.secrets.read_policy]
  statement {
    sid       = "Exec"
    actions   = ["ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel"]
    resources = ["*"]
  }
}

data "aws_iam_policy_document" "debug_execution" {
  count = var.debug ? 1 : 0
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
    resources = ["${module.cluster.log_groups["debug"].arn}:*"]
  }
}

resource "aws_iam_role" "debug" {
  count              = var.debug ? 1 : 0
  name               = "${var.name}-debug-task"
  assume_role_policy = data.aws_iam_policy_document.debug_assume[0].json
}

resource "aws_iam_role_policy" "debug" {
  count  = var.debug ? 1 : 0
  name   = "task"
  role   = aws_iam_role.debug[0].id
  policy = data.aws_iam_policy_document.debug[0].json
}

resource "aws_iam_role" "debug_execution" {
  count              = var.debug ? 1 : 0
  name               = "${var.name}-debug-execution"
  assume_role_policy = data.aws_iam_policy_document.debug_assume[0].json
}

resource "aws_iam_role_policy" "debug_execution" {
  count  = var.debug ? 1 : 0
  name   = "execution"
  role   = aws_iam_role.debug_execution[0].id
  policy = data.aws_iam_policy_document.debug_execution[0].json
}

resource "aws_ecs_task_definition" "debug" {
  count                    = var.debug ? 1 : 0
  family                   = "${var.name}-debug"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = "512"
  memory                   = "1024"
  execution_role_arn       = aws_iam_role.debug_execution[0].arn
  task_role_arn            = aws_iam_role.debug[0].arn
  tags                     = { "trimtab:writable-root" = "ECS Exec" }
  runtime_platform {
    cpu_architecture        = var.architecture
    operating_system_family = "LINUX"
  }
  container_definitions = jsonencode([{
    name                   = "airflow"
    image                  = var.release.airflow
    entryPoint             = ["/entrypoint"]
    command                = ["sleep", "3600"]
    essential              = true
    user                   = "50000:0"
    readonlyRootFilesystem = false
    stopTimeout            = 30
    environment = [for k, v in merge(local.settings, {
      AWS_REGION            = local.region
      AWS_DEFAULT_REGION    = local.region
      TRIMTAB_ENVIRONMENT   = var.name
      TRIMTAB_SERVICE       = "debug"
      ENTRYPOINT_PARAMETERS = module.secrets.parameters
    }) : { name = k, value = v }]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = module.cluster.log_groups["debug"].name
        awslogs-region        = local.region
        awslogs-stream-prefix = "debug"
        mode                  = "non-blocking"
        max-buffer-size       = "4m"
      }
    }
  }])
}
