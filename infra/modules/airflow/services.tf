# In the order of a deployment: the web tier brings the schema up to date, then who depends on it, then the
# workers, whose older ones drain for as long as their tasks last.
locals {
  dags = {
    file_system_id   = module.data.files.file_system_id
    file_system_arn  = module.data.files.arn
    access_point_id  = module.data.files.access_points["dags"].id
    access_point_arn = module.data.files.access_points["dags"].arn
    path             = "/opt/airflow/dags"
  }
  # Who parses DAGs or runs tasks. The scheduler of Celery reads them from the database.
  reads_dags = concat(["dag-processor", "triggerer", "worker"], local.celery && local.three ? [] : ["scheduler"])
  runs_tasks = concat(["triggerer", "worker"], local.celery ? [] : ["scheduler"])

  # The role of one task is that of every service in it.
  writes_dags = { for s in concat([local.web], local.services) : s => var.dag_sync == "sidecar" && s == (var.one_task ? local.web : "dag-processor") }

  # The other service writes it at its first pass.
  synced = var.dag_sync == "service" ? [module.dag_sync.ready_file] : []

  common = {
    images          = { airflow = var.release.airflow, queue_metrics = var.release.queue_metrics }
    security_groups = [module.network.tasks_security_group_id]
  }

  queue_metrics = { for mode in ["watch", "protect"] : mode => !local.celery ? null : {
    mode                 = mode
    broker_parameter_arn = module.secrets.broker_parameter_arn
    kms_key_arn          = module.data.kms_key_arns["secrets"]
    queues               = var.workers.queues
    worker_concurrency   = var.workers.concurrency
    min_workers          = var.workers.minimum
    max_workers          = var.workers.maximum
    hold                 = var.workers.hold
  } }

  logs_arn = "arn:${local.partition}:s3:::${local.buckets.logs}"
}

data "aws_iam_policy_document" "write_logs" {
  statement {
    sid       = "TaskLogs"
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = ["${local.logs_arn}/logs/*"]
  }
  statement {
    sid       = "TaskLogList"
    actions   = ["s3:ListBucket"]
    resources = [local.logs_arn]
  }
  statement {
    sid       = "TaskLogKey"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [module.data.kms_key_arns["objects"]]
  }
}

data "aws_iam_policy_document" "read_logs" {
  statement {
    sid       = "TaskLogs"
    actions   = ["s3:GetObject"]
    resources = ["${local.logs_arn}/logs/*"]
  }
  statement {
    sid       = "TaskLogList"
    actions   = ["s3:ListBucket"]
    resources = [local.logs_arn]
  }
  statement {
    sid       = "TaskLogKey"
    actions   = ["kms:Decrypt"]
    resources = [module.data.kms_key_arns["objects"]]
  }
}

module "dag_sync" {
  source          = "../dag-sync"
  name            = var.name
  mode            = var.dag_sync
  image           = var.release.s3sync
  repository_arns = var.repository_arns
  bucket          = module.data.buckets["dags"]
  kms_key_arn     = module.data.kms_key_arns["objects"]
  mount           = local.dags
  path            = local.dags.path
  layout          = var.dag_layout
  options         = var.dag_options
  metrics         = var.metrics
  log_group       = module.cluster.log_groups["dag-sync"]
  architecture    = var.architecture
  placement = {
    cluster_arn        = module.cluster.arn
    subnet_ids         = local.task_subnets
    security_group_ids = local.common.security_groups
    wait               = var.wait
  }
}

module "web" {
  source             = "../airflow-service"
  name               = var.name
  service            = local.web
  cluster_arn        = module.cluster.arn
  cluster_name       = module.cluster.name
  images             = local.common.images
  repository_arns    = var.repository_arns
  cpu                = local.sizes["web"].cpu
  memory             = local.sizes["web"].memory
  architecture       = var.architecture
  desired_count      = try(var.web.minimum, local.sizes["web"].count)
  scaled             = var.web != null
  subnet_ids         = local.task_subnets
  security_group_ids = local.common.security_groups
  log_group          = module.cluster.log_groups[local.web]
  parameters         = module.secrets.parameters
  policies = merge(
    { parameters = module.secrets.read_policy },
    { logs = var.one_task ? data.aws_iam_policy_document.write_logs.json : data.aws_iam_policy_document.read_logs.json },
    var.one_task && var.task_policy != null ? { dags = var.task_policy } : {},
    var.one_task ? { sync = module.dag_sync.read_policy } : {},
  )
  mounts        = var.one_task ? { dags = merge(local.dags, { write = true }) } : {}
  beside        = local.beside
  sidecar       = var.one_task ? module.dag_sync.sidecar : null
  environment   = local.settings
  metrics       = var.metrics
  migrate       = var.migrate
  rollback      = var.rollback
  wait          = var.wait
  exec          = var.exec
  registry_arn  = module.cluster.api_registry_arn
  load_balancer = var.load_balancer == null ? null : { target_group_arn = module.load_balancer[0].target_group_arn }
}

