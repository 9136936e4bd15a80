variable "name" {
  description = "Name of the environment, and the prefix of every name."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name))
    error_message = "name takes 3 to 24 lower-case letters, digits and dashes, and begins with a letter: longer ones do not fit into a load balancer's name."
  }
}

variable "kms_key_arn" {
  description = "Key of the alarm topic; CloudWatch must be allowed to use it (the module data's key `logs` does)."
  type        = string
}

variable "emails" {
  description = "Who is told by e-mail. Each address must be confirmed once."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for e in var.emails : can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", e))])
    error_message = "emails takes e-mail addresses."
  }
}

variable "slack" {
  description = "A Slack channel that is told, by Amazon Q Developer in chat applications, which a person has to let into the workspace once."
  type        = object({ team_id = string, channel_id = string })
  default     = null
  validation {
    condition     = var.slack == null || try(can(regex("^T[A-Z0-9]+$", var.slack.team_id)) && can(regex("^[CG][A-Z0-9]+$", var.slack.channel_id)), false)
    error_message = "slack takes a team_id that begins with T, and a channel_id that begins with C or G; the names of workspace and channel are not what Slack's API knows."
  }
}

variable "cluster_name" {
  description = "The ECS cluster's name."
  type        = string
}

variable "services" {
  description = "Airflow's services, which of them may be at zero tasks, and which share another's task and have no CPU and memory of their own."
  type = map(object({
    may_be_zero = optional(bool, false)
    own_task    = optional(bool, true)
  }))
}

variable "load_balancer" {
  description = "Dimensions of the load balancer's metrics; null without one."
  type        = object({ arn_suffix = string, target_group_arn_suffix = string })
  default     = null
}

variable "database" {
  description = "The RDS instance; null where the database is somebody else's."
  type = object({
    identifier      = string
    max_connections = optional(number, 100)
    storage_gb      = optional(number, 20)
  })
  default = null
}

variable "redis_clusters" {
  description = "The broker's nodes; empty without one."
  type        = list(string)
  default     = []
}

variable "file_system_id" {
  description = "The EFS file system."
  type        = string
}

variable "celery" {
  description = "queue-metrics publishes; null with LocalExecutor. `queued_timeout` is AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT in seconds."
  type        = object({ service = optional(string, "worker"), queued_timeout = number })
  default     = null
}

variable "dag_sync_service" {
  description = "The dimension Service under which s3sync publishes."
  type        = string
  default     = "s3sync"
}

variable "budget" {
  description = "Dollars a month, told at 80 and 100 per cent and when the forecast passes it; null for no budget. It counts what carries the tag `tag_key` with the environment's name, or the whole account with tag_key = null."
  type        = object({ dollars = number, tag_key = optional(string) })
  default     = null
  validation {
    condition     = var.budget == null || try(var.budget.dollars > 0, false)
    error_message = "budget.dollars takes more than 0."
  }
}

variable "runbooks" {
  description = "Where the runbooks are read; each alarm's text has its page."
  type        = string
  default     = "docs/runbooks"
}
