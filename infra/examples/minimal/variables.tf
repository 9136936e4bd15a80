variable "region" {
  description = "The region; bootstrap's own."
  type        = string
}

variable "release" {
  description = "What runs: the release file that the release workflow wrote, given by -var-file."
  type = object({
    airflow       = string
    s3sync        = string
    queue_metrics = optional(string)
  })
}

variable "repository_arns" {
  description = "ECR repositories of the images, from bootstrap."
  type        = list(string)
}

variable "architecture" {
  description = "ARM64, or X86_64 where the images were built for it."
  type        = string
  default     = "ARM64"
}

variable "admin_email" {
  description = "E-mail of the first administrator."
  type        = string
}