module "services" {
  source             = "../airflow-service"
  for_each           = toset(local.apart)
  name               = var.name
  service            = each.key
  cluster_arn        = module.cluster.arn
  cluster_name       = module.cluster.name
  images             = local.common.images
  repository_arns    = var.repository_arns
  cpu                = local.sizes[each.key].cpu
  memory             = local.sizes[each.key].memory
  architecture       = var.architecture
  desired_count      = local.sizes[each.key].count
  subnet_ids         = local.task_subnets
  security_group_ids = local.common.security_groups
  log_group          = module.cluster.log_groups[each.key]
  parameters         = module.secrets.parameters
  policies = merge(
    { parameters = module.secrets.read_policy },
    contains(local.runs_tasks, each.key) ? { logs = data.aws_iam_policy_document.write_logs.json } : {},
    contains(local.runs_tasks, each.key) && var.task_policy != null ? { dags = var.task_policy } : {},
    local.writes_dags[each.key] ? { sync = module.dag_sync.read_policy } : {},
  )
  environment   = local.settings
  metrics       = var.metrics
  mounts        = contains(local.reads_dags, each.key) ? { dags = merge(local.dags, { write = local.writes_dags[each.key] }) } : {}
  wait_files    = contains(local.reads_dags, each.key) ? local.synced : []
  sidecar       = local.writes_dags[each.key] ? module.dag_sync.sidecar : null
  queue_metrics = each.key == "scheduler" ? local.queue_metrics.watch : null
  rollback      = var.rollback
  wait          = var.wait
  exec          = var.exec
  after         = [module.web.steady]
}

module "worker" {
  source             = "../airflow-service"
  count              = local.celery ? 1 : 0
  name               = var.name
  service            = "worker"
  cluster_arn        = module.cluster.arn
  cluster_name       = module.cluster.name
  images             = local.common.images
  repository_arns    = var.repository_arns
  cpu                = var.workers.cpu
  memory             = var.workers.memory
  architecture       = var.architecture
  desired_count      = var.workers.minimum
  scaled             = true
  spot               = var.workers.spot
  subnet_ids         = local.task_subnets
  security_group_ids = local.common.security_groups
  log_group          = module.cluster.log_groups["worker"]
  parameters         = module.secrets.parameters
  policies = merge(
    { parameters = module.secrets.read_policy, logs = data.aws_iam_policy_document.write_logs.json },
    var.task_policy == null ? {} : { dags = var.task_policy },
  )
  environment   = local.settings
  metrics       = var.metrics
  mounts        = { dags = local.dags }
  wait_files    = local.synced
  queue_metrics = local.queue_metrics.protect
  rollback      = var.rollback
  wait          = var.wait
  exec          = var.exec
  after         = [for s in module.services : s.steady]
}

module "worker_scaling" {
  source       = "../autoscaling"
  count        = local.celery ? 1 : 0
  name         = var.name
  kind         = "workers"
  cluster_name = module.cluster.name
  service_name = module.worker[0].service_name
  minimum      = var.workers.minimum
  maximum      = var.workers.maximum
  schedules    = var.workers.schedules
}

module "web_scaling" {
  source       = "../autoscaling"
  count        = var.web == null ? 0 : 1
  name         = var.name
  kind         = "web"
  cluster_name = module.cluster.name
  service_name = module.web.service_name
  minimum      = var.web.minimum
  maximum      = var.web.maximum
}

module "observability" {
  source         = "../observability"
  name           = var.name
  kms_key_arn    = module.data.kms_key_arns["logs"]
  emails         = var.emails
  slack          = var.slack
  cluster_name   = module.cluster.name
  services       = { for s in local.all : s => { may_be_zero = s == "worker" && var.workers.minimum == 0, own_task = !contains(local.beside, s) } }
  load_balancer  = var.load_balancer == null ? null : { arn_suffix = module.load_balancer[0].arn_suffix, target_group_arn_suffix = module.load_balancer[0].target_group_arn_suffix }
  database       = var.existing_database != null ? null : { identifier = var.name, max_connections = var.database.max_connections, storage_gb = var.database.storage_gb }
  redis_clusters = local.celery ? [for n in range(1 + var.redis.replicas) : format("%s-%03d", var.name, n + 1)] : []
  file_system_id = module.data.files.file_system_id
  celery         = local.celery ? { queued_timeout = local.queued_timeout } : null
  budget         = var.budget
}
