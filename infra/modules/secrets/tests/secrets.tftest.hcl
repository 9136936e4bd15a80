provider "aws" {
  region = "eu-west-1"
}

variables {
  name        = "airflow-test"
  kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/k"
  database    = { host = "db.internal", port = 5432, name = "airflow", username = "airflow", password_secret = "airflow-test/db-password", new = true }
}

run "nothing_secret_in_state" {
  command = apply
  variables {
    admin = { email = "ops@example.com" }
    redis = { host = "redis.internal", port = 6379, user = "airflow", query = "?ssl_cert_reqs=CERT_REQUIRED", secret_arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:r", password_version = 1 }
  }
  assert {
    condition     = alltrue([for v in aws_secretsmanager_secret_version.made : v.secret_string == null]) && aws_ssm_parameter.broker[0].type == "SecureString"
    error_message = "Write-only."
  }
  assert {
    condition     = alltrue([for name, p in aws_ssm_parameter.layout : startswith(p.value, "secretsmanager://") if can(regex("password|key|secret", name))])
    error_message = "A parameter holds the name of a secret, and never the secret."
  }
  assert {
    condition     = contains(output.parameter_names, "broker-url") && contains(output.parameter_names, "admin/password")
    error_message = "The layout that entrypoint reads."
  }
  assert {
    condition     = alltrue([for s in jsondecode(output.read_policy).Statement : !contains(flatten([s.Resource]), "*")])
    error_message = "No wildcard alone as a resource."
  }
}

run "an_existing_database_keeps_its_fernet_key" {
  command = plan
  variables {
    database          = { host = "db.internal", port = 5432, name = "airflow", username = "airflow", password_secret = "old/db", new = false }
    fernet_key_secret = "old/fernet"
  }
  assert {
    condition     = !contains(keys(aws_secretsmanager_secret.made), "fernet-key") && aws_ssm_parameter.layout["fernet-key"].value == "secretsmanager://old/fernet"
    error_message = "No key is made over an existing database."
  }
}

run "refuses_an_existing_database_without_its_fernet_key" {
  command = plan
  variables {
    database = { host = "db.internal", port = 5432, name = "airflow", username = "airflow", password_secret = "old/db", new = false }
  }
  expect_failures = [var.fernet_key_secret]
}

run "refuses_a_secret_among_plain_variables" {
  command = plan
  variables { environment = { DWH_PASSWORD = "x" } }
  expect_failures = [var.environment]
}

run "refuses_a_reference_that_is_none" {
  command = plan
  variables { references = { AIRFLOW_CONN_DWH = "postgresql://u:p@h/d" } }
  expect_failures = [var.references]
}

run "refuses_no_tls" {
  command = plan
  variables { sslmode = "prefer" }
  expect_failures = [var.sslmode]
}

run "refuses_a_recovery_that_aws_lacks" {
  command = plan
  variables { recovery_days = 5 }
  expect_failures = [var.recovery_days]
}

run "refuses_a_name_that_does_not_fit" {
  command = plan
  variables { name = "Airflow_Production" }
  expect_failures = [var.name]
}
