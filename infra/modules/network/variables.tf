variable "name" {
  description = "Name of the environment, and the prefix of every name."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name))
    error_message = "name takes 3 to 24 lower-case letters, digits and dashes, and begins with a letter: longer ones do not fit into a load balancer's name."
  }
}

variable "cidr" {
  description = "Addresses of a new VPC, between /16 and /22."
  type        = string
  default     = "10.20.0.0/16"
  validation {
    condition     = can(cidrhost(var.cidr, 0)) && try(tonumber(split("/", var.cidr)[1]) >= 16 && tonumber(split("/", var.cidr)[1]) <= 22, false)
    error_message = "cidr takes an IPv4 block between /16 and /22, such as 10.20.0.0/16."
  }
}

variable "availability_zones" {
  description = "How many availability zones the subnets spread over. RDS and a load balancer need two at least."
  type        = number
  default     = 2
  validation {
    condition     = contains([2, 3], var.availability_zones)
    error_message = "availability_zones takes 2 or 3."
  }
}

variable "existing" {
  description = "A VPC to use instead of a new one: its private subnets, and the route tables that get the route to S3. `s3_endpoint` and `interface_endpoints` are false where it has them already."
  type = object({
    vpc_id              = string
    private_subnet_ids  = list(string)
    public_subnet_ids   = optional(list(string), [])
    route_table_ids     = optional(list(string), [])
    s3_endpoint         = optional(bool, true)
    interface_endpoints = optional(bool, true)
  })
  default = null
  validation {
    condition     = var.existing == null || try(length(var.existing.private_subnet_ids) >= 2, false)
    error_message = "existing.private_subnet_ids takes two subnets at least, in different availability zones: RDS and the load balancer refuse fewer."
  }
  validation {
    condition     = var.existing == null || try(!var.existing.s3_endpoint || length(var.existing.route_table_ids) > 0, false)
    error_message = "existing.route_table_ids is missing: the S3 gateway endpoint has no route without it. Give the private subnets' route tables, or set s3_endpoint = false where the VPC has one."
  }
}

variable "metrics" {
  description = "How the programs publish metrics. `emf` goes through the logs and needs no endpoint of its own; `cloudwatch` brings the endpoint `monitoring`."
  type        = string
  default     = "emf"
  validation {
    condition     = contains(["emf", "cloudwatch"], var.metrics)
    error_message = "metrics takes emf or cloudwatch."
  }
}

variable "exec" {
  description = "ECS Exec is used: brings the endpoint `ssmmessages`."
  type        = bool
  default     = false
}

variable "extra_endpoints" {
  description = "Interface endpoints beyond those that follow from what is switched on, such as `sts` where DAGs assume roles."
  type        = set(string)
  default     = []
  validation {
    condition = length(setsubtract(var.extra_endpoints, [
      "ecr.api", "ecr.dkr", "logs", "ssm", "secretsmanager", "kms", "sts", "events", "monitoring", "ssmmessages",
      "elasticfilesystem", "ecs", "ecs-agent", "ecs-telemetry", "sqs", "sns", "athena", "glue",
    ])) == 0
    error_message = "extra_endpoints takes names of AWS services as endpoints have them: ecr.api, ecr.dkr, logs, ssm, secretsmanager, kms, sts, events, monitoring, ssmmessages, elasticfilesystem, ecs, ecs-agent, ecs-telemetry, sqs, sns, athena, glue."
  }
}

variable "classic_endpoints" {
  description = "The classic set instead of the least: ecr.api, ecr.dkr, logs, events, sts, secretsmanager, ssm, elasticfilesystem, kms."
  type        = bool
  default     = false
}

variable "endpoint_zones" {
  description = "In how many availability zones each interface endpoint has an address. 1 halves the price for development; tasks in another zone then pay for the traffic between zones, and lose the endpoints with that zone."
  type        = number
  default     = null
  validation {
    condition     = var.endpoint_zones == null || try(var.endpoint_zones >= 1 && var.endpoint_zones <= 3, false)
    error_message = "endpoint_zones takes 1, 2 or 3, or null for all."
  }
}

variable "s3_bucket_arns" {
  description = "Buckets that the S3 endpoint lets through, beside the one of ECR's layers."
  type        = list(string)
}

variable "egress" {
  description = "The way out for tasks that must reach something outside: `none`; `proxy`, with the proxy's CIDR block and port; `transit_gateway`, with the blocks that are routed to it (the VPC's attachment is made by whoever owns the gateway)."
  type = object({
    mode               = optional(string, "none")
    cidrs              = optional(list(string), [])
    port               = optional(number, 443)
    transit_gateway_id = optional(string)
  })
  default = {}
  validation {
    condition     = contains(["none", "proxy", "transit_gateway"], var.egress.mode)
    error_message = "egress.mode takes none, proxy or transit_gateway. There is no NAT gateway."
  }
  validation {
    condition     = var.egress.mode == "none" || length(var.egress.cidrs) > 0
    error_message = "egress.cidrs is missing: the addresses of the proxy, or those behind the transit gateway."
  }
  validation {
    condition     = alltrue([for c in var.egress.cidrs : can(cidrhost(c, 0)) && c != "0.0.0.0/0"])
    error_message = "egress.cidrs takes IPv4 blocks, and not 0.0.0.0/0: name what the tasks may reach."
  }
  validation {
    condition     = var.egress.mode != "transit_gateway" || var.egress.transit_gateway_id != null
    error_message = "egress.transit_gateway_id is missing."
  }
}

variable "public_subnets" {
  description = "Public subnets and an internet gateway, for a public load balancer and nothing else: no private subnet gets a route to it."
  type        = bool
  default     = false
}

variable "flow_logs" {
  description = "Flow logs of a new VPC: what is recorded (REJECT, ACCEPT or ALL), for how many days, and the KMS key of the log group."
  type = object({
    traffic        = optional(string, "REJECT")
    retention_days = optional(number, 30)
    kms_key_arn    = string
  })
  default = null
  validation {
    condition     = var.flow_logs == null || contains(["REJECT", "ACCEPT", "ALL"], try(var.flow_logs.traffic, "REJECT"))
    error_message = "flow_logs.traffic takes REJECT, ACCEPT or ALL."
  }
  validation {
    condition = var.flow_logs == null || contains(
      [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653],
    try(var.flow_logs.retention_days, 30))
    error_message = "flow_logs.retention_days takes what CloudWatch knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653."
  }
}
