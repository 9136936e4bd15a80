package trimtab

import rego.v1

# Private subnets have no way to or from the internet, and no group lets everybody in or out.

anywhere := {"0.0.0.0/0", "::/0"}

deny contains sprintf("%s: a NAT gateway; reach AWS by endpoints, and what is outside by network.egress", [r.address]) if {
	some r in resources
	r.type == "aws_nat_gateway"
}

# A route table's resource is called public, or no route of it leads to an internet gateway.
deny contains sprintf("%s: a route to an internet gateway outside of a public route table", [r.address]) if {
	some r in resources
	r.type == "aws_route"
	to_internet(r)
	not contains(r.address, "aws_route.public")
}

to_internet(r) if startswith(object.get(r.values, "gateway_id", ""), "igw-")

# In a plan the gateway's ID is not known yet: a route to everywhere without another target is one.
to_internet(r) if {
	r.values.destination_cidr_block in anywhere
	object.get(r.values, "transit_gateway_id", null) in {null, ""}
	object.get(r.values, "vpc_endpoint_id", null) in {null, ""}
}

deny contains sprintf("%s: gives public addresses", [r.address]) if {
	some r in resources
	r.type == "aws_subnet"
	r.values.map_public_ip_on_launch == true
}

deny contains sprintf("%s: its tasks have public addresses", [r.address]) if {
	some r in resources
	r.type == "aws_ecs_service"
	some network in r.values.network_configuration
	network.assign_public_ip == true
}

deny contains sprintf("%s: an elastic address", [r.address]) if {
	some r in resources
	r.type == "aws_eip"
}

deny contains sprintf("%s: open to %s", [r.address, cidr]) if {
	some r in resources
	r.type in {"aws_vpc_security_group_ingress_rule", "aws_vpc_security_group_egress_rule"}
	some name in ["cidr_ipv4", "cidr_ipv6"]
	cidr := r.values[name]
	cidr in anywhere
}

deny contains sprintf("%s: open to %s", [r.address, cidr]) if {
	some r in resources
	r.type in {"aws_security_group", "aws_security_group_rule", "aws_default_security_group"}
	cidr := group_cidrs(r.values)[_]
	cidr in anywhere
}

group_cidrs(values) := [c |
	some path, c
	walk(values, [path, c])
	is_string(c)
	path[count(path) - 2] in {"cidr_blocks", "ipv6_cidr_blocks"}
]

deny contains sprintf("%s: a database that is publicly accessible", [r.address]) if {
	some r in resources
	r.type == "aws_db_instance"
	r.values.publicly_accessible == true
}
