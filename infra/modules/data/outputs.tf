output "kms_key_arns" {
  description = "Keys by purpose: data, objects, secrets, logs."
  value       = { for purpose, key in aws_kms_key.this : purpose => key.arn }
}

output "database" {
  description = "Where the database is, and the name of the secret with its password."
  value = {
    host            = local.new_database ? aws_db_instance.this[0].address : var.existing_database.host
    port            = local.port
    name            = local.new_database ? local.database_name : var.existing_database.name
    username        = local.new_database ? "airflow" : var.existing_database.username
    password_secret = local.new_database ? aws_secretsmanager_secret.database[0].name : var.existing_database.password_secret
    identifier      = local.new_database ? aws_db_instance.this[0].identifier : null
    new             = local.new_database
  }
}

output "redis" {
  description = "The broker, without its password; null without one."
  value = local.redis ? {
    host             = aws_elasticache_replication_group.this[0].primary_endpoint_address
    port             = 6379
    user             = "airflow"
    query            = local.broker_query
    secret_arn       = aws_secretsmanager_secret_version.redis[0].secret_id
    password_version = var.redis.password_version
    cluster_ids      = [for n in range(1 + var.redis.replicas) : format("%s-%03d", var.name, n + 1)]
  } : null
}

output "files" {
  description = "The file system and its access points: dags, plugins, logs."
  value = {
    file_system_id = local.files_id
    arn            = local.files_arn
    access_points  = { for name, point in aws_efs_access_point.this : name => { id = point.id, arn = point.arn } }
  }
  # A task that mounts before its zone has a mount target fails.
  depends_on = [aws_efs_mount_target.this, aws_efs_file_system_policy.this]
}

output "buckets" {
  description = "The buckets for DAGs and logs: name and ARN."
  value       = { for purpose, bucket in aws_s3_bucket.this : purpose => { name = bucket.bucket, arn = bucket.arn } }
}
