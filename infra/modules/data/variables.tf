variable "name" {
  description = "Name of the environment, and the prefix of every name."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name))
    error_message = "name takes 3 to 24 lower-case letters, digits and dashes, and begins with a letter: longer ones do not fit into a load balancer's name."
  }
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets, in two availability zones at least."
  type        = list(string)
  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids takes two subnets at least, in different availability zones: RDS refuses fewer."
  }
}

variable "tasks_security_group_id" {
  description = "The group of the tasks, which may reach what this module makes."
  type        = string
}

variable "kms_deletion_days" {
  description = "How long a key that is destroyed can still be called back."
  type        = number
  default     = 30
  validation {
    condition     = var.kms_deletion_days >= 7 && var.kms_deletion_days <= 30
    error_message = "kms_deletion_days takes 7 to 30."
  }
}

variable "secret_recovery_days" {
  description = "How long a secret that is destroyed can still be called back; 0 at once, so that an environment can be made again under its name."
  type        = number
  default     = 30
  validation {
    condition     = var.secret_recovery_days == 0 || (var.secret_recovery_days >= 7 && var.secret_recovery_days <= 30)
    error_message = "secret_recovery_days takes 0, or 7 to 30."
  }
}

variable "database" {
  description = "A new PostgreSQL: size, spread, backups, and password_version, which changes the password when it is raised (docs/runbooks/operations.md)."
  type = object({
    instance_class      = optional(string, "db.t4g.small")
    storage_gb          = optional(number, 20)
    max_storage_gb      = optional(number, 100)
    major_version       = optional(string, "16")
    multi_az            = optional(bool, true)
    backup_days         = optional(number, 14)
    deletion_protection = optional(bool, true)
    snapshot_identifier = optional(string)
    password_version    = optional(number, 1)
    log_statement_ms    = optional(number, 1000)
  })
  default = {}
  validation {
    condition     = var.database == null || contains(["15", "16", "17"], try(var.database.major_version, "16"))
    error_message = "database.major_version takes 15, 16 or 17."
  }
  validation {
    condition     = var.database == null || try(var.database.backup_days >= 1 && var.database.backup_days <= 35, true)
    error_message = "database.backup_days takes 1 to 35: without a backup there is no way back from a migration."
  }
  validation {
    condition     = var.database == null || try(var.database.storage_gb >= 20 && var.database.max_storage_gb > var.database.storage_gb, true)
    error_message = "database.storage_gb takes 20 and more (gp3's least), and max_storage_gb more than that."
  }
}

variable "existing_database" {
  description = "A PostgreSQL to use instead: where it is, the security group that protects it, and the name of the Secrets Manager secret that holds the bare password (no JSON)."
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

variable "redis" {
  description = "The Celery broker; null where there is none (LocalExecutor)."
  type = object({
    engine           = optional(string, "valkey")
    version          = optional(string, "8.0")
    node_type        = optional(string, "cache.t4g.micro")
    replicas         = optional(number, 1)
    snapshot_days    = optional(number, 1)
    password_version = optional(number, 1)
  })
  default = null
  validation {
    condition     = var.redis == null || contains(["valkey", "redis"], try(var.redis.engine, "valkey"))
    error_message = "redis.engine takes valkey or redis."
  }
  validation {
    condition     = var.redis == null || try(var.redis.replicas >= 0 && var.redis.replicas <= 5, true)
    error_message = "redis.replicas takes 0 to 5; 0 is a broker without failover."
  }
}

variable "files" {
  description = "The file system: `one_zone` for development, in the zone of the first subnet, where tasks must run then, because its name is found in no other zone; `backup` by AWS Backup. `existing` uses one that is there, with the security group of its mount targets."
  type = object({
    one_zone = optional(bool, false)
    backup   = optional(bool, true)
    existing = optional(object({ file_system_id = string, security_group_id = string }))
  })
  default = {}
}

variable "buckets" {
  description = "Names of the two buckets, how long old versions are kept, and after how many days task logs go. `destroy_full` lets terraform destroy take a bucket that has objects in it."
  type = object({
    dags             = string
    logs             = string
    old_version_days = optional(number, 30)
    log_days         = optional(number, 90)
    destroy_full     = optional(bool, false)
  })
  validation {
    condition     = alltrue([for b in [var.buckets.dags, var.buckets.logs] : can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", b))]) && var.buckets.dags != var.buckets.logs
    error_message = "buckets.dags and buckets.logs take two names of 3 to 63 lower-case letters, digits, dots and dashes."
  }
}
