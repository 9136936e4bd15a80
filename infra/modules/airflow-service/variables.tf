variable "name" {
  description = "Name of the environment, and the prefix of every name."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name))
    error_message = "name takes 3 to 24 lower-case letters, digits and dashes, and begins with a letter: longer ones do not fit into a load balancer's name."
  }
}

variable "service" {
  description = "Which of Airflow's services."
  type        = string
  validation {
    condition     = contains(["api-server", "webserver", "scheduler", "dag-processor", "triggerer", "worker"], var.service)
    error_message = "service takes api-server (3.x), webserver (2.x), scheduler, dag-processor, triggerer or worker."
  }
}

variable "beside" {
  description = "Further services that share this task, a container each, for a trial: they start, end and are paid for together."
  type        = list(string)
  default     = []
  validation {
    condition     = length(setsubtract(var.beside, ["scheduler", "dag-processor", "triggerer"])) == 0 && !contains(var.beside, var.service)
    error_message = "beside takes scheduler, dag-processor and triggerer, and not the service itself: a second web tier would want the same port, and workers scale by themselves."
  }
}

variable "cluster_arn" {
  description = "The ECS cluster."
  type        = string
}

variable "cluster_name" {
  description = "Its name."
  type        = string
}

variable "images" {
  description = "Images by digest. `queue_metrics` is needed with queue_metrics."
  type = object({
    airflow       = string
    queue_metrics = optional(string)
  })
  validation {
    condition     = alltrue([for i in values(var.images) : i == null || can(regex("@sha256:[0-9a-f]{64}$", i))])
    error_message = "images takes REPOSITORY@sha256:DIGEST: a tag can be moved, and a rollback would then start something else."
  }
}

variable "repository_arns" {
  description = "ECR repositories of the images, which the execution role may read."
  type        = list(string)
}

variable "cpu" {
  description = "CPU units of the task: 256, 512, 1024, 2048, 4096, 8192 or 16384."
  type        = number
}

variable "memory" {
  description = "Memory of the task in MiB."
  type        = number
  validation {
    condition     = contains(lookup(local.fargate_sizes, var.cpu, []), var.memory)
    error_message = "Fargate has no size of ${var.cpu} CPU units and ${var.memory} MiB: 256 takes 512, 1024, 2048; 512 takes 1024 to 4096, 1024 2048 to 8192, 2048 4096 to 16384 and 4096 8192 to 30720, in steps of 1024; 8192 takes 16384 to 61440 in steps of 4096, 16384 32768 to 122880 in steps of 8192."
  }
}

variable "architecture" {
  description = "ARM64, which costs a fifth less, or X86_64."
  type        = string
  default     = "ARM64"
  validation {
    condition     = contains(["ARM64", "X86_64"], var.architecture)
    error_message = "architecture takes ARM64 or X86_64."
  }
}

variable "desired_count" {
  description = "Tasks; with `scaled` only until the first scaling."
  type        = number
  default     = 1
}

variable "scaled" {
  description = "Application Auto Scaling owns the count: Terraform ignores it after creation."
  type        = bool
  default     = false
}

variable "spot" {
  description = "Fargate Spot. For workers only: a task is taken away with two minutes' notice."
  type        = bool
  default     = false
  validation {
    condition     = !var.spot || var.service == "worker"
    error_message = "spot is for workers: a scheduler or an API server that is taken away stops everybody."
  }
}

variable "subnet_ids" {
  description = "Private subnets."
  type        = list(string)
}

variable "security_group_ids" {
  description = "Security groups of the tasks."
  type        = list(string)
}

variable "log_group" {
  description = "The log group."
  type        = object({ name = string, arn = string })
}

variable "parameters" {
  description = "Base path of the parameters, for ENTRYPOINT_PARAMETERS."
  type        = string
}

variable "policies" {
  description = "JSON policies of the task role, by name, beside those that follow from what is switched on."
  type        = map(string)
  default     = {}
}

