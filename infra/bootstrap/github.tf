# Roles for workflows, without a key that could be stolen: GitHub signs who asks. A pull request gets none: its
# checks need no account. `plan` is for the main branch, `deploy` and `dags` for one GitHub environment each.
resource "aws_iam_openid_connect_provider" "github" {
  count          = var.existing_oidc_provider_arn == null ? 1 : 0
  url            = "https://${local.github}"
  client_id_list = ["sts.amazonaws.com"]
}

locals {
  subjects = merge(
    { plan = ["repo:${var.repository}:ref:refs/heads/main"] },
    { release = ["repo:${var.repository}:ref:refs/heads/main", "repo:${var.repository}:ref:refs/tags/v*"] },
    { for e in var.environments : "deploy-${e}" => ["repo:${var.repository}:environment:${e}"] },
    { for e in var.environments : "dags-${e}" => ["repo:${var.repository}:environment:${e}-dags"] },
  )
}

data "aws_iam_policy_document" "assume" {
  for_each = local.subjects
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]
    principals {
      type        = "Federated"
      identifiers = [local.provider]
    }
    condition {
      test     = "StringEquals"
      variable = "${local.github}:aud"
      values   = ["sts.amazonaws.com"]
    }
    condition {
      test     = "StringLike"
      variable = "${local.github}:sub"
      values   = each.value
    }
  }
}

resource "aws_iam_role" "github" {
  for_each             = local.subjects
  name                 = "airflow-github-${each.key}"
  assume_role_policy   = data.aws_iam_policy_document.assume[each.key].json
  max_session_duration = 7200
}

# ---- plan: reads ----------------------------------------------------------------------------------------

resource "aws_iam_role_policy_attachment" "plan" {
  role       = aws_iam_role.github["plan"].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/ReadOnlyAccess"
}

data "aws_iam_policy_document" "plan" {
  statement {
    sid       = "StateKey"
    actions   = ["kms:Decrypt"]
    resources = [aws_kms_key.this.arn]
  }
  # An ephemeral resource is opened by a plan too: these two, and no other secret.
  statement {
    sid       = "EphemeralSecrets"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [for s in ["db-password", "redis-password"] : "arn:${local.partition}:secretsmanager:${var.region}:${local.account}:secret:airflow-*/${s}-??????"]
  }
  statement {
    sid       = "EphemeralSecretsKey"
    actions   = ["kms:Decrypt"]
    resources = ["arn:${local.partition}:kms:${var.region}:${local.account}:key/*"]
    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      # A refresh reads the broker's parameter decrypted.
      values = ["secretsmanager.${var.region}.amazonaws.com", "ssm.${var.region}.amazonaws.com"]
    }
  }
}

# A refresh looks at the first file of each DAG bucket, which is encrypted.
data "aws_iam_policy_document" "plan_dags" {
  statement {
    sid       = "FirstFileKey"
    actions   = ["kms:Decrypt"]
    resources = ["arn:${local.partition}:kms:${var.region}:${local.account}:key/*"]
    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${var.region}.amazonaws.com"]
    }
    condition {
      test     = "StringLike"
      variable = "kms:EncryptionContext:aws:s3:arn"
      values   = ["arn:${local.partition}:s3:::airflow-*-dags-${local.account}", "arn:${local.partition}:s3:::airflow-*-dags-${local.account}/dags/.airflowignore"]
    }
  }
}

resource "aws_iam_role_policy" "plan_dags" {
  name   = "dags"
  role   = aws_iam_role.github["plan"].id
  policy = data.aws_iam_policy_document.plan_dags.json
}

resource "aws_iam_role_policy" "plan" {
  role   = aws_iam_role.github["plan"].id
  policy = data.aws_iam_policy_document.plan.json
}

# ---- release: pushes images -----------------------------------------------------------------------------

data "aws_iam_policy_document" "release" {
  statement {
    sid       = "RegistryLogin"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }
  statement {
    sid = "Push"
    actions = [
      "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload", "ecr:DescribeImages", "ecr:GetDownloadUrlForLayer",
      "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart",
    ]
    resources = [for r in aws_ecr_repository.this : r.arn]
  }
  statement {
    sid       = "ReleaseFile"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.state.arn}/releases/*"]
  }
  statement {
    sid       = "Key"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [aws_kms_key.this.arn]
  }
}

resource "aws_iam_role_policy" "release" {
  role   = aws_iam_role.github["release"].id
  policy = data.aws_iam_policy_document.release.json
}

# ---- deploy: an environment's apply ---------------------------------------------------------------------

resource "aws_iam_role_policy_attachment" "deploy" {
  for_each   = var.environments
  role       = aws_iam_role.github["deploy-${each.key}"].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/AdministratorAccess"
}

# ---- dags: uploads DAGs and nothing else ----------------------------------------------------------------

data "aws_iam_policy_document" "dags" {
  for_each = var.environments
  statement {
    sid       = "List"
    actions   = ["s3:ListBucket"]
    resources = ["arn:${local.partition}:s3:::airflow-${each.key}-dags-${local.account}"]
  }
  statement {
    sid       = "Upload"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
    resources = ["arn:${local.partition}:s3:::airflow-${each.key}-dags-${local.account}/dags/*"]
  }
  # The workflow publishes with s3sync's own image.
  statement {
    sid       = "RegistryLogin"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }
  statement {
    sid       = "Image"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = [for name, r in aws_ecr_repository.this : r.arn if name == "s3sync"]
  }
  # Who uploads does not approve held deletes.
  statement {
    sid       = "NoApprovals"
    effect    = "Deny"
    actions   = ["s3:PutObject"]
    resources = ["arn:${local.partition}:s3:::airflow-${each.key}-dags-${local.account}/dags/.s3sync/approve/*"]
  }
  statement {
    sid       = "Key"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = ["arn:${local.partition}:kms:${var.region}:${local.account}:key/*"]
    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${var.region}.amazonaws.com"]
    }
    condition {
      test     = "StringLike"
      variable = "kms:EncryptionContext:aws:s3:arn"
      values   = ["arn:${local.partition}:s3:::airflow-${each.key}-dags-${local.account}", "arn:${local.partition}:s3:::airflow-${each.key}-dags-${local.account}/dags/*"]
    }
  }
}

resource "aws_iam_role_policy" "dags" {
  for_each = var.environments
  role     = aws_iam_role.github["dags-${each.key}"].id
  policy   = data.aws_iam_policy_document.dags[each.key].json
}
