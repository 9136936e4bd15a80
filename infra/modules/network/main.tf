data "aws_region" "this" {}
data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}

data "aws_availability_zones" "this" {
  #checkov:skip=CKV_AWS_394:the first two or three by name are taken, and a subnet is known by its zone
  state = "available"
  # A local zone has no RDS and no interface endpoints.
  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

data "aws_vpc" "existing" {
  count = var.existing == null ? 0 : 1
  id    = var.existing.vpc_id
}

locals {
  region = data.aws_region.this.region
  new    = var.existing == null
  zones  = slice(data.aws_availability_zones.this.names, 0, var.availability_zones)
  # Subnets of /24, or the eighth part of a small VPC: three private ones, then three public ones.
  newbits    = max(3, 24 - tonumber(split("/", var.cidr)[1]))
  vpc_id     = local.new ? aws_vpc.this[0].id : var.existing.vpc_id
  private    = local.new ? [for z in local.zones : aws_subnet.private[z].id] : var.existing.private_subnet_ids
  public     = local.new ? [for z in local.zones : aws_subnet.public[z].id if var.public_subnets] : var.existing.public_subnet_ids
  endpoint_n = min(coalesce(var.endpoint_zones, length(local.private)), length(local.private))

  # The least that works: images, logs and parameters. Secrets Manager is read through SSM's reference
  # path, KMS by the services themselves, and EFS is mounted on port 2049 of its own addresses.
  least   = ["ecr.api", "ecr.dkr", "logs", "ssm"]
  classic = ["ecr.api", "ecr.dkr", "logs", "events", "sts", "secretsmanager", "ssm", "elasticfilesystem", "kms"]
  endpoints = toset(var.existing != null && !try(var.existing.interface_endpoints, true) ? [] : concat(
    var.classic_endpoints ? local.classic : local.least,
    var.metrics == "cloudwatch" ? ["monitoring"] : [],
    var.exec ? ["ssmmessages"] : [],
    tolist(var.extra_endpoints),
  ))
}

# ---- the VPC --------------------------------------------------------------------------------------------

resource "aws_vpc" "this" {
  count                = local.new ? 1 : 0
  cidr_block           = var.cidr
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = { Name = var.name }
}

# Every VPC has one, and whatever names no group of its own lands in it.
resource "aws_default_security_group" "closed" {
  count  = local.new ? 1 : 0
  vpc_id = aws_vpc.this[0].id
  tags   = { Name = "${var.name}-default-closed" }
}

resource "aws_subnet" "private" {
  for_each          = toset(local.new ? local.zones : [])
  vpc_id            = aws_vpc.this[0].id
  availability_zone = each.key
  cidr_block        = cidrsubnet(var.cidr, local.newbits, index(local.zones, each.key))
  tags              = { Name = "${var.name}-private-${each.key}" }
}

resource "aws_route_table" "private" {
  count  = local.new ? 1 : 0
  vpc_id = aws_vpc.this[0].id
  tags   = { Name = "${var.name}-private" }
}

resource "aws_route_table_association" "private" {
  for_each       = aws_subnet.private
  subnet_id      = each.value.id
  route_table_id = aws_route_table.private[0].id
}

resource "aws_route" "transit_gateway" {
  for_each               = toset(local.new && var.egress.mode == "transit_gateway" ? var.egress.cidrs : [])
  route_table_id         = aws_route_table.private[0].id
  destination_cidr_block = each.key
  transit_gateway_id     = var.egress.transit_gateway_id
}

# ---- public subnets: for a load balancer only -----------------------------------------------------------

resource "aws_internet_gateway" "this" {
  count  = local.new && var.public_subnets ? 1 : 0
  vpc_id = aws_vpc.this[0].id
  tags   = { Name = var.name }
}

resource "aws_subnet" "public" {
  for_each                = toset(local.new && var.public_subnets ? local.zones : [])
  vpc_id                  = aws_vpc.this[0].id
  availability_zone       = each.key
  cidr_block              = cidrsubnet(var.cidr, local.newbits, 3 + index(local.zones, each.key))
  map_public_ip_on_launch = false
  tags                    = { Name = "${var.name}-public-${each.key}" }
}

resource "aws_route_table" "public" {
  count  = local.new && var.public_subnets ? 1 : 0
  vpc_id = aws_vpc.this[0].id
  tags   = { Name = "${var.name}-public" }
}

resource "aws_route" "public" {
  count                  = local.new && var.public_subnets ? 1 : 0
  route_table_id         = aws_route_table.public[0].id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this[0].id
}

resource "aws_route_table_association" "public" {
  for_each       = aws_subnet.public
  subnet_id      = each.value.id
  route_table_id = aws_route_table.public[0].id
}

# ---- security groups ------------------------------------------------------------------------------------

resource "aws_security_group" "tasks" {
  #checkov:skip=CKV2_AWS_5:services of other modules are in it
  name        = "${var.name}-tasks"
  description = "Airflow's tasks. Other modules add their rules."
  vpc_id      = local.vpc_id
  tags        = { Name = "${var.name}-tasks" }
}

resource "aws_security_group" "endpoints" {
  name        = "${var.name}-endpoints"
  description = "Interface endpoints, for Airflow's tasks."
  vpc_id      = local.vpc_id
  tags        = { Name = "${var.name}-endpoints" }
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  security_group_id            = aws_security_group.endpoints.id
  referenced_security_group_id = aws_security_group.tasks.id
  description                  = "HTTPS from tasks"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_security_group_egress_rule" "endpoints" {
  security_group_id            = aws_security_group.tasks.id
  referenced_security_group_id = aws_security_group.endpoints.id
  description                  = "HTTPS to AWS through the interface endpoints"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

data "aws_ec2_managed_prefix_list" "s3" {
  name = "com.amazonaws.${local.region}.s3"
}

resource "aws_vpc_security_group_egress_rule" "s3" {
  security_group_id = aws_security_group.tasks.id
  prefix_list_id    = data.aws_ec2_managed_prefix_list.s3.id
  description       = "HTTPS to S3 through the gateway endpoint"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

# An existing VPC with endpoints of its own: they are reached by its addresses.
resource "aws_vpc_security_group_egress_rule" "existing_endpoints" {
  count             = var.existing != null && !try(var.existing.interface_endpoints, true) ? 1 : 0
  security_group_id = aws_security_group.tasks.id
  cidr_ipv4         = data.aws_vpc.existing[0].cidr_block
  description       = "HTTPS to the interface endpoints that the VPC has"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "outside" {
  for_each          = toset(var.egress.mode == "none" ? [] : var.egress.cidrs)
  security_group_id = aws_security_group.tasks.id
  cidr_ipv4         = each.key
  description       = "to the outside by ${var.egress.mode}"
  ip_protocol       = "tcp"
  from_port         = var.egress.port
  to_port           = var.egress.port
}

# ---- endpoints ------------------------------------------------------------------------------------------

data "aws_iam_policy_document" "s3_endpoint" {
  statement {
    sid       = "EcrLayers"
    actions   = ["s3:GetObject"]
    resources = ["arn:${data.aws_partition.this.partition}:s3:::prod-${local.region}-starport-layer-bucket/*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
  }
  # By role and bucket policy in the end; here only buckets of this environment, and principals of this account.
  statement {
    sid       = "OwnBuckets"
    actions   = ["s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket", "s3:GetBucketLocation", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
    resources = flatten([for b in var.s3_bucket_arns : [b, "${b}/*"]])
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:PrincipalAccount"
      values   = [data.aws_caller_identity.this.account_id]
    }
  }
}

resource "aws_vpc_endpoint" "s3" {
  count             = local.new || try(var.existing.s3_endpoint, false) ? 1 : 0
  vpc_id            = local.vpc_id
  service_name      = "com.amazonaws.${local.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = local.new ? [aws_route_table.private[0].id] : var.existing.route_table_ids
  policy            = data.aws_iam_policy_document.s3_endpoint.json
  tags              = { Name = "${var.name}-s3" }
}

# Who calls from this VPC must belong to this account: an endpoint is no way out for stolen credentials.
data "aws_iam_policy_document" "endpoint" {
  #checkov:skip=CKV_AWS_1:an endpoint policy grants nothing: it says whose calls go through, and IAM says which
  #checkov:skip=CKV_AWS_49:an endpoint policy grants nothing: it says whose calls go through, and IAM says which
  statement {
    sid       = "OwnAccount"
    actions   = ["*"]
    resources = ["*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:PrincipalAccount"
      values   = [data.aws_caller_identity.this.account_id]
    }
  }
}

resource "aws_vpc_endpoint" "interface" {
  for_each            = local.endpoints
  vpc_id              = local.vpc_id
  service_name        = "com.amazonaws.${local.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = slice(local.private, 0, local.endpoint_n)
  security_group_ids  = [aws_security_group.endpoints.id]
  policy              = data.aws_iam_policy_document.endpoint.json
  tags                = { Name = "${var.name}-${each.key}" }
}

# ---- flow logs ------------------------------------------------------------------------------------------

resource "aws_cloudwatch_log_group" "flow" {
  count             = local.new && var.flow_logs != null ? 1 : 0
  name              = "/${var.name}/flow"
  retention_in_days = var.flow_logs.retention_days
  kms_key_id        = var.flow_logs.kms_key_arn
}

data "aws_iam_policy_document" "flow_assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["vpc-flow-logs.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.this.account_id]
    }
  }
}

data "aws_iam_policy_document" "flow" {
  count = local.new && var.flow_logs != null ? 1 : 0
  statement {
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"]
    resources = ["${aws_cloudwatch_log_group.flow[0].arn}:*"]
  }
}

resource "aws_iam_role" "flow" {
  count              = local.new && var.flow_logs != null ? 1 : 0
  name               = "${var.name}-flow-logs"
  assume_role_policy = data.aws_iam_policy_document.flow_assume.json
}

resource "aws_iam_role_policy" "flow" {
  count  = local.new && var.flow_logs != null ? 1 : 0
  role   = aws_iam_role.flow[0].id
  policy = data.aws_iam_policy_document.flow[0].json
}

resource "aws_flow_log" "this" {
  count                    = local.new && var.flow_logs != null ? 1 : 0
  vpc_id                   = aws_vpc.this[0].id
  traffic_type             = var.flow_logs.traffic
  log_destination          = aws_cloudwatch_log_group.flow[0].arn
  iam_role_arn             = aws_iam_role.flow[0].arn
  max_aggregation_interval = 600
}
