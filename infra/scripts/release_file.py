#!/usr/bin/env python3
"""The release file: which images run, by digest. It is all that a deployment and a rollback take.

  release_file.py write NAME=REPOSITORY@sha256:DIGEST ...   prints it
  release_file.py check FILE ...                            64 and a reason where one is none
"""
import json
import re
import sys

NEEDED, KNOWN = {"airflow", "s3sync"}, {"airflow", "s3sync", "queue_metrics"}


def fault(text):
    """Why this is no release file; None where it is one."""
    try:
        content = json.loads(text)
    except ValueError as e:
        return f"no JSON: {e}"
    release = content.get("release") if isinstance(content, dict) else None
    if not isinstance(release, dict) or set(content) != {"release"}:
        return "it holds `release` and nothing else"
    if NEEDED - set(release):
        return f"no image of {', '.join(sorted(NEEDED - set(release)))}"
    if set(release) - KNOWN:
        return f"nobody runs {', '.join(sorted(set(release) - KNOWN))}: {', '.join(sorted(KNOWN))}"
    for name, image in release.items():
        if not re.fullmatch(r"[^\s@]+@sha256:[0-9a-f]{64}", str(image)):
            return f"{name} is {image}, which is no REPOSITORY@sha256:DIGEST"
    return None


def main(arguments):
    command, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if command == "write" and rest:
        text = json.dumps({"release": {name.replace("-", "_"): image for name, image in (r.split("=", 1) for r in rest)}}, indent=2)
        why = fault(text)
        if not why:
            print(text)
            return 0
        print(f"release: {why}", file=sys.stderr)
        return 64
    if command == "check" and rest:
        for name in rest:
            with open(name, encoding="utf-8") as f:
                why = fault(f.read())
            if why:
                print(f"{name} is no release file: {why}", file=sys.stderr)
                return 64
        return 0
    print(__doc__, file=sys.stderr)
    return 64


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
