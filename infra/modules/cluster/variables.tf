variable "name" {
  description = "Name of the environment, and the prefix of every name."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name))
    error_message = "name takes 3 to 24 lower-case letters, digits and dashes, and begins with a letter: longer ones do not fit into a load balancer's name."
  }
}

variable "vpc_id" {
  description = "The VPC in which the execution API has a name."
  type        = string
}

variable "kms_key_arn" {
  description = "Key of the log groups."
  type        = string
}

variable "log_groups" {
  description = "A log group for each of these, /NAME/SERVICE."
  type        = set(string)
}

variable "retention_days" {
  description = "How long logs are kept."
  type        = number
  default     = 30
  validation {
    condition = contains(
      [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653],
    var.retention_days)
    error_message = "retention_days takes what CloudWatch knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653."
  }
}

variable "container_insights" {
  description = "CloudWatch's Container Insights: `disabled`, `enabled` or `enhanced`. Each metric is paid for."
  type        = string
  default     = "disabled"
  validation {
    condition     = contains(["disabled", "enabled", "enhanced"], var.container_insights)
    error_message = "container_insights takes disabled, enabled or enhanced."
  }
}

variable "existing_cluster" {
  description = "A cluster to use instead, with FARGATE among its capacity providers."
  type        = object({ name = string, arn = string })
  default     = null
}
