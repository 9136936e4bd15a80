"""The Rego policies: on real plans nothing is denied, and each refused configuration is, by its own message."""
import json
import pathlib
import re

import regopy

import check as base


def rules(folder):
    interpreter = regopy.Interpreter()
    for file in sorted(pathlib.Path(folder).glob("*.rego")):
        interpreter.add_module(file.name, file.read_text())
    return interpreter


def denials(interpreter, plan):
    interpreter.set_input(plan)
    output = interpreter.query("data.trimtab.deny")
    if not output.ok():
        raise base.Fault(f"the policies cannot be evaluated: {output}")
    return sorted(output.results[0].expressions[0])


def refusals(folder):
    """Each file in tests/ is a plan in little, with the message that must come, and no other; and each rule has one."""
    interpreter = rules(folder)
    cases, wrong, said = sorted((pathlib.Path(folder) / "tests").glob("*.json")), [], set()
    for file in cases:
        case = json.loads(file.read_text())
        resources = [{"mode": "managed", "address": f"{r['type']}.this", **r} for r in case["resources"]]
        found = denials(interpreter, {"planned_values": {"root_module": {"resources": resources}}})
        said.update(found)
        expected = case["denied"]
        missing = [e for e in expected if not any(e in f for f in found)]
        surplus = [f for f in found if not any(e in f for e in expected)]
        if missing or surplus:
            wrong.append(f"{file.name}: not denied: {missing}; denied beyond: {surplus}")
    for file in sorted(pathlib.Path(folder).glob("*.rego")):
        for message in re.findall(r'^deny contains sprintf\("([^"]+)"', file.read_text(), re.M):
            if not any(re.fullmatch(re.escape(message).replace("%s", ".*"), m) for m in said):
                wrong.append(f"{file.name}: no configuration shows that it refuses '{message}'")
    if wrong or not cases:
        raise base.Fault("\n".join(wrong) or "no cases")
    return f"{len(cases)} configurations"
