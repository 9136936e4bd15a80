"""Scripts, workflows and Dockerfiles, by their own linters and tests."""
import pathlib
import subprocess
import sys

import check as base
import pages
import quick
import scripts


def jobs(repository):
    return [("scripts decide rightly", scripts.check, (repository,)), ("shellcheck", shellcheck, (repository,)), ("hadolint", hadolint, (repository,)),
            ("workflows: schema", workflow_schema, (repository,)), ("workflows: zizmor", zizmor, (repository,)),
            ("quick checks", quick_checks, (repository,)), *pages.jobs(repository)]


def shellcheck(repository):
    scripts = sorted((repository / "infra" / "scripts").glob("*.sh"))
    base.run("shellcheck", "--severity=style", *scripts)
    return f"{len(scripts)} scripts"


def hadolint(repository):
    files = sorted((repository / "docker").rglob("Dockerfile"))
    if files:
        base.run("hadolint", *files)
    return f"{len(files)} files"


def workflows(repository):
    return sorted((repository / ".github" / "workflows").glob("*.yml"))


def workflow_schema(repository):
    base.run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *workflows(repository))


def zizmor(repository):
    base.run("zizmor", "--offline", "--no-progress", "--persona=regular", *workflows(repository))


def quick_checks(repository):
    """Nothing of infra/ fails before a commit; and each rule can fail."""
    named = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "infra", ".github"], cwd=repository,
                           text=True, capture_output=True, check=False).stdout.split()
    found = [f for n in named if (repository / n).is_file() for f in quick.faults(n, (repository / n).read_text(encoding="utf-8"))
             if not n.startswith("infra/check/")]
    planted = {"a.tf": 'resource "aws_nat_gateway" "a" {}', "b.tf": 'cidr_ipv4 = "0.0.0.0/0"', "c.txt": "AKIA" + "A" * 16,
               "d.tfvars": 'db_password = "x"', "e.tf": 'resource "random_password" "a" {}'}
    found += [f"a planted fault is not seen: {n}" for n, text in planted.items() if not list(quick.faults(n, text))]
    if found:
        raise base.Fault("\n".join(found))
    return f"{len(named)} files"


if __name__ == "__main__":
    sys.exit("texts.py is a part of check.py")
