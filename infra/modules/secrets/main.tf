# What entrypoint reads below ENTRYPOINT_PARAMETERS. Parameters hold plain values, or the name of a secret;
# the secrets themselves are write-only, so that neither plan nor state has them.
data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}
data "aws_region" "this" {}

locals {
  base        = "/${var.name}"
  region      = data.aws_region.this.region
  account     = data.aws_caller_identity.this.account_id
  partition   = data.aws_partition.this.partition
  make_fernet = var.fernet_key_secret == null

  # name of the secret = { length, version }
  made = merge(
    local.make_fernet ? { fernet-key = { length = 32, version = 1 } } : {},
    {
      secret-key = { length = 64, version = var.versions.secret_key }
      jwt-secret = { length = 64, version = var.versions.jwt_secret }
    },
    var.admin == null ? {} : { admin-password = { length = 24, version = var.versions.admin } },
  )

  parameters = merge(
    {
      "db/host"              = var.database.host
      "db/port"              = tostring(var.database.port)
      "db/name"              = var.database.name
      "db/username"          = var.database.username
      "db/password"          = "secretsmanager://${var.database.password_secret}"
      "db/sslmode"           = var.sslmode
      "fernet-key"           = "secretsmanager://${coalesce(var.fernet_key_secret, "${var.name}/fernet-key")}"
      "webserver/secret-key" = "secretsmanager://${var.name}/secret-key"
      "jwt-secret"           = "secretsmanager://${var.name}/jwt-secret"
    },
    var.admin == null ? {} : {
      "admin/username" = var.admin.username
      "admin/email"    = var.admin.email
      "admin/password" = "secretsmanager://${var.name}/admin-password"
    },
    { for k, v in var.environment : "env/${k}" => v },
    { for k, v in var.references : "env/${k}" => v },
  )
}

ephemeral "random_password" "made" {
  for_each = local.made
  length   = each.value.length
  special  = false
}

resource "aws_secretsmanager_secret" "made" {
  #checkov:skip=CKV2_AWS_57:rotated by version and apply, because every service has to learn a new one together
  for_each                = local.made
  name                    = "${var.name}/${each.key}"
  description             = "${each.key} of ${var.name}"
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = var.recovery_days
}

# A Fernet key is 32 bytes in URL-safe Base64. Its version stays 1 for ever: a second key in its place would
# leave every connection in the database unreadable.
resource "aws_secretsmanager_secret_version" "made" {
  for_each  = local.made
  secret_id = aws_secretsmanager_secret.made[each.key].id
  secret_string_wo = each.key != "fernet-key" ? ephemeral.random_password.made[each.key].result : replace(replace(
  base64encode(ephemeral.random_password.made[each.key].result), "+", "-"), "/", "_")
  secret_string_wo_version = each.value.version
}

resource "aws_ssm_parameter" "layout" {
  #checkov:skip=CKV2_AWS_34:plain values and names of secrets, no secret; SecureString would only hide them from the plan
  for_each   = local.parameters
  name       = "${local.base}/${each.key}"
  type       = "String"
  value      = each.value
  depends_on = [aws_secretsmanager_secret_version.made]
}

# The broker's URL holds the password, and is read in two ways: by entrypoint in the layout, and by ECS for
# queue-metrics, which reads no parameters.
ephemeral "aws_secretsmanager_secret_version" "redis" {
  count     = var.redis == null ? 0 : 1
  secret_id = var.redis.secret_arn
}

resource "aws_ssm_parameter" "broker" {
  count            = var.redis == null ? 0 : 1
  name             = "${local.base}/broker-url"
  type             = "SecureString"
  key_id           = var.kms_key_arn
  value_wo         = "rediss://${var.redis.user}:${ephemeral.aws_secretsmanager_secret_version.redis[0].secret_string}@${var.redis.host}:${var.redis.port}/0${var.redis.query}"
  value_wo_version = var.redis.password_version
}

# What a task role needs to read all this, and no more. SSM asks Secrets Manager in the task's name.
data "aws_iam_policy_document" "read" {
  statement {
    sid     = "Parameters"
    actions = ["ssm:GetParameters", "ssm:GetParametersByPath"]
    resources = [
      "arn:${local.partition}:ssm:${local.region}:${local.account}:parameter${local.base}",
      "arn:${local.partition}:ssm:${local.region}:${local.account}:parameter${local.base}/*",
      "arn:${local.partition}:ssm:${local.region}:${local.account}:parameter/aws/reference/secretsmanager/*",
    ]
  }
  statement {
    sid     = "Secrets"
    actions = ["secretsmanager:GetSecretValue"]
    # Secrets Manager adds six characters of its own to each name.
    resources = [for s in distinct(concat(
      ["${var.name}/*"],
      ["${var.database.password_secret}-??????"],
      var.fernet_key_secret == null ? [] : ["${var.fernet_key_secret}-??????"],
      [for v in values(var.references) : "${regex("^secretsmanager://([^#]+)", v)[0]}-??????" if startswith(v, "secretsmanager://")],
    )) : "arn:${local.partition}:secretsmanager:${local.region}:${local.account}:secret:${s}"]
  }
  statement {
    sid       = "Decrypt"
    actions   = ["kms:Decrypt"]
    resources = [var.kms_key_arn]
    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["ssm.${local.region}.amazonaws.com", "secretsmanager.${local.region}.amazonaws.com"]
    }
  }
}
