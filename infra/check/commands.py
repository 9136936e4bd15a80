"""The `aws` commands of pages, scripts and workflows, against the service models that the AWS CLI is made from.

A command names an operation that there is, options that it has, all that it must have, and asks (--query) for
what the answer holds. What the CLI adds to the models is in HIGH_LEVEL.
"""
import functools
import re

import botocore.session
import botocore
import jmespath.exceptions
import jmespath.parser

GLOBAL = {"query", "output", "region", "profile", "no-cli-pager", "endpoint-url"}
# Commands of the CLI's own: their options.
HIGH_LEVEL = {
    ("s3", "cp"): {"recursive", "quiet", "no-progress"},
    ("s3", "sync"): {"delete", "exclude", "include", "no-progress", "dryrun", "quiet"},
    ("s3", "ls"): {"recursive", "summarize", "human-readable"},
    ("logs", "tail"): {"since", "follow", "filter-pattern", "format", "log-stream-names", "log-stream-name-prefix"},
    ("ecr", "get-login-password"): set(),
    ("configure", "get"): set(),
}


def found(text):
    """Each `aws` command of a text: its words, quotes taken away, substitutions and variables left as they are."""
    text = text.replace("\\\n", " ")
    for start in re.finditer(r"(?<![\w./-])aws (?=[a-z0-9-]+ [a-z])", text):
        words, word, quote, at = [], "", "", start.start()
        depth = 0
        while at < len(text):
            c = text[at]
            if c == "\\" and quote == '"' and at + 1 < len(text):
                word, at = word + text[at + 1], at + 2
                continue
            if quote != "'" and text[at:at + 2] == "$(":
                depth += 1
            if depth and c == ")":
                depth -= 1
            elif not quote and not depth and c in "|;)&\n`<>":
                break
            if not quote and not depth and c in " \t":
                words, word = words + [word], ""
            elif not depth and c in "\"'" and quote in ("", c):
                quote = "" if quote else c
            else:
                word += c
            at += 1
        yield [w for w in [*words, word] if w]


@functools.cache
def model(service):
    return botocore.session.get_session().get_service_model(service)


def kebab(name):
    return botocore.xform_name(name).replace("_", "-")


def faults(words):
    """What is wrong with a command."""
    _, service, operation, *rest = words
    shown = " ".join(words[:3])
    given = [w[2:].split("=")[0] for w in rest if w.startswith("--")]
    options = set(given) - GLOBAL
    if (service, operation) in HIGH_LEVEL:
        yield from (f"{shown} has no --{o}" for o in sorted(options - HIGH_LEVEL[service, operation]))
        return
    try:
        known = model(service)
    except Exception:  # noqa: BLE001 - botocore has an error of its own for each kind of absence
        yield f"there is no service {service}"
        return
    if operation == "wait":
        waiters = botocore.session.get_session().get_waiter_model(service)
        names = {kebab(n): waiters.get_waiter(n).operation for n in waiters.waiter_names}
        if not rest or rest[0] not in names:
            yield f"{shown} has no {rest[0] if rest else 'waiter'}"
            return
        name = names[rest[0]]
    else:
        names = {kebab(n): n for n in known.operation_names}
        if operation not in names:
            yield f"there is no {shown}"
            return
        name = names[operation]
    shape, answer = known.operation_model(name).input_shape, known.operation_model(name).output_shape
    members = {kebab(m): m for m in (shape.members if shape else {})}
    # The CLI asks for page after page, and has options of its own for that.
    if botocore.session.get_session().get_paginator_model(service)._paginator_config.get(name):  # noqa: SLF001 - there is no other way to ask
        options -= {"max-items", "page-size", "starting-token"}
    yield from (f"{shown} has no --{o}" for o in sorted(options) if o not in members and o.removeprefix("no-") not in members)
    if "cli-input-json" not in options:
        yield from (f"{shown} needs --{kebab(m)}" for m in (shape.required_members if shape else []) if kebab(m) not in options)
    for at, word in enumerate(rest):
        if word == "--query" and operation != "wait" and at + 1 < len(rest):
            yield from (f"{shown} --query: {why}" for why in unknown_in(rest[at + 1], answer))


def unknown_in(query, answer):
    """Fields of a JMESPath expression that the answer has not."""
    try:
        parsed = jmespath.parser.Parser().parse(query).parsed
    except jmespath.exceptions.ParseError:
        return [f"'{query}' cannot be read"]
    wrong = []

    def walk(node, shape):
        """The shape of what the node gives; None where it is not known."""
        kind, children = node["type"], node["children"]
        if kind == "field":
            if shape is None or shape.type_name == "map":
                return None
            if shape.type_name != "structure" or node["value"] not in shape.members:
                wrong.append(f"no {node['value']} in {shape.name}")
                return None
            return shape.members[node["value"]]
        if kind in ("subexpression", "pipe", "index_expression"):
            for child in children:
                shape = walk(child, shape)
            return shape
        if kind in ("projection", "filter_projection", "value_projection"):
            inner = walk(children[0], shape)
            # A slice or a flattening has gone into the list already.
            inner = inner.member if inner is not None and inner.type_name == "list" else inner
            for condition in children[2:]:
                walk(condition, inner)
            return walk(children[1], inner)
        if kind == "flatten":
            return walk(children[0], shape)
        if kind in ("index", "slice"):
            return shape.member if shape is not None and shape.type_name == "list" and kind == "index" else shape
        if kind in ("identity", "current"):
            return shape
        if kind in ("multi_select_list", "comparator", "and_expression", "or_expression", "not_expression", "function_expression"):
            for child in children:
                walk(child, shape)
            return None
        return None

    walk(parsed, answer)
    return wrong
