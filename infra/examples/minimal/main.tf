# For a day: all of Airflow in one task, a small database, one zone's endpoints; no Redis, no load balancer.
# It is reached through the task itself (ECS Exec): docs/runbooks/operations.md. Destroy it in the evening.
module "airflow" {
  source          = "../../modules/airflow"
  name            = "airflow-minimal"
  stage           = "dev"
  release         = var.release
  repository_arns = var.repository_arns
  executor        = "LocalExecutor"
  architecture    = var.architecture

  one_task          = true
  sizes             = { web = { cpu = 1024, memory = 4096 } } # four of Airflow's services and s3sync
  local_parallelism = 4

  network     = { endpoint_zones = 1 } # 5 interface endpoints, one of them for ECS Exec
  database    = { instance_class = "db.t4g.micro", multi_az = false, backup_days = 1 }
  files       = { one_zone = true, backup = false }
  dag_sync    = "sidecar"
  exec        = true
  admin_email = var.admin_email

  retention_days = 1
}
