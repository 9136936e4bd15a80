"""The commands that README.md tells a newcomer to type, so that CI runs exactly these.

    python3 ci/readme.py README.md test     prints the command of "Try it" that has the word `test`
"""

import re
import sys

SECTION = "## Try it"


def commands(readme):
    """The lines of the section's first `sh` block, without comments."""
    section = re.search(rf"^{re.escape(SECTION)}\n(.*?)(?=^## |\Z)", readme, re.M | re.S)
    if not section:
        raise ValueError(f"there is no section '{SECTION}'")
    block = re.search(r"^```sh\n(.*?)^```$", section[1], re.M | re.S)
    if not block:
        raise ValueError(f"the section '{SECTION}' has no sh block")
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in block[1].splitlines())
    return [line for line in lines if line]


def command(readme, word):
    """The one command that has the word."""
    found = [line for line in commands(readme) if word in line.split()]
    if len(found) != 1:
        raise ValueError(f"{len(found)} commands of '{SECTION}' have the word '{word}', not one")
    return found[0]


def main(path, word):
    with open(path, encoding="utf-8") as file:
        readme = file.read()
    try:
        print(command(readme, word))
    except ValueError as error:
        sys.exit(f"{path}: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
