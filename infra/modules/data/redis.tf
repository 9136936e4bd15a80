locals {
  redis = var.redis != null
  # TLS with the certificate checked: both Celery and queue-metrics read the same words.
  broker_query = "?ssl_cert_reqs=CERT_REQUIRED"
}

ephemeral "random_password" "redis" {
  count   = local.redis ? 1 : 0
  length  = 64
  special = false
}

resource "aws_secretsmanager_secret" "redis" {
  #checkov:skip=CKV2_AWS_57:the password is rotated by its version and an apply, because Celery has to learn it in the same minute
  count                   = local.redis ? 1 : 0
  name                    = "${var.name}/redis-password"
  description             = "Password of the user airflow in the broker of ${var.name}"
  kms_key_id              = aws_kms_key.this["secrets"].arn
  recovery_window_in_days = var.secret_recovery_days
}

resource "aws_secretsmanager_secret_version" "redis" {
  count                    = local.redis ? 1 : 0
  secret_id                = aws_secretsmanager_secret.redis[0].id
  secret_string_wo         = ephemeral.random_password.redis[0].result
  secret_string_wo_version = var.redis.password_version
}

ephemeral "aws_secretsmanager_secret_version" "redis" {
  count     = local.redis ? 1 : 0
  secret_id = aws_secretsmanager_secret_version.redis[0].secret_id
}

resource "aws_security_group" "redis" {
  count       = local.redis ? 1 : 0
  name        = "${var.name}-redis"
  description = "The Celery broker, for Airflow's tasks."
  vpc_id      = var.vpc_id
  tags        = { Name = "${var.name}-redis" }
}

resource "aws_vpc_security_group_ingress_rule" "redis" {
  count                        = local.redis ? 1 : 0
  security_group_id            = aws_security_group.redis[0].id
  referenced_security_group_id = var.tasks_security_group_id
  description                  = "Redis from tasks"
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6379
}

resource "aws_vpc_security_group_egress_rule" "redis" {
  count                        = local.redis ? 1 : 0
  security_group_id            = var.tasks_security_group_id
  referenced_security_group_id = aws_security_group.redis[0].id
  description                  = "Redis"
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6379
}

resource "aws_elasticache_subnet_group" "this" {
  count      = local.redis ? 1 : 0
  name       = var.name
  subnet_ids = var.subnet_ids
}

resource "aws_elasticache_parameter_group" "this" {
  count = local.redis ? 1 : 0
  name  = "${var.name}-${var.redis.engine}${split(".", var.redis.version)[0]}"
  # valkey7, valkey8, redis7
  family = "${var.redis.engine}${split(".", var.redis.version)[0]}"
  # A broker that evicts loses tasks without a word.
  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }
  lifecycle {
    create_before_destroy = true
  }
}

# The user that a client without a name would be may do nothing.
resource "aws_elasticache_user" "default" {
  count         = local.redis ? 1 : 0
  user_id       = "${var.name}-default"
  user_name     = "default"
  engine        = var.redis.engine
  access_string = "off ~* -@all"
  authentication_mode {
    type = "no-password-required"
  }
}

resource "aws_elasticache_user" "airflow" {
  count                = local.redis ? 1 : 0
  user_id              = "${var.name}-airflow"
  user_name            = "airflow"
  engine               = var.redis.engine
  access_string        = "on ~* &* +@all -@dangerous +info"
  passwords_wo         = ephemeral.aws_secretsmanager_secret_version.redis[0].secret_string
  passwords_wo_version = var.redis.password_version
}

resource "aws_elasticache_user_group" "this" {
  count         = local.redis ? 1 : 0
  engine        = var.redis.engine
  user_group_id = var.name
  user_ids      = [aws_elasticache_user.default[0].user_id, aws_elasticache_user.airflow[0].user_id]
}

resource "aws_elasticache_replication_group" "this" {
  #checkov:skip=CKV2_AWS_50:multi-AZ follows the number of replicas: none for development
  count                      = local.redis ? 1 : 0
  replication_group_id       = var.name
  description                = "Celery broker of ${var.name}"
  engine                     = var.redis.engine
  engine_version             = var.redis.version
  node_type                  = var.redis.node_type
  num_cache_clusters         = 1 + var.redis.replicas
  automatic_failover_enabled = var.redis.replicas > 0
  multi_az_enabled           = var.redis.replicas > 0
  port                       = 6379
  parameter_group_name       = aws_elasticache_parameter_group.this[0].name
  subnet_group_name          = aws_elasticache_subnet_group.this[0].name
  security_group_ids         = [aws_security_group.redis[0].id]
  user_group_ids             = [aws_elasticache_user_group.this[0].user_group_id]
  transit_encryption_enabled = true
  at_rest_encryption_enabled = true
  kms_key_id                 = aws_kms_key.this["data"].arn
  snapshot_retention_limit   = var.redis.snapshot_days
  auto_minor_version_upgrade = true
  apply_immediately          = true
}
