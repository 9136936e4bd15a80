variable "name" {
  description = "Name of the environment, and the prefix of every name."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name))
    error_message = "name takes 3 to 24 lower-case letters, digits and dashes, and begins with a letter: longer ones do not fit into a load balancer's name."
  }
}

variable "kind" {
  description = "`workers`, by queue-metrics' WorkersTarget; `web`, by CPU and memory."
  type        = string
  validation {
    condition     = contains(["workers", "web"], var.kind)
    error_message = "kind takes workers or web."
  }
}

variable "cluster_name" {
  description = "The ECS cluster's name."
  type        = string
}

variable "service_name" {
  description = "The ECS service's name."
  type        = string
}

variable "metric_service" {
  description = "The dimension Service under which queue-metrics publishes."
  type        = string
  default     = "worker"
}

variable "minimum" {
  description = "Least tasks; 0 for workers that scale from zero."
  type        = number
  validation {
    condition     = var.kind != "web" || var.minimum >= 1
    error_message = "minimum takes 1 and more for the web tier: nobody would be there to answer."
  }
}

variable "maximum" {
  description = "Most tasks. For workers each count has an alarm and a policy."
  type        = number
  validation {
    condition     = var.maximum >= max(1, var.minimum) && var.maximum <= 20
    error_message = "maximum takes 1 to 20, and not less than minimum: a step policy has at most 20 steps, one for each count."
  }
}

variable "cpu_percent" {
  description = "The web tier's CPU that is held."
  type        = number
  default     = 60
}

variable "memory_percent" {
  description = "The web tier's memory that is held. Airflow's API server keeps what it has taken: too low a figure never falls."
  type        = number
  default     = 80
}

variable "schedules" {
  description = "Other minimum and maximum from a time on: { night = { cron = \"0 20 ? * * *\", minimum = 0, maximum = 2 } }."
  type = map(object({
    cron     = string
    timezone = optional(string, "UTC")
    minimum  = number
    maximum  = number
  }))
  default = {}
  validation {
    condition     = alltrue([for s in values(var.schedules) : length(split(" ", s.cron)) == 6 && s.minimum <= s.maximum && s.maximum <= var.maximum])
    error_message = "schedules takes a cron of six fields, and a minimum and maximum up to the module's maximum: there is no alarm above it."
  }
}
