variable "name" {
  description = "Name of the environment, and the prefix of every name."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name))
    error_message = "name takes 3 to 24 lower-case letters, digits and dashes, and begins with a letter: longer ones do not fit into a load balancer's name."
  }
}

variable "stage" {
  description = "`dev` can be thrown away; `prod` is protected from that, keeps logs for longer, and has no ECS Exec."
  type        = string
  validation {
    condition     = contains(["dev", "prod"], var.stage)
    error_message = "stage takes dev or prod."
  }
}

variable "release" {
  description = "What runs: images by digest, as the release workflow writes them. `s3sync` and `queue_metrics` are this project's own."
  type = object({
    airflow       = string
    s3sync        = string
    queue_metrics = optional(string)
  })
  validation {
    condition     = alltrue([for i in values(var.release) : i == null || can(regex("@sha256:[0-9a-f]{64}$", i))])
    error_message = "release takes images as REPOSITORY@sha256:DIGEST: a tag can be moved, and a rollback would then start something else."
  }
}

variable "repository_arns" {
  description = "ECR repositories of these images (bootstrap's output)."
  type        = list(string)
}

variable "airflow_major" {
  description = "3, or 2 for an Airflow that is moved over first and upgraded later."
  type        = number
  default     = 3
  validation {
    condition     = contains([2, 3], var.airflow_major)
    error_message = "airflow_major takes 2 or 3."
  }
}

variable "executor" {
  description = "CeleryExecutor, with Redis and workers that scale; LocalExecutor, with tasks in the scheduler."
  type        = string
  default     = "CeleryExecutor"
  validation {
    condition     = contains(["CeleryExecutor", "LocalExecutor"], var.executor)
    error_message = "executor takes CeleryExecutor or LocalExecutor."
  }
  validation {
    condition     = var.executor != "CeleryExecutor" || var.redis != null
    error_message = "executor CeleryExecutor needs redis: it is the broker. Give redis = {}, or take LocalExecutor."
  }
  validation {
    condition     = var.executor != "CeleryExecutor" || var.release.queue_metrics != null
    error_message = "executor CeleryExecutor needs release.queue_metrics: without it nothing scales the workers and nothing protects them."
  }
  validation {
    condition     = var.executor != "LocalExecutor" || var.redis == null
    error_message = "executor LocalExecutor uses no Redis: leave redis out, it would only be paid for."
  }
}

variable "network" {
  description = "The network; see modules/network."
  type = object({
    cidr               = optional(string, "10.20.0.0/16")
    availability_zones = optional(number, 2)
    endpoint_zones     = optional(number)
    classic_endpoints  = optional(bool, false)
    extra_endpoints    = optional(set(string), [])
    flow_logs          = optional(string)
    egress = optional(object({
      mode               = optional(string, "none")
      cidrs              = optional(list(string), [])
      port               = optional(number, 443)
      transit_gateway_id = optional(string)
      proxy_url          = optional(string)
    }), {})
    existing = optional(object({
      vpc_id              = string
      private_subnet_ids  = list(string)
      public_subnet_ids   = optional(list(string), [])
      route_table_ids     = optional(list(string), [])
      s3_endpoint         = optional(bool, true)
      interface_endpoints = optional(bool, true)
    }))
  })
  default = {}
  validation {
    condition     = var.network.egress.mode != "proxy" || var.network.egress.proxy_url != null
    error_message = "network.egress.proxy_url is missing: with mode proxy the tasks are told where it is."
  }
}

variable "database" {
  description = "A new database; see modules/data."
  type = object({
    instance_class      = optional(string, "db.t4g.small")
    storage_gb          = optional(number, 20)
    max_storage_gb      = optional(number, 100)
    major_version       = optional(string, "16")
    multi_az            = optional(bool, true)
    backup_days         = optional(number, 14)
    snapshot_identifier = optional(string)
    password_version    = optional(number, 1)
    max_connections     = optional(number, 100)
  })
  default = {}
}

