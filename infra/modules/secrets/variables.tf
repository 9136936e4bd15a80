variable "name" {
  description = "Name of the environment, and the prefix of every name."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name))
    error_message = "name takes 3 to 24 lower-case letters, digits and dashes, and begins with a letter: longer ones do not fit into a load balancer's name."
  }
}

variable "kms_key_arn" {
  description = "Key of secrets and parameters."
  type        = string
}

variable "recovery_days" {
  description = "How long a secret that is destroyed can still be called back; 0 at once."
  type        = number
  default     = 30
  validation {
    condition     = var.recovery_days == 0 || (var.recovery_days >= 7 && var.recovery_days <= 30)
    error_message = "recovery_days takes 0, or 7 to 30."
  }
}

variable "database" {
  description = "The output `database` of the module data."
  type = object({
    host            = string
    port            = number
    name            = string
    username        = string
    password_secret = string
    new             = bool
  })
}

variable "sslmode" {
  description = "How the database's certificate is checked. RDS's roots are compiled into entrypoint."
  type        = string
  default     = "verify-full"
  validation {
    condition     = contains(["require", "verify-ca", "verify-full"], var.sslmode)
    error_message = "sslmode takes require, verify-ca or verify-full: a password never goes over a line in the clear."
  }
}

variable "redis" {
  description = "The output `redis` of the module data; null without a broker."
  type = object({
    host             = string
    port             = number
    user             = string
    query            = string
    secret_arn       = string
    password_version = number
  })
  default = null
}

variable "fernet_key_secret" {
  description = "Name of the Secrets Manager secret that holds the Fernet key of an existing database. With a new database one is made."
  type        = string
  default     = null
  validation {
    condition     = var.fernet_key_secret != null || var.database.new
    error_message = "fernet_key_secret is missing: the database exists, and what it holds was encrypted with its own Fernet key. Put that key into a Secrets Manager secret, and give its name."
  }
}

variable "versions" {
  description = "Raised by one, each makes its secret anew at the next apply. A new Fernet key needs the runbook: the old one must stay beside it until everything is encrypted anew."
  type = object({
    secret_key = optional(number, 1)
    jwt_secret = optional(number, 1)
    admin      = optional(number, 1)
  })
  default = {}
}

variable "admin" {
  description = "The first administrator; null to create none. The password is made, and read with `aws secretsmanager get-secret-value`."
  type = object({
    username = optional(string, "admin")
    email    = string
  })
  default = null
}

variable "environment" {
  description = "Plain variables for every service, below env/ in the layout. No secrets: these stand in the state."
  type        = map(string)
  default     = {}
  validation {
    condition     = alltrue([for k in keys(var.environment) : can(regex("^[A-Z_][A-Z0-9_]*$", k)) && !can(regex("PASSWORD|SECRET|TOKEN|FERNET|_CONN$", k))])
    error_message = "environment takes names in capitals, and none that sounds like a secret: put its value into Secrets Manager, and secretsmanager://NAME into references."
  }
}

variable "references" {
  description = "Variables whose values are references: { AIRFLOW_CONN_DWH = \"secretsmanager://airflow/dwh\" }."
  type        = map(string)
  default     = {}
  validation {
    condition     = alltrue([for v in values(var.references) : can(regex("^(ssm|secretsmanager)://", v))])
    error_message = "references takes ssm://NAME and secretsmanager://NAME#KEY."
  }
}
