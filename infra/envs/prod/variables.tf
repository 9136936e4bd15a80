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

variable "host" {
  description = "Airflow's name, which the certificate covers and DNS leads to the load balancer."
  type        = string
}

variable "certificate_arn" {
  description = "ACM certificate of that name."
  type        = string
}

variable "allowed_cidrs" {
  description = "Addresses of the VPN or the office."
  type        = list(string)
}

variable "admin_email" {
  description = "E-mail of the first administrator."
  type        = string
}

variable "alarm_emails" {
  description = "Who gets alarms."
  type        = list(string)
}

variable "slack" {
  description = "Slack channel for alarms; null for none."
  type        = object({ team_id = string, channel_id = string })
  default     = null
}

variable "migrate" {
  description = "`major` for an upgrade from 2.x; else auto."
  type        = string
  default     = "auto"
}

variable "rollback" {
  description = "False while the schema's heads change."
  type        = bool
  default     = true
}
