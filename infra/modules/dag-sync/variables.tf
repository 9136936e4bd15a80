variable "name" {
  description = "Name of the environment, and the prefix of every name."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name))
    error_message = "name takes 3 to 24 lower-case letters, digits and dashes, and begins with a letter: longer ones do not fit into a load balancer's name."
  }
}

variable "mode" {
  description = "`service`: a service of its own, whose role alone may write; `sidecar`: a container for the dag-processor's task, which the output `sidecar` describes."
  type        = string
  validation {
    condition     = contains(["service", "sidecar"], var.mode)
    error_message = "mode takes service or sidecar."
  }
}

variable "image" {
  description = "s3sync's image by digest."
  type        = string
  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "image takes REPOSITORY@sha256:DIGEST: a tag can be moved, and a rollback would then start something else."
  }
}

variable "repository_arns" {
  description = "ECR repository of the image."
  type        = list(string)
}

variable "bucket" {
  description = "The bucket with the DAGs."
  type        = object({ name = string, arn = string })
}

variable "prefix" {
  description = "The prefix below which the DAGs are; everything under it arrives in the directory."
  type        = string
  default     = "dags"
  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9/_.-]*[A-Za-z0-9]$", var.prefix))
    error_message = "prefix takes a path without a slash at its ends, such as dags."
  }
}

variable "kms_key_arn" {
  description = "Key of the bucket's objects."
  type        = string
}

variable "mount" {
  description = "Where the directory is on EFS."
  type = object({
    file_system_id   = string
    file_system_arn  = string
    access_point_id  = string
    access_point_arn = string
  })
}

variable "path" {
  description = "Where the directory is in the container."
  type        = string
  default     = "/opt/airflow/dags"
}

variable "layout" {
  description = "`in-place`: the directory is the tree; `generations`: each set of files is a directory of its own, which Airflow reads by trimtab_airflow.GenerationBundle."
  type        = string
  default     = "in-place"
  validation {
    condition     = contains(["in-place", "generations"], var.layout)
    error_message = "layout takes in-place or generations."
  }
}

variable "options" {
  description = "Further settings of s3sync: { S3SYNC_MAX_DELETE = \"20%\" }."
  type        = map(string)
  default     = {}
  validation {
    condition     = alltrue([for k in keys(var.options) : startswith(k, "S3SYNC_")])
    error_message = "options takes variables that begin with S3SYNC_."
  }
  validation {
    condition     = !contains(keys(var.options), "S3SYNC_LAYOUT")
    error_message = "options has S3SYNC_LAYOUT: give layout instead, by which the output `ready_file` is chosen too."
  }
}

variable "report" {
  description = "Leave an object below the prefix that says what runs here, which a deployment of DAGs waits for."
  type        = bool
  default     = true
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

variable "log_group" {
  description = "The log group."
  type        = object({ name = string, arn = string })
}

variable "architecture" {
  description = "ARM64 or X86_64."
  type        = string
  default     = "ARM64"
  validation {
    condition     = contains(["ARM64", "X86_64"], var.architecture)
    error_message = "architecture takes ARM64 or X86_64."
  }
}

variable "placement" {
  description = "Where the service runs; needed with the mode `service`."
  type = object({
    cluster_arn        = string
    subnet_ids         = list(string)
    security_group_ids = list(string)
    wait               = optional(bool, true)
  })
  default = null
  validation {
    condition     = var.mode != "service" || var.placement != null
    error_message = "placement is missing: a service needs a cluster, subnets and security groups."
  }
}
