package trimtab

import rego.v1

# Encrypted at rest with a key of one's own, and on the line.

must_be_true := {
	"aws_db_instance": ["storage_encrypted"],
	"aws_efs_file_system": ["encrypted"],
	"aws_elasticache_replication_group": ["transit_encryption_enabled", "at_rest_encryption_enabled"],
	"aws_kms_key": ["enable_key_rotation"],
}

deny contains sprintf("%s: %s is not true", [r.address, name]) if {
	some r in resources
	some name in must_be_true[r.type]
	not is_true(object.get(r.values, name, false))
}

is_true(value) if value == true

is_true(value) if value == "true"

deny contains sprintf("%s: logs without a key of one's own", [r.address]) if {
	some r in resources
	r.type == "aws_cloudwatch_log_group"
	object.get(r.values, "kms_key_id", "unknown at plan") in {null, ""}
}

# These have a key of the account's own only where one is named.
key_of := {"aws_sns_topic": "kms_master_key_id", "aws_secretsmanager_secret": "kms_key_id"}

deny contains sprintf("%s: without a key of one's own", [r.address]) if {
	some r in resources
	name := key_of[r.type]
	object.get(r.values, name, "unknown at plan") in {null, ""}
}

deny contains sprintf("%s: a SecureString without a key of one's own", [r.address]) if {
	some r in resources
	r.type == "aws_ssm_parameter"
	r.values.type == "SecureString"
	object.get(r.values, "key_id", "unknown at plan") in {null, ""}
}

deny contains sprintf("%s: images without a key of one's own", [r.address]) if {
	some r in resources
	r.type == "aws_ecr_repository"
	not encrypted_images(r)
}

encrypted_images(r) if {
	some e in r.values.encryption_configuration
	e.encryption_type == "KMS"
}

deny contains sprintf("%s: a bucket without a rule of encryption beside it", [r.address]) if {
	some r in resources
	r.type == "aws_s3_bucket"
	module_encrypts := {module_of(e.address) |
		some e in resources
		e.type == "aws_s3_bucket_server_side_encryption_configuration"
	}
	not module_of(r.address) in module_encrypts
	not imported(r.address)
}

module_of(address) := substring(address, 0, indexof_n(address, "aws_s3_bucket")[0])

# What is imported stays as it is until its own time comes.
imported(address) if {
	some change in input.resource_changes
	change.address == address
	change.change.importing
}

deny contains sprintf("%s: EFS volume %s goes in the clear", [r.address, v.name]) if {
	some r in resources
	r.type == "aws_ecs_task_definition"
	some v in r.values.volume
	some efs in v.efs_volume_configuration
	not efs.transit_encryption == "ENABLED"
}

deny contains sprintf("%s: HTTP that is no redirect", [r.address]) if {
	some r in resources
	r.type == "aws_lb_listener"
	r.values.protocol == "HTTP"
	some action in r.values.default_action
	action.type != "redirect"
}

deny contains sprintf("%s: TLS older than 1.2 (%s)", [r.address, r.values.ssl_policy]) if {
	some r in resources
	r.type == "aws_lb_listener"
	r.values.protocol == "HTTPS"
	# TLS13-1-0 and TLS13-1-1 begin at 1.0 and 1.1.
	not regex.match(`TLS13-1-[23]-`, r.values.ssl_policy)
}

deny contains sprintf("%s: PostgreSQL without rds.force_ssl", [r.address]) if {
	some r in resources
	r.type == "aws_db_parameter_group"
	not forces_tls(r)
}

forces_tls(r) if {
	some p in r.values.parameter
	p.name == "rds.force_ssl"
	p.value == "1"
}
