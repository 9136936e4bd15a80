variable "region" {
  description = "Where everything is."
  type        = string
}

variable "repository" {
  description = "The GitHub repository whose workflows may deploy, OWNER/NAME."
  type        = string
  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+$", var.repository))
    error_message = "repository takes OWNER/NAME, as GitHub spells it."
  }
}

variable "environments" {
  description = "GitHub environments that may deploy and upload DAGs; protect prod with reviewers there."
  type        = set(string)
  default     = ["dev", "prod"]
}

variable "images" {
  description = "ECR repositories."
  type        = set(string)
  default     = ["airflow", "s3sync", "queue-metrics"]
}

variable "existing_oidc_provider_arn" {
  description = "GitHub's OIDC provider where the account has one: there can be only one."
  type        = string
  default     = null
}
