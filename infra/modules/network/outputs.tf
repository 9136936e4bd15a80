output "vpc_id" {
  description = "The VPC."
  value       = local.vpc_id
}

output "vpc_cidr" {
  description = "The VPC's addresses."
  value       = local.new ? var.cidr : data.aws_vpc.existing[0].cidr_block
}

output "private_subnet_ids" {
  description = "Subnets of tasks, database, cache and file system."
  value       = local.private
}

output "public_subnet_ids" {
  description = "Subnets of a public load balancer; empty without."
  value       = local.public
}

output "tasks_security_group_id" {
  description = "The group of every task."
  value       = aws_security_group.tasks.id
}

output "endpoints" {
  description = "Interface endpoints that are made."
  value       = sort(tolist(local.endpoints))
}

output "endpoint_addresses" {
  description = "Interface endpoints times the zones of each: what is paid by the hour."
  value       = length(local.endpoints) * local.endpoint_n
}