variable "existing_database" {
  description = "A database to use instead; see modules/data. Its Fernet key comes by fernet_key_secret."
  type = object({
    host              = string
    port              = optional(number, 5432)
    name              = string
    username          = string
    password_secret   = string
    security_group_id = string
  })
  default = null
}

variable "fernet_key_secret" {
  description = "The secret with the Fernet key of an existing database, or of the snapshot that the new one is made from."
  type        = string
  default     = null
  validation {
    condition     = var.fernet_key_secret != null || (var.existing_database == null && try(var.database.snapshot_identifier, null) == null)
    error_message = "fernet_key_secret is missing: the database holds what its own Fernet key encrypted. Put that key into a Secrets Manager secret, and give its name."
  }
}

variable "redis" {
  description = "The Celery broker; see modules/data."
  type = object({
    engine           = optional(string, "valkey")
    version          = optional(string, "8.0")
    node_type        = optional(string, "cache.t4g.micro")
    replicas         = optional(number, 1)
    snapshot_days    = optional(number, 1)
    password_version = optional(number, 1)
  })
  default = null
}

variable "files" {
  description = "The file system; see modules/data."
  type = object({
    one_zone = optional(bool, false)
    backup   = optional(bool, true)
    existing = optional(object({ file_system_id = string, security_group_id = string }))
  })
  default = {}
}

variable "existing_cluster" {
  description = "An ECS cluster to use instead of a new one."
  type        = object({ name = string, arn = string })
  default     = null
}

variable "sizes" {
  description = "CPU units, MiB and tasks of each service that runs all the time."
  type = map(object({
    cpu    = number
    memory = number
    count  = optional(number, 1)
  }))
  default = {}
  validation {
    condition     = length(setsubtract(keys(var.sizes), ["web", "scheduler", "dag-processor", "triggerer"])) == 0
    error_message = "sizes takes web, scheduler, dag-processor and triggerer; the workers' size is in workers."
  }
}

variable "web" {
  description = "How far the web tier scales; without it there are as many tasks as sizes says."
  type        = object({ minimum = number, maximum = number })
  default     = null
}

variable "workers" {
  description = "Celery workers: size, tasks that each runs, how many, Spot, and other limits by schedule."
  type = object({
    cpu         = optional(number, 1024)
    memory      = optional(number, 4096)
    concurrency = optional(number, 8)
    minimum     = optional(number, 0)
    maximum     = optional(number, 10)
    hold        = optional(string, "5m")
    spot        = optional(bool, false)
    queues      = optional(list(string), ["default"])
    schedules = optional(map(object({
      cron     = string
      timezone = optional(string, "UTC")
      minimum  = number
      maximum  = number
    })), {})
  })
  default = {}
  validation {
    condition     = var.workers.concurrency >= 1 && length(var.workers.queues) >= 1
    error_message = "workers takes a concurrency of 1 and more, and a queue at least: the first is where tasks go that name none."
  }
}

variable "local_parallelism" {
  description = "Tasks at once with LocalExecutor."
  type        = number
  default     = 8
}

variable "one_task" {
  description = "All of Airflow in one task, for a trial: the least to pay, and what ends takes the others with it. LocalExecutor and dag_sync = \"sidecar\" only; its size is sizes.web."
  type        = bool
  default     = false
  validation {
    condition     = !var.one_task || (var.stage == "dev" && var.executor == "LocalExecutor" && var.dag_sync == "sidecar")
    error_message = "one_task is for stage dev with LocalExecutor and dag_sync = \"sidecar\": a worker, or a service that syncs, is a second task."
  }
}

variable "architecture" {
  description = "ARM64 or X86_64; the images' own."
  type        = string
  default     = "ARM64"
}

variable "dag_sync" {
  description = "`service` or `sidecar`; see modules/dag-sync."
  type        = string
  default     = "service"
}

