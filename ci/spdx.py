"""SPDX licence expressions, as crates write them."""

import re


def met_by(expression, allowed):
    """Whether the allowed licences alone satisfy the expression.

    `OR` is a choice, `AND` binds more tightly and asks for both, `WITH` makes another licence of the
    one before it. Old crates write `/` for `OR`. ValueError when it cannot be read.
    """
    tokens = re.findall(r"[()]|[^\s()]+", expression.replace("/", " OR "))
    result, rest = choice(tokens, allowed)
    if rest:
        raise ValueError(f"'{expression}' goes on with '{rest[0]}'")
    return result


def choice(tokens, allowed):
    result, tokens = both(tokens, allowed)
    while tokens and tokens[0] == "OR":
        other, tokens = both(tokens[1:], allowed)
        result = result or other
    return result, tokens


def both(tokens, allowed):
    result, tokens = one(tokens, allowed)
    while tokens and tokens[0] == "AND":
        other, tokens = one(tokens[1:], allowed)
        result = result and other
    return result, tokens


def one(tokens, allowed):
    if not tokens or tokens[0] in (")", "OR", "AND", "WITH"):
        raise ValueError("a licence is missing")
    if tokens[0] == "(":
        result, tokens = choice(tokens[1:], allowed)
        if not tokens or tokens[0] != ")":
            raise ValueError("a bracket is not closed")
        return result, tokens[1:]
    licence, tokens = tokens[0], tokens[1:]
    if tokens and tokens[0] == "WITH":
        licence, tokens = " ".join([licence, *tokens[:2]]), tokens[2:]
    return licence in allowed, tokens
