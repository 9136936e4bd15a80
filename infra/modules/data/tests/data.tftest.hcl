provider "aws" {
  region = "eu-west-1"
}

variables {
  name                    = "airflow-test"
  vpc_id                  = "vpc-0a"
  subnet_ids              = ["subnet-0a", "subnet-0b"]
  tasks_security_group_id = "sg-0a"
  buckets                 = { dags = "airflow-test-dags", logs = "airflow-test-logs" }
}

run "safe_by_default" {
  command = apply
  assert {
    condition     = aws_db_instance.this[0].storage_encrypted && aws_db_instance.this[0].multi_az && aws_db_instance.this[0].deletion_protection && !aws_db_instance.this[0].publicly_accessible
    error_message = "Encrypted, in two zones, protected, private."
  }
  assert {
    condition     = [for p in aws_db_parameter_group.this[0].parameter : p.value if p.name == "rds.force_ssl"] == ["1"]
    error_message = "TLS is a must."
  }
  assert {
    condition     = aws_db_instance.this[0].password == null && aws_secretsmanager_secret_version.database[0].secret_string == null && aws_db_instance.this[0].manage_master_user_password == null
    error_message = "No password in the state, and none that RDS rotates by itself."
  }
  assert {
    condition     = output.redis == null && length(aws_elasticache_replication_group.this) == 0
    error_message = "No broker without being asked."
  }
  assert {
    condition     = alltrue([for p in aws_efs_access_point.this : p.posix_user[0].uid == 50000 && p.posix_user[0].gid == 0]) && aws_efs_file_system.this[0].throughput_mode == "elastic"
    error_message = "Access points of Airflow's user."
  }
  assert {
    condition     = length(aws_efs_mount_target.this) == 2
    error_message = "A mount target in each subnet."
  }
}

run "a_broker_that_loses_nothing" {
  command = apply
  variables { redis = {} }
  assert {
    condition     = [for p in aws_elasticache_parameter_group.this[0].parameter : p.value if p.name == "maxmemory-policy"] == ["noeviction"] && aws_elasticache_parameter_group.this[0].family == "valkey8"
    error_message = "A broker that evicts loses tasks."
  }
  assert {
    condition     = aws_elasticache_replication_group.this[0].transit_encryption_enabled && aws_elasticache_replication_group.this[0].multi_az_enabled && aws_elasticache_user.airflow[0].passwords == null
    error_message = "TLS, two zones, no password in the state."
  }
}

run "development" {
  command = plan
  variables {
    database = { multi_az = false, deletion_protection = false, backup_days = 1 }
    redis    = { replicas = 0 }
    files    = { one_zone = true, backup = false }
  }
  assert {
    condition     = length(aws_efs_mount_target.this) == 1 && !aws_elasticache_replication_group.this[0].automatic_failover_enabled && aws_db_instance.this[0].skip_final_snapshot
    error_message = "One zone."
  }
}

run "what_is_there_is_used" {
  command = plan
  variables {
    existing_database = { host = "db.internal", name = "airflow", username = "airflow", password_secret = "old/db", security_group_id = "sg-0d" }
    files             = { existing = { file_system_id = "fs-0a", security_group_id = "sg-0f" } }
  }
  assert {
    condition     = length(aws_db_instance.this) == 0 && length(aws_efs_file_system.this) == 0 && output.database.password_secret == "old/db"
    error_message = "Nothing is made beside it."
  }
}

run "refuses_one_subnet" {
  command = plan
  variables { subnet_ids = ["subnet-0a"] }
  expect_failures = [var.subnet_ids]
}

run "refuses_an_old_postgres" {
  command = plan
  variables { database = { major_version = "14" } }
  expect_failures = [var.database]
}

run "refuses_no_backups" {
  command = plan
  variables { database = { backup_days = 0 } }
  expect_failures = [var.database]
}

run "refuses_storage_that_gp3_lacks" {
  command = plan
  variables { database = { storage_gb = 5 } }
  expect_failures = [var.database]
}

run "refuses_another_broker" {
  command = plan
  variables { redis = { engine = "memcached" } }
  expect_failures = [var.redis]
}

run "refuses_equal_buckets" {
  command = plan
  variables { buckets = { dags = "airflow-test", logs = "airflow-test" } }
  expect_failures = [var.buckets]
}

run "refuses_a_recovery_that_aws_lacks" {
  command = plan
  variables { secret_recovery_days = 3 }
  expect_failures = [var.secret_recovery_days]
}

run "refuses_a_key_window_that_aws_lacks" {
  command = plan
  variables { kms_deletion_days = 1 }
  expect_failures = [var.kms_deletion_days]
}

run "refuses_a_name_that_does_not_fit" {
  command = plan
  variables { name = "Airflow_Production" }
  expect_failures = [var.name]
}

run "refuses_more_replicas_than_there_are" {
  command = plan
  variables { redis = { replicas = 6 } }
  expect_failures = [var.redis]
}
