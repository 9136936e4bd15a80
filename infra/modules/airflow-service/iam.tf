# The execution role pulls the image, writes logs and fetches what ECS itself puts into the container. The
# task role is what the programs inside are: each service has its own.
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
  dynamic "statement" {
    for_each = var.queue_metrics == null ? [] : [1]
    content {
      sid       = "BrokerUrl"
      actions   = ["ssm:GetParameters"]
      resources = [var.queue_metrics.broker_parameter_arn]
    }
  }
  dynamic "statement" {
    for_each = var.queue_metrics == null ? [] : [1]
    content {
      sid       = "BrokerUrlKey"
      actions   = ["kms:Decrypt"]
      resources = [var.queue_metrics.kms_key_arn]
    }
  }
}

data "aws_iam_policy_document" "task" {
  source_policy_documents = values(var.policies)
  dynamic "statement" {
    for_each = var.mounts
    content {
      sid       = "Mount${replace(title(statement.key), "-", "")}"
      actions   = concat(["elasticfilesystem:ClientMount"], statement.value.write ? ["elasticfilesystem:ClientWrite"] : [])
      resources = [statement.value.file_system_arn]
      condition {
        test     = "ArnEquals"
        variable = "elasticfilesystem:AccessPointArn"
        values   = [statement.value.access_point_arn]
      }
    }
  }
  dynamic "statement" {
    for_each = local.worker || local.migrates ? [1] : []
    content {
      sid       = "TaskProtection"
      actions   = ["ecs:GetTaskProtection", "ecs:UpdateTaskProtection"]
      resources = ["arn:${data.aws_partition.this.partition}:ecs:${local.region}:${data.aws_caller_identity.this.account_id}:task/${var.cluster_name}/*"]
    }
  }
  dynamic "statement" {
    for_each = local.worker ? [1] : []
    content {
      sid       = "WantedRevision"
      actions   = ["ssm:GetParameter"]
      resources = ["arn:${data.aws_partition.this.partition}:ssm:${local.region}:${data.aws_caller_identity.this.account_id}:parameter${local.wanted_parameter}"]
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
  dynamic "statement" {
    for_each = var.exec ? [1] : []
    content {
      sid       = "Exec"
      actions   = ["ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel"]
      resources = ["*"]
    }
  }
}

resource "aws_iam_role" "execution" {
  name               = "${local.family}-execution"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy" "execution" {
  name   = "execution"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.execution.json
}

resource "aws_iam_role" "task" {
  name               = "${local.family}-task"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy" "task" {
  name   = "task"
  role   = aws_iam_role.task.id
  policy = data.aws_iam_policy_document.task.json
}