variable "dag_layout" {
  description = "`in-place`, or `generations`, with which a run keeps the code that it began with; see docs/releases.md."
  type        = string
  default     = "in-place"
  validation {
    condition     = contains(["in-place", "generations"], var.dag_layout)
    error_message = "dag_layout takes in-place or generations."
  }
  validation {
    condition     = var.dag_layout != "generations" || var.airflow_major == 3
    error_message = "dag_layout generations needs airflow_major 3: Airflow 2 has no DAG bundles, and would scan every generation at once. Leave it at in-place until the upgrade."
  }
}

variable "dag_options" {
  description = "Further settings of s3sync; see modules/dag-sync: { S3SYNC_KEEP_FOR = \"30d\" }."
  type        = map(string)
  default     = {}
}

variable "load_balancer" {
  description = "The load balancer; see modules/load-balancer. Null without one: people come by port forwarding through the debug task."
  type = object({
    certificate_arn         = optional(string)
    host                    = optional(string)
    public                  = optional(bool, false)
    allowed_cidrs           = optional(list(string), [])
    allowed_security_groups = optional(map(string), {})
    web_acl_arn             = optional(string)
    login                   = optional(object({ user_pool_arn = string, client_id = string, domain = string, cidrs = list(string) }))
    existing                = optional(object({ listener_arn = string, security_group_id = string, arn_suffix = string, hosts = list(string), priority = number }))
  })
  default = null
}

variable "metrics" {
  description = "emf, through the logs, or cloudwatch, through an endpoint of its own."
  type        = string
  default     = "emf"
}

variable "retention_days" {
  description = "Days of logs; by stage without it: 14 in dev, 90 in prod."
  type        = number
  default     = null
}

variable "container_insights" {
  description = "disabled, enabled or enhanced."
  type        = string
  default     = "disabled"
}

variable "exec" {
  description = "ECS Exec into the services, in dev only: it needs a writable root file system."
  type        = bool
  default     = false
  validation {
    condition     = !var.exec || var.stage == "dev"
    error_message = "exec is for dev: in prod take the debug task, which holds nobody's service."
  }
}

variable "debug" {
  description = "A task definition for a person's own task, with a shell and port forwarding: brings the endpoint `ssmmessages`."
  type        = bool
  default     = false
}

variable "admin_email" {
  description = "E-mail of the first administrator; null to create none."
  type        = string
  default     = null
}

variable "environment" {
  description = "Further plain variables for every service; they win over the settings of this module."
  type        = map(string)
  default     = {}
}

variable "references" {
  description = "Variables by reference: { AIRFLOW_CONN_DWH = \"secretsmanager://airflow/dwh\" }."
  type        = map(string)
  default     = {}
}

variable "task_policy" {
  description = "JSON policy of what DAGs may do, added to the roles that run tasks."
  type        = string
  default     = null
}

variable "migrate" {
  description = "What the web tier, which is changed first, does about the schema. `major` for an upgrade from 2.x."
  type        = string
  default     = "auto"
}

variable "rollback" {
  description = "A deployment that does not become healthy goes back by itself. The deploy workflow turns it off where the schema's heads change."
  type        = bool
  default     = true
}

variable "wait" {
  description = "Apply ends when the services are steady."
  type        = bool
  default     = true
}

variable "emails" {
  description = "Who gets alarms by e-mail."
  type        = list(string)
  default     = []
}

variable "slack" {
  description = "A Slack channel for alarms."
  type        = object({ team_id = string, channel_id = string })
  default     = null
}

variable "budget" {
  description = "Dollars a month; see modules/observability."
  type        = object({ dollars = number, tag_key = optional(string) })
  default     = null
}

variable "secret_versions" {
  description = "Raised by one, each makes its secret anew: docs/runbooks/passwords.md."
  type = object({
    secret_key = optional(number, 1)
    jwt_secret = optional(number, 1)
  })
  default = {}
}
