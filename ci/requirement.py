"""Version requirements as advisories write them: `>=1.2.3, <2`, `^0.3.26`, `=0.2.0`, `1.0`."""

import re


def matches(requirement, version):
    """Whether the version meets every part of the requirement. ValueError when that cannot be read."""
    key = order(version)
    return all(part_matches(part.strip(), key) for part in requirement.split(","))


def part_matches(part, key):
    parsed = re.fullmatch(r"(>=|<=|>|<|=|\^|~)?\s*(\d+(?:\.\d+){0,2}(?:-[0-9A-Za-z.-]+)?)", part)
    if not parsed:
        raise ValueError(f"'{part}' is no version requirement that is known here")
    operator, version = parsed[1] or "^", parsed[2]
    least = order(version)
    numbers = [int(number) for number in version.partition("-")[0].split(".")]
    if operator == ">=":
        return key >= least
    if operator == "<":
        return key < least
    if len(numbers) == 3 and operator in (">", "<=", "="):
        return {">": key > least, "<=": key <= least, "=": key == least}[operator]
    # `=0.2` and its like are about every version that begins so.
    beyond = order(".".join(map(str, after(operator, numbers))))
    return {">": key >= beyond, "<=": key < beyond}.get(operator, least <= key < beyond)


def after(operator, numbers):
    """The first version that a range beginning with these numbers does not have."""
    last = len(numbers) - 1
    if operator == "~":
        last = min(last, 1)
    elif operator == "^":
        last = next((place for place, number in enumerate(numbers) if number), last)
    return [*numbers[:last], numbers[last] + 1]


def order(version):
    """A key that sorts as semantic versions do: 1.0.0-rc.1 comes before 1.0.0."""
    core, _, before = version.partition("+")[0].partition("-")
    numbers = [int(number) for number in core.split(".")]
    numbers += [0] * (3 - len(numbers))
    identifiers = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in before.split(".") if part]
    return (numbers, not identifiers, identifiers)
