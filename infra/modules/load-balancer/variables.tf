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

variable "public" {
  description = "Reachable from the internet, by the addresses in allowed_cidrs alone. Internal by default: people come by VPN, or by port forwarding through the debug task."
  type        = bool
  default     = false
}

variable "subnet_ids" {
  description = "Private subnets, or public ones where it is public."
  type        = list(string)
  default     = []
  validation {
    condition     = var.existing != null || length(var.subnet_ids) >= 2
    error_message = "subnet_ids takes two subnets at least, in different availability zones: a load balancer refuses fewer. A public one takes the network's public subnets."
  }
}

variable "allowed_cidrs" {
  description = "IPv4 blocks that may connect, such as the office's or the VPN's."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for c in var.allowed_cidrs : can(cidrhost(c, 0)) && !endswith(c, "/0")])
    error_message = "allowed_cidrs takes IPv4 blocks, and not 0.0.0.0/0: name who may connect."
  }
  validation {
    condition     = var.existing != null || length(var.allowed_cidrs) + length(var.allowed_security_groups) > 0
    error_message = "allowed_cidrs and allowed_security_groups are both empty: nobody could connect."
  }
}

variable "allowed_security_groups" {
  description = "Security groups by name whose members may connect, such as the one of a VPN endpoint."
  type        = map(string)
  default     = {}
}

variable "certificate_arn" {
  description = "ACM certificate. There is no load balancer without TLS."
  type        = string
  default     = null
  validation {
    condition     = var.existing != null || can(regex("^arn:[a-z-]+:acm:", var.certificate_arn))
    error_message = "certificate_arn is missing, or no certificate of ACM: passwords would go over the line in the clear."
  }
}

variable "web_acl_arn" {
  description = "Web ACL (WAF) of a public load balancer."
  type        = string
  default     = null
  validation {
    condition     = !var.public || var.web_acl_arn != null
    error_message = "web_acl_arn is missing: a public load balancer needs a web ACL."
  }
}

variable "tasks_security_group_id" {
  description = "Group of the tasks behind it."
  type        = string
}

variable "health_path" {
  description = "What is asked of a target: /api/v2/version in 3.x, /health in 2.x. Both say that this server is alive, and nothing about the scheduler."
  type        = string
  default     = "/api/v2/version"
}

variable "routes" {
  description = "Further services by path: { docs = { priority = 10, paths = [\"/docs/*\"], target_group_arn = \"...\" } }."
  type = map(object({
    priority         = number
    paths            = list(string)
    target_group_arn = string
  }))
  default = {}
  validation {
    condition     = alltrue([for r in values(var.routes) : r.priority >= 1 && r.priority <= 40000 && length(r.paths) >= 1 && length(r.paths) <= 5])
    error_message = "routes takes a priority of 1 to 40000, and 1 to 5 paths each."
  }
}

variable "login" {
  description = "Log in before Airflow is reached: a Cognito user pool, which federates with any OIDC provider. `cidrs` are the addresses of its domain. The load balancer's own OIDC action is not offered, because it takes the client's secret as a plain argument, which would stand in the state."
  type = object({
    user_pool_arn = string
    client_id     = string
    domain        = string
    cidrs         = list(string)
  })
  default = null
  validation {
    condition     = var.login == null || var.public || var.egress
    error_message = "login needs a way to the identity provider: the load balancer itself asks it for tokens, and an internal one without egress gets no answer (every login would end with 561). Make it public, or give the network an egress."
  }
  validation {
    condition     = var.login == null || try(length(var.login.cidrs) > 0 && alltrue([for c in var.login.cidrs : can(cidrhost(c, 0)) && !endswith(c, "/0")]), false)
    error_message = "login.cidrs takes the IPv4 blocks of the identity provider, and not 0.0.0.0/0."
  }
}

variable "egress" {
  description = "The network has an egress (a proxy does not count: a load balancer uses none)."
  type        = bool
  default     = false
}

variable "log_days" {
  description = "How long access logs are kept."
  type        = number
  default     = 90
}

variable "deletion_protection" {
  description = "Terraform destroy is refused until this is off."
  type        = bool
  default     = true
}

variable "existing" {
  description = "A listener to use instead of a load balancer of one's own: a rule for these host names is added to it."
  type = object({
    listener_arn      = string
    security_group_id = string
    arn_suffix        = string
    hosts             = list(string)
    priority          = number
  })
  default = null
}
