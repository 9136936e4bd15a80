provider "aws" {
  region = "eu-west-1"
}

variables {
  name           = "airflow-test"
  s3_bucket_arns = ["arn:aws:s3:::airflow-test-dags"]
}

run "the_least_that_works" {
  command = plan
  assert {
    condition     = output.endpoints == tolist(["ecr.api", "ecr.dkr", "logs", "ssm"])
    error_message = "Four interface endpoints are enough with EMF and without ECS Exec."
  }
  assert {
    condition     = length(aws_internet_gateway.this) == 0 && length(aws_subnet.public) == 0 && length(aws_route.public) == 0
    error_message = "Nothing leads to the internet by default."
  }
  assert {
    condition     = strcontains(data.aws_iam_policy_document.s3_endpoint.json, "prod-eu-west-1-starport-layer-bucket")
    error_message = "Without ECR's layer bucket no image can be pulled."
  }
  assert {
    condition     = alltrue([for s in aws_subnet.private : s.map_public_ip_on_launch != true])
    error_message = "No public addresses."
  }
}

run "endpoints_follow_what_is_switched_on" {
  command = plan
  variables {
    metrics         = "cloudwatch"
    exec            = true
    extra_endpoints = ["sts"]
    endpoint_zones  = 1
  }
  assert {
    condition     = output.endpoints == tolist(["ecr.api", "ecr.dkr", "logs", "monitoring", "ssm", "ssmmessages", "sts"])
    error_message = "PutMetricData needs monitoring, ECS Exec ssmmessages."
  }
  assert {
    condition     = output.endpoint_addresses == 7
    error_message = "One zone each."
  }
}

run "the_classic_set" {
  command = plan
  variables {
    classic_endpoints  = true
    availability_zones = 3
  }
  assert {
    condition     = length(output.endpoints) == 9 && length(aws_subnet.private) == 3
    error_message = "S3 and nine interface endpoints, the two of ECR counted one by one."
  }
}

run "public_subnets_for_a_load_balancer" {
  command = plan
  variables {
    public_subnets = true
    flow_logs      = { kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/k", traffic = "ALL" }
  }
  assert {
    condition     = length(aws_subnet.public) == 2 && alltrue([for s in aws_subnet.public : !s.map_public_ip_on_launch])
    error_message = "Public subnets give no addresses by themselves."
  }
}

run "an_existing_vpc" {
  command = apply
  variables {
    existing = { vpc_id = "vpc-0a", private_subnet_ids = ["subnet-0a", "subnet-0b"], route_table_ids = ["rtb-0a"] }
  }
  assert {
    condition     = length(aws_vpc.this) == 0 && aws_vpc_endpoint.s3[0].vpc_id == "vpc-0a" && length(aws_vpc_endpoint.interface) == 4
    error_message = "The VPC is used, and gets the endpoints."
  }
}

run "an_existing_vpc_with_endpoints" {
  command = plan
  variables {
    existing = { vpc_id = "vpc-0a", private_subnet_ids = ["subnet-0a", "subnet-0b"], s3_endpoint = false, interface_endpoints = false }
    egress   = { mode = "proxy", cidrs = ["10.9.0.0/28"], port = 3128 }
  }
  assert {
    condition     = length(aws_vpc_endpoint.interface) == 0 && length(aws_vpc_endpoint.s3) == 0 && length(aws_vpc_security_group_egress_rule.outside) == 1
    error_message = "Nothing twice, and a way to the proxy alone."
  }
}

run "a_transit_gateway" {
  command = plan
  variables {
    egress = { mode = "transit_gateway", cidrs = ["10.0.0.0/8"], transit_gateway_id = "tgw-0a" }
  }
  assert {
    condition     = aws_route.transit_gateway["10.0.0.0/8"].transit_gateway_id == "tgw-0a"
    error_message = "Routed."
  }
}

run "refuses_a_name_that_does_not_fit" {
  command = plan
  variables { name = "Airflow_Production" }
  expect_failures = [var.name]
}

run "refuses_a_bad_cidr" {
  command = plan
  variables { cidr = "10.20.0.0" }
  expect_failures = [var.cidr]
}

run "refuses_a_cidr_too_small" {
  command = plan
  variables { cidr = "10.20.0.0/26" }
  expect_failures = [var.cidr]
}

run "refuses_one_zone" {
  command = plan
  variables { availability_zones = 1 }
  expect_failures = [var.availability_zones]
}

run "refuses_nat" {
  command = plan
  variables { egress = { mode = "nat", cidrs = ["10.0.0.0/8"] } }
  expect_failures = [var.egress]
}

run "refuses_egress_to_everywhere" {
  command = plan
  variables { egress = { mode = "proxy", cidrs = ["0.0.0.0/0"] } }
  expect_failures = [var.egress]
}

run "refuses_an_unknown_endpoint" {
  command = plan
  variables { extra_endpoints = ["ecr"] }
  expect_failures = [var.extra_endpoints]
}

run "refuses_unknown_metrics" {
  command = plan
  variables { metrics = "statsd" }
  expect_failures = [var.metrics]
}

run "refuses_retention_that_cloudwatch_lacks" {
  command = plan
  variables { flow_logs = { kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/k", retention_days = 10 } }
  expect_failures = [var.flow_logs]
}

run "refuses_one_existing_subnet" {
  command = plan
  variables {
    existing = { vpc_id = "vpc-0a", private_subnet_ids = ["subnet-0a"], route_table_ids = ["rtb-0a"] }
  }
  expect_failures = [var.existing]
}

run "refuses_an_s3_endpoint_without_a_route" {
  command = plan
  variables {
    existing = { vpc_id = "vpc-0a", private_subnet_ids = ["subnet-0a", "subnet-0b"] }
  }
  expect_failures = [var.existing]
}

run "refuses_a_proxy_without_an_address" {
  command = plan
  variables { egress = { mode = "proxy" } }
  expect_failures = [var.egress]
}

run "refuses_a_transit_gateway_without_a_name" {
  command = plan
  variables { egress = { mode = "transit_gateway", cidrs = ["10.0.0.0/8"] } }
  expect_failures = [var.egress]
}

run "refuses_endpoints_in_no_zone" {
  command = plan
  variables { endpoint_zones = 0 }
  expect_failures = [var.endpoint_zones]
}

run "refuses_flow_logs_of_something_else" {
  command = plan
  variables { flow_logs = { kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/k", traffic = "DROPPED" } }
  expect_failures = [var.flow_logs]
}

run "the_smallest_vpc_has_room_for_six_subnets" {
  command = plan
  variables {
    cidr               = "10.20.0.0/22"
    availability_zones = 3
    public_subnets     = true
  }
  assert {
    condition     = length(distinct(concat([for s in aws_subnet.private : s.cidr_block], [for s in aws_subnet.public : s.cidr_block]))) == 6
    error_message = "Three private and three public, none twice."
  }
}
