provider "aws" {
  region = "eu-west-1"
}

variables {
  name                    = "airflow-test"
  vpc_id                  = "vpc-0a"
  subnet_ids              = ["subnet-0a", "subnet-0b"]
  allowed_cidrs           = ["10.0.0.0/8"]
  certificate_arn         = "arn:aws:acm:eu-west-1:123456789012:certificate/c"
  tasks_security_group_id = "sg-0a"
}

run "internal_with_tls" {
  command = apply
  assert {
    condition     = aws_lb.this[0].internal && aws_lb_listener.https[0].ssl_policy == "ELBSecurityPolicy-TLS13-1-2-2021-06" && aws_lb_listener.http[0].default_action[0].type == "redirect"
    error_message = "Internal, TLS 1.2 and 1.3, HTTP redirected."
  }
  assert {
    condition     = aws_lb_target_group.airflow.health_check[0].path == "/api/v2/version"
    error_message = "The target answers for itself alone."
  }
}

run "public_by_choice" {
  command = plan
  variables {
    public        = true
    web_acl_arn   = "arn:aws:wafv2:eu-west-1:123456789012:regional/webacl/a/b"
    allowed_cidrs = ["203.0.113.0/24"]
    login         = { user_pool_arn = "arn:aws:cognito-idp:eu-west-1:123456789012:userpool/p", client_id = "c", domain = "d", cidrs = ["198.51.100.0/24"] }
    routes        = { docs = { priority = 10, paths = ["/docs/*"], target_group_arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/t/1" } }
  }
  assert {
    condition     = !aws_lb.this[0].internal && length(aws_wafv2_web_acl_association.this) == 1 && length(aws_lb_listener.https[0].default_action) == 2
    error_message = "With a web ACL and a login."
  }
}

run "an_existing_listener" {
  command = plan
  variables {
    existing = { listener_arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/a/b/c", security_group_id = "sg-0b", arn_suffix = "app/a/b", hosts = ["airflow.example.com"], priority = 100 }
  }
  assert {
    condition     = length(aws_lb.this) == 0 && length(aws_lb_listener_rule.existing) == 1 && length(aws_s3_bucket.logs) == 0
    error_message = "One rule more, no load balancer."
  }
}

run "refuses_no_certificate" {
  command = plan
  variables { certificate_arn = null }
  expect_failures = [var.certificate_arn]
}

run "refuses_everybody" {
  command = plan
  variables { allowed_cidrs = ["0.0.0.0/0"] }
  expect_failures = [var.allowed_cidrs]
}

run "refuses_nobody" {
  command = plan
  variables { allowed_cidrs = [] }
  expect_failures = [var.allowed_cidrs]
}

run "refuses_public_without_a_web_acl" {
  command = plan
  variables { public = true }
  expect_failures = [var.web_acl_arn]
}

run "refuses_a_login_without_egress" {
  command = plan
  variables {
    login = { user_pool_arn = "arn:aws:cognito-idp:eu-west-1:123456789012:userpool/p", client_id = "c", domain = "d", cidrs = ["198.51.100.0/24"] }
  }
  expect_failures = [var.login]
}

run "refuses_one_subnet" {
  command = plan
  variables { subnet_ids = ["subnet-0a"] }
  expect_failures = [var.subnet_ids]
}

run "refuses_a_route_without_paths" {
  command = plan
  variables { routes = { docs = { priority = 10, paths = [], target_group_arn = "arn" } } }
  expect_failures = [var.routes]
}

run "refuses_a_name_that_does_not_fit" {
  command = plan
  variables { name = "Airflow_Production" }
  expect_failures = [var.name]
}

run "refuses_a_login_that_may_reach_everybody" {
  command = plan
  variables {
    egress = true
    login  = { user_pool_arn = "arn:aws:cognito-idp:eu-west-1:123456789012:userpool/p", client_id = "c", domain = "d", cidrs = ["0.0.0.0/0"] }
  }
  expect_failures = [var.login]
}
