# Two of the same, because Terraform's lifecycle takes no condition: where Application Auto Scaling owns the
# count, an apply must not put it back; where nobody does, a changed count must be applied. Nothing else is
# ignored: an image is changed by an apply, and by nothing else.
locals {
  network = { subnets = var.subnet_ids, groups = var.security_group_ids }
  service = {
    name     = var.service
    provider = var.spot ? "FARGATE_SPOT" : "FARGATE"
    # A web tier that starts waits for secrets and the database first.
    grace = var.load_balancer == null ? null : var.load_balancer.grace_seconds
  }
  load_balancers = var.load_balancer == null ? [] : [var.load_balancer.target_group_arn]
  registries     = var.registry_arn == null ? [] : [var.registry_arn]
}

resource "aws_ecs_service" "fixed" {
  count                              = var.scaled ? 0 : 1
  name                               = local.service.name
  cluster                            = var.cluster_arn
  task_definition                    = aws_ecs_task_definition.this.arn
  desired_count                      = var.desired_count
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  health_check_grace_period_seconds  = local.service.grace
  enable_execute_command             = var.exec
  enable_ecs_managed_tags            = true
  propagate_tags                     = "SERVICE"
  wait_for_steady_state              = var.wait
  capacity_provider_strategy {
    capacity_provider = local.service.provider
    weight            = 1
  }
  network_configuration {
    subnets          = local.network.subnets
    security_groups  = local.network.groups
    assign_public_ip = false
  }
  deployment_circuit_breaker {
    enable   = true
    rollback = var.rollback
  }
  dynamic "load_balancer" {
    for_each = local.load_balancers
    content {
      target_group_arn = load_balancer.value
      container_name   = "airflow"
      container_port   = 8080
    }
  }
  dynamic "service_registries" {
    for_each = local.registries
    content {
      registry_arn = service_registries.value
    }
  }
  timeouts {
    create = "40m"
    update = "40m"
  }
  depends_on = [aws_iam_role_policy.task, aws_iam_role_policy.execution, aws_ssm_parameter.wanted, var.after]
}

resource "aws_ecs_service" "scaled" {
  count                              = var.scaled ? 1 : 0
  name                               = local.service.name
  cluster                            = var.cluster_arn
  task_definition                    = aws_ecs_task_definition.this.arn
  desired_count                      = var.desired_count
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  health_check_grace_period_seconds  = local.service.grace
  enable_execute_command             = var.exec
  enable_ecs_managed_tags            = true
  propagate_tags                     = "SERVICE"
  # A deployment of workers lasts as long as their tasks: nobody waits for it.
  wait_for_steady_state = var.wait && !local.worker
  capacity_provider_strategy {
    capacity_provider = local.service.provider
    weight            = 1
  }
  network_configuration {
    subnets          = local.network.subnets
    security_groups  = local.network.groups
    assign_public_ip = false
  }
  deployment_circuit_breaker {
    enable   = true
    rollback = var.rollback
  }
  dynamic "load_balancer" {
    for_each = local.load_balancers
    content {
      target_group_arn = load_balancer.value
      container_name   = "airflow"
      container_port   = 8080
    }
  }
  dynamic "service_registries" {
    for_each = local.registries
    content {
      registry_arn = service_registries.value
    }
  }
  timeouts {
    create = "40m"
    update = "40m"
  }
  lifecycle {
    ignore_changes = [desired_count]
  }
  depends_on = [aws_iam_role_policy.task, aws_iam_role_policy.execution, aws_ssm_parameter.wanted, var.after]
}