variable "environment" {
  description = "Plain variables. No secrets: these stand in the task definition."
  type        = map(string)
  default     = {}
  validation {
    condition     = length([for k, v in var.environment : k if can(regex("PASSWORD|SECRET|FERNET_KEY|TOKEN|SQL_ALCHEMY_CONN|BROKER_URL", k)) && !can(regex("^(ssm|secretsmanager)://", v))]) == 0
    error_message = "environment has a secret in the clear, which everybody who may describe a task definition can read: give ssm://NAME or secretsmanager://NAME#KEY instead."
  }
}

variable "metrics" {
  description = "How metrics go out: emf, cloudwatch or none."
  type        = string
  default     = "emf"
  validation {
    condition     = contains(["emf", "cloudwatch", "none"], var.metrics)
    error_message = "metrics takes emf, cloudwatch or none."
  }
}

variable "migrate" {
  description = "What this service does about the schema: auto, major, wait or never."
  type        = string
  default     = "wait"
  validation {
    condition     = contains(["auto", "major", "wait", "never"], var.migrate)
    error_message = "migrate takes auto, major, wait or never."
  }
}

variable "stop_timeout" {
  description = "Seconds between SIGTERM and SIGKILL. The grace of entrypoint is five less; a worker takes all that Fargate gives."
  type        = number
  default     = null
  validation {
    condition     = var.stop_timeout == null || try(var.stop_timeout >= 10 && var.stop_timeout <= 120, false)
    error_message = "stop_timeout takes 10 to 120 seconds: Fargate's most."
  }
}

variable "mounts" {
  description = "EFS mounts by name: access point, path, and whether the service may write."
  type = map(object({
    file_system_id   = string
    file_system_arn  = string
    access_point_id  = string
    access_point_arn = string
    path             = string
    write            = optional(bool, false)
  }))
  default = {}
}

variable "wait_files" {
  description = "Paths that must exist before the service starts."
  type        = list(string)
  default     = []
}

variable "sidecar" {
  description = "A container beside the service, as the module dag-sync gives it: its definition as JSON, and the service waits until it is healthy."
  type        = object({ name = string, json = string })
  default     = null
}

variable "queue_metrics" {
  description = "queue-metrics beside the service: `watch` beside the scheduler, `protect` beside a worker. The broker's URL comes from its parameter."
  type = object({
    mode                 = string
    broker_parameter_arn = string
    kms_key_arn          = string
    queues               = optional(list(string), ["default"])
    worker_concurrency   = optional(number, 16)
    min_workers          = optional(number, 0)
    max_workers          = optional(number, 10)
    hold                 = optional(string, "5m")
  })
  default = null
  validation {
    condition     = var.queue_metrics == null || contains(["watch", "protect"], try(var.queue_metrics.mode, ""))
    error_message = "queue_metrics.mode takes watch or protect."
  }
  validation {
    condition     = var.queue_metrics == null || try(var.images.queue_metrics, null) != null
    error_message = "images.queue_metrics is missing."
  }
  validation {
    condition     = var.service != "worker" || var.queue_metrics != null
    error_message = "queue_metrics is missing: a worker is the Celery executor's, which needs Redis; without a broker take LocalExecutor and no worker. Without `protect` scale-in and deployments kill running tasks."
  }
}

variable "load_balancer" {
  description = "The target group of a web tier, and for how long its health is not judged."
  type        = object({ target_group_arn = string, grace_seconds = optional(number, 600) })
  default     = null
}

variable "registry_arn" {
  description = "Cloud Map service under which the tasks register."
  type        = string
  default     = null
}

variable "rollback" {
  description = "A deployment that does not become healthy goes back by itself. False while the schema's heads change: the older version may not know them."
  type        = bool
  default     = true
}

variable "wait" {
  description = "Apply ends when the service is steady."
  type        = bool
  default     = true
}

variable "exec" {
  description = "ECS Exec, for development. It needs a writable root file system."
  type        = bool
  default     = false
}

variable "after" {
  description = "What must be steady before this service is changed: outputs of other services."
  type        = list(string)
  default     = []
}
