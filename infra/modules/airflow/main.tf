# An Airflow, whole: the modules, wired. envs/ and examples/ choose sizes and what is there already.
data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}
data "aws_region" "this" {}

locals {
  account   = data.aws_caller_identity.this.account_id
  partition = data.aws_partition.this.partition
  region    = data.aws_region.this.region
  prod      = var.stage == "prod"

  # Names are global, so the account is part of them.
  buckets = { dags = "${var.name}-dags-${local.account}", logs = "${var.name}-logs-${local.account}" }

  web      = local.three ? "api-server" : "webserver"
  services = ["scheduler", "dag-processor", "triggerer"]
  all      = concat([local.web], local.services, local.celery ? ["worker"] : [])

  # A One Zone file system is found by name in its own zone alone: a task elsewhere fails to mount it.
  task_subnets = var.files.existing == null && var.files.one_zone ? [module.network.private_subnet_ids[0]] : module.network.private_subnet_ids

  # In one task they are containers of the web tier's.
  beside = var.one_task ? local.services : []
  apart  = var.one_task ? [] : local.services

  sizes = merge({
    web           = { cpu = 512, memory = 2048, count = 1 }
    scheduler     = local.celery ? { cpu = 512, memory = 2048, count = 1 } : { cpu = 1024, memory = 4096, count = 1 }
    dag-processor = { cpu = 512, memory = 1024, count = 1 }
    triggerer     = { cpu = 256, memory = 1024, count = 1 }
  }, var.sizes)
}

module "network" {
  source             = "../network"
  name               = var.name
  cidr               = var.network.cidr
  availability_zones = var.network.availability_zones
  endpoint_zones     = var.network.endpoint_zones
  classic_endpoints  = var.network.classic_endpoints
  extra_endpoints    = var.network.extra_endpoints
  existing           = var.network.existing
  egress             = { mode = var.network.egress.mode, cidrs = var.network.egress.cidrs, port = var.network.egress.port, transit_gateway_id = var.network.egress.transit_gateway_id }
  metrics            = var.metrics
  exec               = var.exec || var.debug
  public_subnets     = try(var.load_balancer.public, false)
  s3_bucket_arns     = [for b in values(local.buckets) : "arn:${local.partition}:s3:::${b}"]
  flow_logs          = var.network.flow_logs == null ? null : { traffic = var.network.flow_logs, retention_days = local.retention, kms_key_arn = module.data.kms_key_arns["logs"] }
}

module "data" {
  source                  = "../data"
  name                    = var.name
  vpc_id                  = module.network.vpc_id
  subnet_ids              = module.network.private_subnet_ids
  tasks_security_group_id = module.network.tasks_security_group_id
  database                = merge(var.database, { deletion_protection = local.prod })
  existing_database       = var.existing_database
  redis                   = var.redis
  files                   = var.files
  buckets                 = { dags = local.buckets.dags, logs = local.buckets.logs, destroy_full = !local.prod }
  secret_recovery_days    = local.prod ? 30 : 0
  kms_deletion_days       = local.prod ? 30 : 7
}

module "secrets" {
  source            = "../secrets"
  name              = var.name
  kms_key_arn       = module.data.kms_key_arns["secrets"]
  recovery_days     = local.prod ? 30 : 0
  database          = module.data.database
  redis             = module.data.redis
  fernet_key_secret = var.fernet_key_secret
  admin             = var.admin_email == null ? null : { email = var.admin_email }
  references        = var.references
  versions          = var.secret_versions
}

locals {
  retention = coalesce(var.retention_days, local.prod ? 90 : 14)
}

module "cluster" {
  source             = "../cluster"
  name               = var.name
  vpc_id             = module.network.vpc_id
  kms_key_arn        = module.data.kms_key_arns["logs"]
  log_groups         = concat([local.web], local.apart, local.celery ? ["worker"] : [], ["dag-sync"], var.debug ? ["debug"] : [])
  retention_days     = local.retention
  container_insights = var.container_insights
  existing_cluster   = var.existing_cluster
}

module "load_balancer" {
  source                  = "../load-balancer"
  count                   = var.load_balancer == null ? 0 : 1
  name                    = var.name
  vpc_id                  = module.network.vpc_id
  public                  = var.load_balancer.public
  subnet_ids              = var.load_balancer.public ? module.network.public_subnet_ids : module.network.private_subnet_ids
  allowed_cidrs           = var.load_balancer.allowed_cidrs
  allowed_security_groups = var.load_balancer.allowed_security_groups
  certificate_arn         = var.load_balancer.certificate_arn
  web_acl_arn             = var.load_balancer.web_acl_arn
  login                   = var.load_balancer.login
  egress                  = var.network.egress.mode == "transit_gateway"
  existing                = var.load_balancer.existing
  tasks_security_group_id = module.network.tasks_security_group_id
  health_path             = local.three ? "/api/v2/version" : "/health"
  deletion_protection     = local.prod
}

# Tasks among themselves: the execution API, and the log of a task that still runs on its worker.
resource "aws_vpc_security_group_ingress_rule" "among_tasks" {
  for_each                     = { api = 8080, worker-logs = 8793, triggerer-logs = 8794 }
  security_group_id            = module.network.tasks_security_group_id
  referenced_security_group_id = module.network.tasks_security_group_id
  description                  = "${each.key} among tasks"
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
}

resource "aws_vpc_security_group_egress_rule" "among_tasks" {
  for_each                     = { api = 8080, worker-logs = 8793, triggerer-logs = 8794 }
  security_group_id            = module.network.tasks_security_group_id
  referenced_security_group_id = module.network.tasks_security_group_id
  description                  = "${each.key} among tasks"
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
}
