data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}

locals {
  new       = var.existing == null
  account   = data.aws_caller_identity.this.account_id
  partition = data.aws_partition.this.partition
  bucket    = "${var.name}-lb-logs-${local.account}"
  group_id  = local.new ? aws_security_group.this[0].id : var.existing.security_group_id
  listener  = local.new ? aws_lb_listener.https[0].arn : var.existing.listener_arn
}

# ---- who may connect ------------------------------------------------------------------------------------

resource "aws_security_group" "this" {
  count       = local.new ? 1 : 0
  name        = "${var.name}-lb"
  description = "The load balancer in front of Airflow."
  vpc_id      = var.vpc_id
  tags        = { Name = "${var.name}-lb" }
}

resource "aws_vpc_security_group_ingress_rule" "cidr" {
  for_each          = { for pair in setproduct(local.new ? var.allowed_cidrs : [], [80, 443]) : "${pair[0]}-${pair[1]}" => pair }
  security_group_id = local.group_id
  cidr_ipv4         = each.value[0]
  description       = "HTTP${each.value[1] == 443 ? "S" : ", redirected"}"
  ip_protocol       = "tcp"
  from_port         = each.value[1]
  to_port           = each.value[1]
}

resource "aws_vpc_security_group_ingress_rule" "group" {
  for_each                     = local.new ? var.allowed_security_groups : {}
  security_group_id            = local.group_id
  referenced_security_group_id = each.value
  description                  = "HTTPS from ${each.key}"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_security_group_egress_rule" "tasks" {
  security_group_id            = local.group_id
  referenced_security_group_id = var.tasks_security_group_id
  description                  = "Airflow's web tier"
  ip_protocol                  = "tcp"
  from_port                    = 8080
  to_port                      = 8080
}

resource "aws_vpc_security_group_ingress_rule" "tasks" {
  security_group_id            = var.tasks_security_group_id
  referenced_security_group_id = local.group_id
  description                  = "Web tier from the load balancer"
  ip_protocol                  = "tcp"
  from_port                    = 8080
  to_port                      = 8080
}

resource "aws_vpc_security_group_egress_rule" "login" {
  for_each          = toset(local.new && var.login != null ? var.login.cidrs : [])
  security_group_id = local.group_id
  cidr_ipv4         = each.key
  description       = "HTTPS to the identity provider"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

# ---- the load balancer ----------------------------------------------------------------------------------

resource "aws_lb" "this" {
  #checkov:skip=CKV2_AWS_76:the web ACL is given by its ARN, and its rules belong to whoever keeps it
  count                      = local.new ? 1 : 0
  name                       = var.name
  internal                   = !var.public
  load_balancer_type         = "application"
  subnets                    = var.subnet_ids
  security_groups            = [aws_security_group.this[0].id]
  drop_invalid_header_fields = true
  desync_mitigation_mode     = "strictest"
  enable_deletion_protection = var.deletion_protection
  idle_timeout               = 120
  access_logs {
    bucket  = aws_s3_bucket.logs[0].id
    enabled = true
  }
  depends_on = [aws_s3_bucket_policy.logs]
}

resource "aws_wafv2_web_acl_association" "this" {
  count        = local.new && var.web_acl_arn != null ? 1 : 0
  resource_arn = aws_lb.this[0].arn
  web_acl_arn  = var.web_acl_arn
}

resource "aws_lb_target_group" "airflow" {
  name_prefix = "airfl-"
  vpc_id      = var.vpc_id
  port        = 8080
  protocol    = "HTTP"
  target_type = "ip"
  # A request to the API ends within it; the interface opens a new one.
  deregistration_delay = 30
  health_check {
    path                = var.health_path
    matcher             = "200"
    interval            = 15
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 4
  }
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_lb_listener" "http" {
  count             = local.new ? 1 : 0
  load_balancer_arn = aws_lb.this[0].arn
  port              = 80
  protocol          = "HTTP"
  default_action {
    type = "redirect"
    redirect {
      port        = "443"
      protocol    = "HTTPS"
      status_code = "HTTP_301"
    }
  }
}

resource "aws_lb_listener" "https" {
  count             = local.new ? 1 : 0
  load_balancer_arn = aws_lb.this[0].arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = var.certificate_arn
  dynamic "default_action" {
    for_each = var.login == null ? [] : [var.login]
    content {
      type  = "authenticate-cognito"
      order = 1
      authenticate_cognito {
        user_pool_arn       = default_action.value.user_pool_arn
        user_pool_client_id = default_action.value.client_id
        user_pool_domain    = default_action.value.domain
      }
    }
  }
  default_action {
    type             = "forward"
    order            = 2
    target_group_arn = aws_lb_target_group.airflow.arn
  }
}

resource "aws_lb_listener_rule" "existing" {
  count        = local.new ? 0 : 1
  listener_arn = var.existing.listener_arn
  priority     = var.existing.priority
  condition {
    host_header {
      values = var.existing.hosts
    }
  }
  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.airflow.arn
  }
}

resource "aws_lb_listener_rule" "route" {
  for_each     = var.routes
  listener_arn = local.listener
  priority     = each.value.priority
  condition {
    path_pattern {
      values = each.value.paths
    }
  }
  action {
    type             = "forward"
    target_group_arn = each.value.target_group_arn
  }
}

# ---- access logs ----------------------------------------------------------------------------------------

resource "aws_s3_bucket" "logs" {
  #checkov:skip=CKV_AWS_145:a load balancer writes its logs with SSE-S3 only
  #checkov:skip=CKV_AWS_18:it is the access log; a log of the log has no end
  #checkov:skip=CKV_AWS_144:access logs need no other region
  #checkov:skip=CKV2_AWS_62:nobody waits for events of this bucket
  count         = local.new ? 1 : 0
  bucket        = local.bucket
  force_destroy = !var.deletion_protection
}

resource "aws_s3_bucket_public_access_block" "logs" {
  count                   = local.new ? 1 : 0
  bucket                  = aws_s3_bucket.logs[0].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_versioning" "logs" {
  count  = local.new ? 1 : 0
  bucket = aws_s3_bucket.logs[0].id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "logs" {
  count  = local.new ? 1 : 0
  bucket = aws_s3_bucket.logs[0].id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "logs" {
  count  = local.new ? 1 : 0
  bucket = aws_s3_bucket.logs[0].id
  rule {
    id     = "expire"
    status = "Enabled"
    filter {}
    expiration {
      days = var.log_days
    }
    noncurrent_version_expiration {
      noncurrent_days = 7
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = 2
    }
  }
}

data "aws_iam_policy_document" "logs" {
  statement {
    sid       = "Delivery"
    actions   = ["s3:PutObject"]
    resources = ["arn:${local.partition}:s3:::${local.bucket}/AWSLogs/${local.account}/*"]
    principals {
      type        = "Service"
      identifiers = ["logdelivery.elasticloadbalancing.amazonaws.com"]
    }
  }
  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = ["arn:${local.partition}:s3:::${local.bucket}", "arn:${local.partition}:s3:::${local.bucket}/*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "logs" {
  count      = local.new ? 1 : 0
  bucket     = aws_s3_bucket.logs[0].id
  policy     = data.aws_iam_policy_document.logs.json
  depends_on = [aws_s3_bucket_public_access_block.logs]
}
