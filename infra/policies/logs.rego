package trimtab

import rego.v1

deny contains sprintf("%s: logs without an end", [r.address]) if {
	some r in resources
	r.type == "aws_cloudwatch_log_group"
	object.get(r.values, "retention_in_days", 0) in {0, null}
}

deny contains sprintf("%s: images that can be moved to another content", [r.address]) if {
	some r in resources
	r.type == "aws_ecr_repository"
	not r.values.image_tag_mutability == "IMMUTABLE"
}
