output "state_bucket" {
  description = "For -backend-config=bucket=, and where release files are."
  value       = aws_s3_bucket.state.bucket
}

output "repository_urls" {
  description = "Where images are pushed to."
  value       = { for name, r in aws_ecr_repository.this : name => r.repository_url }
}

output "repository_arns" {
  description = "For the environments' repository_arns."
  value       = [for r in aws_ecr_repository.this : r.arn]
}

output "role_arns" {
  description = "For the workflows: plan, release, deploy-ENV, dags-ENV."
  value       = { for name, r in aws_iam_role.github : name => r.arn }
}
