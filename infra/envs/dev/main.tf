# Development: everything in one zone's worth, workers from zero, nothing that a night without it would hurt.
# What each line costs a month: python3 infra/cost/cost.py (docs/infra.md).
module "airflow" {
  source          = "../../modules/airflow"
  name            = "airflow-dev"
  stage           = "dev"
  release         = var.release
  repository_arns = var.repository_arns
  executor        = var.executor
  architecture    = var.architecture

  network  = { endpoint_zones = 1 } # 4 interface endpoints, or 5 with debug
  database = { instance_class = "db.t4g.micro", multi_az = false, backup_days = 3 }
  redis    = var.executor == "CeleryExecutor" ? { replicas = 0, snapshot_days = 0 } : null # 1 small node
  files    = { one_zone = true, backup = false }
  dag_sync = "sidecar" # of the dag-processor: no task of its own
  # dag_layout = "generations" # a run keeps the code that it began with: docs/releases.md

  sizes = {
    web           = { cpu = 512, memory = 2048 }
    scheduler     = var.executor == "CeleryExecutor" ? { cpu = 256, memory = 1024 } : { cpu = 1024, memory = 4096 }
    dag-processor = { cpu = 256, memory = 1024 }
    triggerer     = { cpu = 256, memory = 1024 }
  }
  workers = { cpu = 512, memory = 2048, concurrency = 4, minimum = 0, maximum = 3, spot = true }

  load_balancer = null # by port forwarding through the debug task: docs/runbooks/operations.md
  debug         = true
  admin_email   = var.admin_email
  migrate       = var.migrate
  rollback      = var.rollback

  emails = [var.admin_email]
  budget = { dollars = 150, tag_key = "environment" }
}
