# For a day: LocalExecutor, no Redis, no load balancer, one zone's endpoints. Destroy it in the evening.
module "airflow" {
  source          = "../../modules/airflow"
  name            = "airflow-minimal"
  stage           = "dev"
  release         = var.release
  repository_arns = var.repository_arns
  executor        = "LocalExecutor"

  network           = { endpoint_zones = 1 }
  database          = { instance_class = "db.t4g.micro", multi_az = false, backup_days = 1 }
  files             = { one_zone = true, backup = false }
  dag_sync          = "sidecar"
  local_parallelism = 4
  sizes = {
    web           = { cpu = 256, memory = 1024 }
    scheduler     = { cpu = 512, memory = 2048 }
    dag-processor = { cpu = 256, memory = 1024 }
    triggerer     = { cpu = 256, memory = 512 }
  }
  debug          = true
  admin_email    = var.admin_email
  retention_days = 1
}
