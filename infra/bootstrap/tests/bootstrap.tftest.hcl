variables {
  region     = "eu-west-1"
  repository = "acme/airflow"
}

run "roles_are_for_this_repository_alone" {
  command = apply
  assert {
    condition     = alltrue([for d in data.aws_iam_policy_document.assume : strcontains(d.json, "repo:acme/airflow:")])
    error_message = "Another repository's workflows must not assume them."
  }
  assert {
    condition     = alltrue([for r in aws_ecr_repository.this : r.image_tag_mutability == "IMMUTABLE"])
    error_message = "A pushed tag stays what it is."
  }
  assert {
    condition     = alltrue([for p in aws_ecr_lifecycle_policy.this : [for r in jsondecode(p.policy).rules : r.selection.countNumber if try(r.selection.tagPatternList, []) == ["v*"]] == [10]])
    error_message = "Ten releases are kept, whatever is beside them."
  }
}

run "an_existing_provider" {
  command = plan
  variables { existing_oidc_provider_arn = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com" }
  assert {
    condition     = length(aws_iam_openid_connect_provider.github) == 0
    error_message = "An account has only one."
  }
}

run "refuses_a_url" {
  command = plan
  variables { repository = "https://github.com/acme/airflow" }
  expect_failures = [var.repository]
}
