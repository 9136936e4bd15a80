package trimtab

import rego.v1

containers contains [r, c] if {
	some r in resources
	r.type == "aws_ecs_task_definition"
	is_string(r.values.container_definitions)
	some c in json.unmarshal(r.values.container_definitions)
}

# The named exception: ECS Exec's agent writes to the root. The tag says so, and production has it in the
# debug task alone.
deny contains sprintf("%s: %s has a writable root", [r.address, c.name]) if {
	some [r, c] in containers
	not c.readonlyRootFilesystem == true
	not object.get(object.get(r.values, "tags", {}), "trimtab:writable-root", "") == "ECS Exec"
}

deny contains sprintf("%s: %s is writable in production", [r.address, c.name]) if {
	some [r, c] in containers
	not c.readonlyRootFilesystem == true
	contains(r.values.family, "prod")
	not endswith(r.values.family, "-debug")
}

deny contains sprintf("%s: %s runs as root", [r.address, c.name]) if {
	some [r, c] in containers
	user := object.get(c, "user", "")
	regex.match(`^(|0|root)(:.*)?$`, user)
}

deny contains sprintf("%s: %s is privileged", [r.address, c.name]) if {
	some [r, c] in containers
	c.privileged == true
}

deny contains sprintf("%s: %s is %s, which is no digest", [r.address, c.name, c.image]) if {
	some [r, c] in containers
	not regex.match(`@sha256:[0-9a-f]{64}$`, c.image)
}

secret_words := `(PASSWORD|SECRET|TOKEN|FERNET_KEY|PRIVATE_KEY|BROKER_URL|SQL_ALCHEMY_CONN|RESULT_BACKEND|DATABASE_URL)`

deny contains sprintf("%s: %s has %s in the clear", [r.address, c.name, e.name]) if {
	some [r, c] in containers
	some e in c.environment
	regex.match(secret_words, e.name)
	not regex.match(`^(ssm|secretsmanager)://`, e.value)
}

# A URL with a password under any name.
deny contains sprintf("%s: %s has a password in %s", [r.address, c.name, e.name]) if {
	some [r, c] in containers
	some e in c.environment
	regex.match(`://[^/@:]*:[^/@]+@`, e.value)
}

deny contains sprintf("%s: %s logs nowhere", [r.address, c.name]) if {
	some [r, c] in containers
	not c.logConfiguration.logDriver
}

deny contains sprintf("%s: %s can be held up by its log", [r.address, c.name]) if {
	some [r, c] in containers
	c.logConfiguration.logDriver == "awslogs"
	not c.logConfiguration.options.mode == "non-blocking"
}
