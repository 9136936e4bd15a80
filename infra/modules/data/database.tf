locals {
  new_database = var.existing_database == null
  port         = try(var.existing_database.port, 5432)
  # A bare name: Airflow's image and its docs use it.
  database_name = "airflow"
}

# The password goes to Secrets Manager first and is read back from there, so that an apply that stops
# between the two leaves a secret that the next apply gives to the database. A random value of its own in
# each would differ then. Nothing of it is in the state. There is no managed password: RDS changes it
# every week, under running tasks.
ephemeral "random_password" "database" {
  count   = local.new_database ? 1 : 0
  length  = 40
  special = false
}

resource "aws_secretsmanager_secret" "database" {
  #checkov:skip=CKV2_AWS_57:the password is rotated by its version and an apply, because Airflow has to learn it in the same minute
  count                   = local.new_database ? 1 : 0
  name                    = "${var.name}/db-password"
  description             = "Password of the user airflow in the database of ${var.name}"
  kms_key_id              = aws_kms_key.this["secrets"].arn
  recovery_window_in_days = var.secret_recovery_days
}

resource "aws_secretsmanager_secret_version" "database" {
  count                    = local.new_database ? 1 : 0
  secret_id                = aws_secretsmanager_secret.database[0].id
  secret_string_wo         = ephemeral.random_password.database[0].result
  secret_string_wo_version = var.database.password_version
}

ephemeral "aws_secretsmanager_secret_version" "database" {
  count     = local.new_database ? 1 : 0
  secret_id = aws_secretsmanager_secret_version.database[0].secret_id
}

resource "aws_security_group" "database" {
  count       = local.new_database ? 1 : 0
  name        = "${var.name}-database"
  description = "PostgreSQL, for Airflow's tasks."
  vpc_id      = var.vpc_id
  tags        = { Name = "${var.name}-database" }
}

resource "aws_vpc_security_group_ingress_rule" "database" {
  security_group_id            = local.new_database ? aws_security_group.database[0].id : var.existing_database.security_group_id
  referenced_security_group_id = var.tasks_security_group_id
  description                  = "PostgreSQL from tasks of ${var.name}"
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}

resource "aws_vpc_security_group_egress_rule" "database" {
  security_group_id            = var.tasks_security_group_id
  referenced_security_group_id = local.new_database ? aws_security_group.database[0].id : var.existing_database.security_group_id
  description                  = "PostgreSQL"
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}

resource "aws_db_subnet_group" "this" {
  count      = local.new_database ? 1 : 0
  name       = var.name
  subnet_ids = var.subnet_ids
}

resource "aws_db_parameter_group" "this" {
  count       = local.new_database ? 1 : 0
  name_prefix = "${var.name}-"
  family      = "postgres${var.database.major_version}"
  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }
  parameter {
    name  = "log_min_duration_statement"
    value = tostring(var.database.log_statement_ms)
  }
  parameter {
    name  = "log_statement"
    value = "ddl"
  }
  # A scheduler whose task vanished holds its row locks until the server sees the connection die.
  parameter {
    name  = "tcp_keepalives_idle"
    value = "60"
  }
  parameter {
    name  = "idle_in_transaction_session_timeout"
    value = "600000"
  }
  lifecycle {
    create_before_destroy = true
  }
}

data "aws_iam_policy_document" "monitoring_assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["monitoring.rds.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

resource "aws_iam_role" "monitoring" {
  count              = local.new_database ? 1 : 0
  name               = "${var.name}-rds-monitoring"
  assume_role_policy = data.aws_iam_policy_document.monitoring_assume.json
}

resource "aws_iam_role_policy_attachment" "monitoring" {
  count      = local.new_database ? 1 : 0
  role       = aws_iam_role.monitoring[0].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
}

resource "aws_db_instance" "this" {
  #checkov:skip=CKV_AWS_133:backups are kept for 1 day at least, by the variable's validation
  #checkov:skip=CKV_AWS_161:Airflow's drivers have no IAM authentication, whose tokens live for 15 minutes
  count                                 = local.new_database ? 1 : 0
  identifier                            = var.name
  engine                                = "postgres"
  engine_version                        = var.database.major_version
  instance_class                        = var.database.instance_class
  allocated_storage                     = var.database.storage_gb
  max_allocated_storage                 = var.database.max_storage_gb
  storage_type                          = "gp3"
  storage_encrypted                     = true
  kms_key_id                            = aws_kms_key.this["data"].arn
  db_name                               = var.database.snapshot_identifier == null ? local.database_name : null
  snapshot_identifier                   = var.database.snapshot_identifier
  username                              = "airflow"
  password_wo                           = ephemeral.aws_secretsmanager_secret_version.database[0].secret_string
  password_wo_version                   = var.database.password_version
  port                                  = local.port
  multi_az                              = var.database.multi_az
  publicly_accessible                   = false
  db_subnet_group_name                  = aws_db_subnet_group.this[0].name
  vpc_security_group_ids                = [aws_security_group.database[0].id]
  parameter_group_name                  = aws_db_parameter_group.this[0].name
  ca_cert_identifier                    = "rds-ca-rsa2048-g1"
  backup_retention_period               = var.database.backup_days
  copy_tags_to_snapshot                 = true
  deletion_protection                   = var.database.deletion_protection
  skip_final_snapshot                   = !var.database.deletion_protection
  final_snapshot_identifier             = var.database.deletion_protection ? "${var.name}-final" : null
  auto_minor_version_upgrade            = true
  allow_major_version_upgrade           = false
  monitoring_interval                   = 60
  monitoring_role_arn                   = aws_iam_role.monitoring[0].arn
  performance_insights_enabled          = true
  performance_insights_kms_key_id       = aws_kms_key.this["data"].arn
  performance_insights_retention_period = 7
  enabled_cloudwatch_logs_exports       = ["postgresql", "upgrade"]
  depends_on                            = [aws_iam_role_policy_attachment.monitoring]
  lifecycle {
    # It names what the database was made from, once.
    ignore_changes = [snapshot_identifier]
  }
}
