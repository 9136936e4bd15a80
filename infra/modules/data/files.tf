locals {
  new_files = var.files.existing == null
  # uid and gid of Airflow's image. What a program of ours writes, each of them can read.
  access_points = { dags = "/dags", plugins = "/plugins", logs = "/logs" }
  files_id      = local.new_files ? aws_efs_file_system.this[0].id : var.files.existing.file_system_id
  files_group   = local.new_files ? aws_security_group.files[0].id : var.files.existing.security_group_id
  files_arn     = "arn:${local.partition}:elasticfilesystem:${local.region}:${local.account}:file-system/${local.files_id}"
}

data "aws_subnet" "first" {
  count = local.new_files && var.files.one_zone ? 1 : 0
  id    = var.subnet_ids[0]
}

resource "aws_efs_file_system" "this" {
  count                  = local.new_files ? 1 : 0
  creation_token         = var.name
  encrypted              = true
  kms_key_id             = aws_kms_key.this["data"].arn
  throughput_mode        = "elastic"
  availability_zone_name = var.files.one_zone ? data.aws_subnet.first[0].availability_zone : null
  tags                   = { Name = var.name }
}

resource "aws_security_group" "files" {
  count       = local.new_files ? 1 : 0
  name        = "${var.name}-files"
  description = "EFS, for Airflow's tasks."
  vpc_id      = var.vpc_id
  tags        = { Name = "${var.name}-files" }
}

resource "aws_vpc_security_group_ingress_rule" "files" {
  security_group_id            = local.files_group
  referenced_security_group_id = var.tasks_security_group_id
  description                  = "NFS from tasks of ${var.name}"
  ip_protocol                  = "tcp"
  from_port                    = 2049
  to_port                      = 2049
}

resource "aws_vpc_security_group_egress_rule" "files" {
  security_group_id            = var.tasks_security_group_id
  referenced_security_group_id = local.files_group
  description                  = "NFS"
  ip_protocol                  = "tcp"
  from_port                    = 2049
  to_port                      = 2049
}

resource "aws_efs_mount_target" "this" {
  count           = !local.new_files ? 0 : var.files.one_zone ? 1 : length(var.subnet_ids)
  file_system_id  = aws_efs_file_system.this[0].id
  subnet_id       = var.subnet_ids[count.index]
  security_groups = [aws_security_group.files[0].id]
}

resource "aws_efs_access_point" "this" {
  for_each       = local.access_points
  file_system_id = local.files_id
  posix_user {
    uid = 50000
    gid = 0
  }
  root_directory {
    path = each.value
    creation_info {
      owner_uid   = 50000
      owner_gid   = 0
      permissions = "0775"
    }
  }
  tags = { Name = "${var.name}-${each.key}" }
}

# With a policy nothing is allowed by default any more: a role must say so itself, and TLS is a must.
data "aws_iam_policy_document" "files" {
  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["*"]
    resources = [local.files_arn]
    principals {
      type        = "AWS"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_efs_file_system_policy" "this" {
  count          = local.new_files ? 1 : 0
  file_system_id = aws_efs_file_system.this[0].id
  policy         = data.aws_iam_policy_document.files.json
}

resource "aws_efs_backup_policy" "this" {
  count          = local.new_files ? 1 : 0
  file_system_id = aws_efs_file_system.this[0].id
  backup_policy {
    status = var.files.backup ? "ENABLED" : "DISABLED"
  }
}
