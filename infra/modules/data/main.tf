# One key a purpose, so that who may read logs may not therefore read secrets.
data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}
data "aws_region" "this" {}

locals {
  account   = data.aws_caller_identity.this.account_id
  region    = data.aws_region.this.region
  partition = data.aws_partition.this.partition
  purposes = {
    data    = "database, cache and files of ${var.name}"
    objects = "buckets of ${var.name}"
    secrets = "secrets and parameters of ${var.name}"
    logs    = "logs and alarms of ${var.name}"
  }
}

data "aws_iam_policy_document" "key" {
  for_each = local.purposes
  # checkov knows these as identity policies; in a key policy "*" is the key itself, and without the account
  # nobody could ever change the key again.
  #checkov:skip=CKV_AWS_109:in a key policy the resource "*" is this key
  #checkov:skip=CKV_AWS_111:in a key policy the resource "*" is this key
  #checkov:skip=CKV_AWS_356:in a key policy the resource "*" is this key
  statement {
    sid       = "AccountByIam"
    actions   = ["kms:*"]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = ["arn:${local.partition}:iam::${local.account}:root"]
    }
  }
  dynamic "statement" {
    for_each = each.key == "logs" ? [1] : []
    content {
      sid       = "LogGroups"
      actions   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext"]
      resources = ["*"]
      principals {
        type        = "Service"
        identifiers = ["logs.${local.region}.amazonaws.com"]
      }
      condition {
        test     = "StringLike"
        variable = "kms:EncryptionContext:aws:logs:arn"
        values   = ["arn:${local.partition}:logs:${local.region}:${local.account}:log-group:/${var.name}/*"]
      }
    }
  }
  # An alarm cannot publish to an encrypted topic without it.
  dynamic "statement" {
    for_each = each.key == "logs" ? [1] : []
    content {
      sid       = "Alarms"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = ["*"]
      principals {
        type        = "Service"
        identifiers = ["budgets.amazonaws.com", "cloudwatch.amazonaws.com", "events.amazonaws.com"]
      }
      condition {
        test     = "StringEquals"
        variable = "aws:SourceAccount"
        values   = [local.account]
      }
    }
  }
}

resource "aws_kms_key" "this" {
  for_each                = local.purposes
  description             = each.value
  enable_key_rotation     = true
  deletion_window_in_days = var.kms_deletion_days
  policy                  = data.aws_iam_policy_document.key[each.key].json
}

resource "aws_kms_alias" "this" {
  for_each      = local.purposes
  name          = "alias/${var.name}-${each.key}"
  target_key_id = aws_kms_key.this[each.key].key_id
}
