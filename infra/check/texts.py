"""Scripts, workflows, Dockerfiles, and what the pages say: by their own linters, and against what is there."""
import pathlib
import re
import subprocess
import sys

import check as base
import quick


def jobs(repository):
    return [("shellcheck", shellcheck, (repository,)), ("hadolint", hadolint, (repository,)),
            ("workflows: schema", workflow_schema, (repository,)), ("workflows: zizmor", zizmor, (repository,)),
            ("quick checks", quick_checks, (repository,)), ("runbooks", runbooks, (repository,)), ("modules' pages", readmes, (repository,))]


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


def runbooks(repository):
    """Each alarm's page is there, and what pages name exists: files, scripts, targets of make, options of the programs."""
    folder = repository / "docs" / "runbooks"
    alarms = (repository / "infra/modules/observability/alarms.tf").read_text()
    wrong = [f"alarms.tf names {p}, which is not there" for p in sorted(set(re.findall(r'page = "([\w.-]+)"', alarms))) if not (folder / p).is_file()]
    targets = set(re.findall(r"^([a-z0-9-]+):", (repository / "Makefile").read_text(), re.M))
    pages = [*folder.glob("*.md"), repository / "docs" / "infra.md"]
    import containers
    helps = {}
    for page in pages:
        text = page.read_text()
        for link in re.findall(r"\]\((?!http|#)([^)#]+)", text):
            if not (page.parent / link).exists():
                wrong.append(f"{page.name}: {link} is not there")
        for name in re.findall(r"\b(infra/[\w./-]+\.(?:sh|py|tf|json))", text):
            # A variable file is whoever's own.
            if not (repository / name).exists() and ".tfvars" not in name:
                wrong.append(f"{page.name}: {name} is not there")
        for target in re.findall(r"\bmake ([a-z][a-z0-9-]+)", " ".join(re.findall(r"```sh\n(.*?)```", text, re.S))):
            if target not in targets:
                wrong.append(f"{page.name}: make {target} is no target")
        for line in " ".join(re.findall(r"```sh\n(.*?)```", text, re.S)).replace("\\\n", " ").splitlines():
            for program, command in re.findall(r"(?:^|\$\()(s3sync|queue-metrics|entrypoint) ((?:--|[a-z])[^|;&]*)", line):
                if program not in helps:
                    helps[program] = everything(containers.program(program, repository))
                wrong += [f"{page.name}: {program} has no {o}" for o in re.findall(r"(?<!\S)--[a-z][a-z-]+", command) if o not in helps[program]]
    if wrong:
        raise base.Fault("\n".join(sorted(set(wrong))))
    return f"{len(pages)} pages"


def everything(program):
    """All help texts of a program."""
    text = subprocess.run([program, "--help"], text=True, capture_output=True, check=False).stdout
    for command in re.findall(r"^  ([a-z]+)  ", text, re.M):
        text += subprocess.run([program, command, "--help"], text=True, capture_output=True, check=False).stdout
    return text


def readmes(repository):
    """Each module has its files, and a page whose example names variables that it has."""
    wrong = []
    for module in sorted((repository / "infra/modules").iterdir()):
        wrong += [f"{module.name} has no {f}" for f in ("main.tf", "variables.tf", "outputs.tf", "versions.tf", "README.md") if not (module / f).is_file()]
        if (module / "README.md").is_file():
            known = set(re.findall(r'^variable "(\w+)"', (module / "variables.tf").read_text(), re.M)) | {"source", "count", "for_each"}
            example = re.search(r"```hcl\n(.*?)```", (module / "README.md").read_text(), re.S)
            if not example:
                wrong.append(f"{module.name}: README.md has no example")
                continue
            used = set(re.findall(r"^  (\w+) +=", example[1], re.M))
            wrong += [f"{module.name}: README.md names {u}, which is no variable" for u in sorted(used - known)]
    if wrong:
        raise base.Fault("\n".join(wrong))


if __name__ == "__main__":
    sys.exit("texts.py is a part of check.py")
