# Production, reference size: two zones, a database that fails over, workers on demand (not Spot) from zero.
# What each line costs a month: python3 infra/cost/cost.py (docs/infra.md).
module "airflow" {
  source          = "../../modules/airflow"
  name            = "airflow-prod"
  stage           = "prod"
  release         = var.release
  repository_arns = var.repository_arns
  executor        = "CeleryExecutor"
  architecture    = var.architecture

  network  = { availability_zones = 2, flow_logs = "REJECT" } # 4 interface endpoints in 2 zones
  database = { instance_class = "db.t4g.medium", multi_az = true, backup_days = 14, max_connections = 200 }
  redis    = { node_type = "cache.t4g.micro", replicas = 1 } # 2 nodes, failover
  files    = { one_zone = false, backup = true }
  dag_sync = "service" # a task whose role alone may write
  # dag_layout = "generations" # a run keeps the code that it began with: docs/releases.md

  sizes = {
    web           = { cpu = 512, memory = 2048 }
    scheduler     = { cpu = 512, memory = 2048 }
    dag-processor = { cpu = 512, memory = 1024 }
    triggerer     = { cpu = 256, memory = 1024 }
  }
  web     = { minimum = 1, maximum = 3 }
  workers = { cpu = 1024, memory = 4096, concurrency = 8, minimum = 0, maximum = 10, spot = false }

  load_balancer = { # internal: people come by the VPN
    host            = var.host
    certificate_arn = var.certificate_arn
    allowed_cidrs   = var.allowed_cidrs
  }
  admin_email = var.admin_email
  migrate     = var.migrate
  rollback    = var.rollback

  emails = var.alarm_emails
  slack  = var.slack
  budget = { dollars = 500, tag_key = "environment" }
}
