package trimtab

import rego.v1

# What may stand with the resource "*": calls that have no resource, each with its reason.
without_resource := {
	"ecr:GetAuthorizationToken": "a login has no resource",
	"cloudwatch:PutMetricData": "metrics have no resource; held to a namespace",
	"ssmmessages:CreateControlChannel": "Session Manager's channels have no resource",
	"ssmmessages:CreateDataChannel": "Session Manager's channels have no resource",
	"ssmmessages:OpenControlChannel": "Session Manager's channels have no resource",
	"ssmmessages:OpenDataChannel": "Session Manager's channels have no resource",
}

identity_policies := {"aws_iam_role_policy", "aws_iam_policy"}

statements contains [r, s] if {
	some r in resources
	r.type in identity_policies
	is_string(r.values.policy)
	some s in listed(json.unmarshal(r.values.policy).Statement)
	s.Effect == "Allow"
}

listed(value) := value if is_array(value)

listed(value) := [value] if is_object(value)

deny contains sprintf("%s: allows %s", [r.address, action]) if {
	some [r, s] in statements
	some action in text_list(s.Action)
	endswith(action, "*")
}

deny contains sprintf("%s: allows %s on every resource", [r.address, action]) if {
	some [r, s] in statements
	some resource in text_list(s.Resource)
	resource == "*"
	some action in text_list(s.Action)
	not without_resource[action]
}

deny contains sprintf("%s: PutMetricData without a namespace", [r.address]) if {
	some [r, s] in statements
	some action in text_list(s.Action)
	action == "cloudwatch:PutMetricData"
	not s.Condition.StringEquals["cloudwatch:namespace"]
}

deny contains sprintf("%s: NotAction allows whatever comes", [r.address]) if {
	some [r, s] in statements
	s.NotAction
}

# One role may do everything: the one that runs an apply, from a GitHub environment with reviewers.
deny contains sprintf("%s: attaches %s", [r.address, r.values.policy_arn]) if {
	some r in resources
	r.type == "aws_iam_role_policy_attachment"
	endswith(r.values.policy_arn, "/AdministratorAccess")
	not startswith(r.address, "aws_iam_role_policy_attachment.deploy[")
}

deny contains sprintf("%s: anybody may assume it", [r.address]) if {
	some r in resources
	r.type == "aws_iam_role"
	is_string(r.values.assume_role_policy)
	some s in listed(json.unmarshal(r.values.assume_role_policy).Statement)
	not s.Condition
}
