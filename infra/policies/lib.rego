package trimtab

import rego.v1

# Every managed resource of the plan, of whatever module.
resources contains r if {
	some path, value
	walk(input.planned_values.root_module, [path, value])
	path[count(path) - 2] == "resources"
	r := value
	r.mode == "managed"
}

text_list(value) := value if is_array(value)

text_list(value) := [value] if is_string(value)
