#!/usr/bin/env python3
"""Before a commit: quick.py FILE... A NAT gateway, a rule for everybody, or what looks like a secret ends it with 1."""
import pathlib
import re
import sys

RULES = [
    (r"\.tf$", r'resource\s+"aws_(nat_gateway|eip)"', "there is no NAT gateway and no elastic address"),
    (r"\.tf$", r'cidr_ipv[46]\s*=\s*"(0\.0\.0\.0/0|::/0)"', "a security group open to everybody"),
    (r"\.tf$", r'resource\s+"random_password"', "its value would be in the state: take the ephemeral one"),
    (r"", r"\b(AKIA|ASIA)[0-9A-Z]{16}\b", "an AWS access key"),
    (r"", r"-----BEGIN (RSA |EC |OPENSSH )?PRIVATE KEY-----\n[A-Za-z0-9+/=]{40}", "a private key"),
    (r"\.tfvars(\.json)?$", r"(?i)(password|secret_key|fernet_key)\"?\s*[=:]\s*\"[^\"]+\"", "a secret in a variable file"),
]


def faults(name, text):
    for files, pattern, why in RULES:
        if re.search(files, name):
            for found in re.finditer(pattern, text):
                yield f"{name}:{text.count(chr(10), 0, found.start()) + 1}: {why}"


def main():
    found = []
    for name in sys.argv[1:]:
        try:
            found += faults(name, pathlib.Path(name).read_text(encoding="utf-8"))
        except (UnicodeDecodeError, IsADirectoryError):
            continue
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
