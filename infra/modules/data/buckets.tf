locals {
  buckets = { dags = var.buckets.dags, logs = var.buckets.logs }
}

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV2_AWS_6:aws_s3_bucket_public_access_block.this is for each bucket; checkov follows only one through for_each
  #checkov:skip=CKV2_AWS_61:aws_s3_bucket_lifecycle_configuration.this is for each bucket; checkov follows only one through for_each
  #checkov:skip=CKV_AWS_21:aws_s3_bucket_versioning.this is for each bucket; checkov follows only one through for_each
  #checkov:skip=CKV_AWS_145:aws_s3_bucket_server_side_encryption_configuration.this is for each bucket, with a key of its own; checkov follows only one through for_each
  #checkov:skip=CKV_AWS_18:access is recorded by CloudTrail's data events where the account has them; a third bucket for server access logs is not worth its care
  #checkov:skip=CKV_AWS_144:DAGs are in Git and logs are no records; nothing here needs another region
  #checkov:skip=CKV2_AWS_62:nobody waits for events of these buckets
  for_each      = local.buckets
  bucket        = each.value
  force_destroy = var.buckets.destroy_full
}

resource "aws_s3_bucket_ownership_controls" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id
  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each                = aws_s3_bucket.this
  bucket                  = each.value.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_versioning" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id
  rule {
    # One key for the bucket's objects instead of one call of KMS for each.
    bucket_key_enabled = true
    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.this["objects"].arn
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id
  rule {
    id     = "old-versions"
    status = "Enabled"
    filter {}
    noncurrent_version_expiration {
      noncurrent_days = var.buckets.old_version_days
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = 2
    }
  }
  dynamic "rule" {
    for_each = each.key == "logs" ? [1] : []
    content {
      id     = "logs"
      status = "Enabled"
      filter {
        prefix = "logs/"
      }
      expiration {
        days = var.buckets.log_days
      }
    }
  }
  # s3sync's approvals count for 24 hours.
  dynamic "rule" {
    for_each = each.key == "dags" ? [1] : []
    content {
      id     = "approvals"
      status = "Enabled"
      filter {
        prefix = "dags/.s3sync/approve/"
      }
      expiration {
        days = 7
      }
    }
  }
}

data "aws_iam_policy_document" "bucket" {
  for_each = local.buckets
  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = ["arn:${local.partition}:s3:::${each.value}", "arn:${local.partition}:s3:::${each.value}/*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "this" {
  for_each   = aws_s3_bucket.this
  bucket     = each.value.id
  policy     = data.aws_iam_policy_document.bucket[each.key].json
  depends_on = [aws_s3_bucket_public_access_block.this]
}
