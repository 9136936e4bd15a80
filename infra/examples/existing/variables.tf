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

variable "network" {
  description = "The VPC, its private subnets and their route tables."
  type = object({
    vpc_id              = string
    private_subnet_ids  = list(string)
    route_table_ids     = optional(list(string), [])
    s3_endpoint         = optional(bool, true)
    interface_endpoints = optional(bool, true)
  })
}

variable "database" {
  description = "The database, and the secret with its bare password."
  type = object({
    host              = string
    port              = optional(number, 5432)
    name              = string
    username          = string
    password_secret   = string
    security_group_id = string
  })
}

variable "fernet_key_secret" {
  description = "The secret with that database's Fernet key."
  type        = string
}

variable "files" {
  description = "The EFS file system, and the security group of its mount targets."
  type        = object({ file_system_id = string, security_group_id = string })
}

variable "cluster" {
  description = "The ECS cluster."
  type        = object({ name = string, arn = string })
}

variable "listener" {
  description = "The HTTPS listener of the load balancer that is there."
  type        = object({ listener_arn = string, security_group_id = string, arn_suffix = string, hosts = list(string), priority = number })
}

variable "old_dags_bucket" {
  description = "The bucket in which the old Airflow has its DAGs."
  type        = string
}

variable "migrate" {
  description = "`never` while the old Airflow runs on the same database; auto, or major, for the move itself."
  type        = string
  default     = "never"
}
