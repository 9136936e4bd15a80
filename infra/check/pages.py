"""What the pages say, against what is there: files, commands, alarms, steps, variables, reasons."""
import re
import subprocess

import check as base
import commands
import containers

ALARM_ROW = re.compile(r"^\| (`[^|]+) \| \[[\w.-]+\]\(([\w.-]+\.md)\) \|$", re.M)


def jobs(repository):
    return [("runbooks", runbooks, (repository,)), ("aws commands", aws, (repository,)), ("alarms have a page", alarms, (repository,)),
            ("names in commands", names, (repository,)), ("docs/infra.md", infra_page, (repository,)),
            ("modules' pages", readmes, (repository,)), ("validations are refused", validations, (repository,)),
            ("twins are alike", twins, (repository,))]


def pages(repository):
    return [*sorted((repository / "docs/runbooks").glob("*.md")), repository / "docs/infra.md"]


def shell(text):
    """The commands of a page, each on one line."""
    return "\n".join(re.findall(r"```sh\n(.*?)```", text, re.S)).replace("\\\n", " ")


def judged(wrong, note):
    if wrong:
        raise base.Fault("\n".join(sorted(set(wrong))))
    return note


def runbooks(repository):
    """What pages name exists: files, scripts, targets of make, options of the programs."""
    wrong, helps = [], {}
    targets = set(re.findall(r"^([a-z0-9-]+):", (repository / "Makefile").read_text(), re.M))
    for page in pages(repository):
        text = page.read_text()
        for link in re.findall(r"\]\((?!http|#)([^)#]+)", text):
            if not (page.parent / link).exists():
                wrong.append(f"{page.name}: {link} is not there")
        for link, anchor in re.findall(r"\]\(([\w./-]*\.md)?#([\w-]+)\)", text):
            there = page.parent / link if link else page
            if there.is_file() and anchor not in anchors(there.read_text()):
                wrong.append(f"{page.name}: {link}#{anchor} is no heading")
        for name in re.findall(r"\b(infra/[\w./-]+\.(?:sh|py|tf|json))", text):
            # A variable file is whoever's own.
            if not (repository / name).exists() and ".tfvars" not in name:
                wrong.append(f"{page.name}: {name} is not there")
        for target in re.findall(r"\bmake ([a-z][a-z0-9-]+)", shell(text)):
            if target not in targets:
                wrong.append(f"{page.name}: make {target} is no target")
        for line in shell(text).splitlines():
            for program, command in re.findall(r"(?:^|\$\()(s3sync|queue-metrics|entrypoint) ((?:--|[a-z])[^|;&]*)", line):
                if program not in helps:
                    helps[program] = everything(containers.program(program, repository))
                wrong += [f"{page.name}: {program} has no {o}" for o in re.findall(r"(?<!\S)--[a-z][a-z-]+", command) if o not in helps[program]]
    return judged(wrong, f"{len(pages(repository))} pages")


def anchors(text):
    """The headings as GitHub's links call them."""
    return {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.+)$", text, re.M)}


def everything(program):
    """All help texts of a program."""
    text = subprocess.run([program, "--help"], text=True, capture_output=True, check=False).stdout
    for command in re.findall(r"^  ([a-z]+)  ", text, re.M):
        text += subprocess.run([program, command, "--help"], text=True, capture_output=True, check=False).stdout
    return text


def aws(repository):
    """Every `aws` command is one that the CLI has; and the check sees one that is not."""
    planted = {"aws ecs update-services --cluster c": "there is no", "aws ecs update-service --cluster c": "needs --service",
               "aws ecs update-service --service s --clusters c": "has no --clusters", "aws rds wait db-there": "has no db-there",
               "aws ecs describe-services --services s --query 'services[0].[running]'": "no running in Service"}
    wrong = [f"a planted fault is not seen: {command}" for command, why in planted.items()
             if not any(why in f for w in commands.found(command) for f in commands.faults(w))]
    count = 0
    for file in [*pages(repository), *sorted((repository / "infra/scripts").iterdir()), *sorted((repository / ".github/workflows").glob("*.yml"))]:
        if file.is_file():
            for words in commands.found(file.read_text()):
                count += 1
                wrong += [f"{file.name}: {f}" for f in commands.faults(words)]
    return judged(wrong, f"{count} commands")


def alarm_pages(repository):
    """Each alarm's name, as CloudWatch has it behind the environment's, to its page; SERVICE and N where there is one for each."""
    text = (repository / "infra/modules/observability/alarms.tf").read_text()
    found = re.findall(r"^    \"?([a-z$][^\n\"=]*?)\"? = \{\n(.*?)^    \}", text, re.M | re.S)
    return {re.sub(r"\$\{[^}]*\}", "N", name.replace("${s}", "SERVICE")): re.search(r'page = "([\w.-]+)"', body)[1] for name, body in found}


def alarms(repository):
    """The table of operations.md has every alarm once, with the page that the alarm itself names, and that page names the alarm."""
    folder = repository / "docs/runbooks"
    rows = [(name, page) for names, page in ALARM_ROW.findall((folder / "operations.md").read_text()) for name in re.findall(r"`([^`]+)`", names)]
    wrong, known = [], alarm_pages(repository)
    for alarm, page in known.items():
        told = [p for name, p in rows if name == alarm]
        if told != [page]:
            wrong.append(f"operations.md leads from {alarm} to {told}, and the alarm to {page}")
        if not (folder / page).is_file():
            wrong.append(f"alarms.tf names {page}, which is not there")
        elif f"`{alarm}`" not in (folder / page).read_text():
            wrong.append(f"{page} does not name {alarm}")
    for name, _ in rows:
        if name not in known:
            wrong.append(f"operations.md has {name}, which is no alarm")
    for page in sorted(set(known.values())):
        text = (folder / page).read_text() if (folder / page).is_file() else ""
        wrong += [f"{page} has no '{part}'" for part in ("**Means.**", "**Look.**", "**Do.**") if part not in text]
    return judged(wrong, f"{len(known)} alarms")


def names(repository):
    """Log groups, services, secrets, events and outputs that commands name are those that Terraform makes and the programs log."""
    modules = "\n".join(f.read_text() for f in (repository / "infra/modules").rglob("*.tf"))
    secrets = set(re.findall(r'\$\{var\.name\}/([a-z-]+)"', modules)) | {"secret-key", "jwt-secret", "fernet-key", "admin-password"}
    services = {"api-server", "webserver", "scheduler", "dag-processor", "triggerer", "worker", "dag-sync"}
    sources = "\n".join(f.read_text() for crate in ("s3sync", "entrypoint", "queue-metrics", "agent") for f in (repository / crate).rglob("src/**/*.rs")) \
        if (repository / "agent").is_dir() else ""
    events = set(re.findall(r'event = "(\w+)"', sources)) | set(re.findall(r'event: "(\w+)"', sources))
    wrong = []
    for page in pages(repository):
        text = shell(page.read_text())
        wrong += [f"{page.name}: no log group /$NAME/{g}" for g in re.findall(r"/\$NAME/([a-z-]+)", text) if g not in services | {"debug", "flow"}]
        wrong += [f"{page.name}: no service {s}" for found in re.findall(r"--services? ((?:[a-z][a-z-]+ ?)+)", text) for s in found.split() if s not in services]
        wrong += [f"{page.name}: no service {s}" for found in re.findall(r"for service in ([a-z -]+);", text) for s in found.split() if s not in services]
        wrong += [f"{page.name}: no secret {s}" for s in re.findall(r"--secret-id \$NAME/([a-z-]+)", text) if s not in secrets]
        wrong += [f"{page.name}: no task definition $NAME-{d}" for d in re.findall(r"(?:one-off\.sh(?: -e \S+)* \S+|--task-definition) \$NAME-([a-z-]+)", text)
                  if d not in services | {"debug"}]
        for module, kind, name in re.findall(r"'module\.airflow\.module\.([\w-]+)\.(aws_\w+)\.(\w+)", text):
            if f'resource "{kind}" "{name}"' not in "".join(f.read_text() for f in (repository / "infra/modules" / module).glob("*.tf")):
                wrong.append(f"{page.name}: no {kind}.{name} in {module}")
        for event in re.findall(r'\$\.event = "([\w*]+)"', text) if events else []:
            if not any(re.fullmatch(event.replace("*", ".*"), known) for known in events):
                wrong.append(f"{page.name}: nobody logs the event {event}")
    return judged(wrong, f"{len(events)} events")


def infra_page(repository):
    """At most six steps, under an hour, and each complaint answered by code that stands where the page says."""
    text = (repository / "docs/infra.md").read_text()
    section = text[text.index("\n## From an empty account"):text.index("\n## Modules")]
    steps = re.findall(r"^(\d+)\. ", section, re.M)
    wrong = [] if 1 <= len(steps) <= 6 else [f"{len(steps)} steps from an empty account"]
    minutes = [int(m) for m in re.findall(r"^\| together[^|]*\|[^|\n]*?(\d+)[^|\d]*\|?$", section, re.M)]
    longest = [max(int(n) for n in re.findall(r"\d+", row)) for row in re.findall(r"^\| (?!together)[^|]+\| ([^|]*\d[^|]*) \|$", section, re.M)]
    if not minutes or not longest or max(minutes) >= 60:
        wrong.append(f"the times of an apply are not below 60 minutes: {minutes}")
    complaints = text[text.index("\n## What others complain about"):text.index("\n## How it is checked")]
    rows = [r for r in complaints.splitlines() if r.startswith("| ") and not r.startswith(("| complaint", "|---"))]
    for row in rows:
        answers = re.findall(r"`([^`]+)` in \[[^]]+\]\(\.\./([^)]+)\)", row)
        if not answers:
            wrong.append(f"no line answers the complaint: {row}")
        wrong += [f"docs/infra.md: '{code}' does not stand in {file}" for code, file in answers
                  if code.replace("\\|", "|") not in re.sub(r"[ \t]+", " ", (repository / file).read_text())]
    return judged(wrong, f"{len(steps)} steps, {len(rows)} complaints")


def readmes(repository):
    """Each module has its files, and a page whose example names variables that it has."""
    wrong = []
    modules = [m for m in sorted((repository / "infra/modules").iterdir()) if m.is_dir()]
    for module in modules:
        wrong += [f"{module.name} has no {f}" for f in ("main.tf", "variables.tf", "outputs.tf", "versions.tf", "README.md") if not (module / f).is_file()]
        if (module / "README.md").is_file():
            known = set(re.findall(r'^variable "(\w+)"', (module / "variables.tf").read_text(), re.M)) | {"source", "count", "for_each"}
            example = re.search(r"```hcl\n(.*?)```", (module / "README.md").read_text(), re.S)
            if not example:
                wrong.append(f"{module.name}: README.md has no example")
                continue
            used = set(re.findall(r"^  (\w+) +=", example[1], re.M))
            needed = {v for v, body in variables(module) if "\n  default " not in body}
            wrong += [f"{module.name}: README.md names {u}, which is no variable" for u in sorted(used - known)]
            wrong += [f"{module.name}: README.md's example lacks {n}" for n in sorted(needed - used)]
    return judged(wrong, f"{len(modules)} modules")


def variables(folder):
    return [(name, body) for f in sorted(folder.glob("*.tf")) for name, body in re.findall(r'^variable "(\w+)" \{(.*?)^\}', f.read_text(), re.M | re.S)]


def validations(repository):
    """For each validation of a variable there is a test that expects the variable to be refused."""
    wrong, count = [], 0
    for module in [*sorted((repository / "infra/modules").iterdir()), repository / "infra/bootstrap"]:
        tests = "\n".join(f.read_text() for f in module.glob("tests/*.hcl"))
        refused = re.findall(r"expect_failures = \[var\.(\w+)\]", tests)
        for name, body in variables(module):
            count += body.count("validation {")
            if refused.count(name) < body.count("validation {"):
                wrong.append(f"{module.name}: {name} has {body.count('validation {')} validations, and {refused.count(name)} tests that expect it to be refused")
            wrong += [f"{module.name}: {name} has no description" for _ in [0] if "description" not in body]
    return judged(wrong, f"{count} validations")


# Pairs of resources of which one ignores what somebody else owns, and what else they may differ in.
TWINS = [("airflow-service/service.tf", "aws_ecs_service", "fixed", "scaled", r"count|wait_for_steady_state"),
         ("autoscaling/main.tf", "aws_appautoscaling_target", "this", "scheduled", r"count")]


def twins(repository):
    """Two resources that say the same, because `ignore_changes` takes no condition, do say the same."""
    wrong = []
    for file, kind, one, other, own in TWINS:
        text = (repository / "infra/modules" / file).read_text()
        bodies = []
        for name in (one, other):
            body = re.search(rf'^resource "{kind}" "{name}" \{{\n(.*?)^\}}', text, re.M | re.S)[1]
            body = re.sub(r"^  lifecycle \{\n.*?^  \}\n", "", body, flags=re.M | re.S)
            bodies.append([re.sub(r"\s+", " ", line) for line in body.splitlines() if not re.match(rf"\s*(#|({own})\s*=)", line)])
        if bodies[0] != bodies[1]:
            wrong += [f"{file}: {kind}.{one} and .{other} differ in '{line.strip()}'" for line in sorted(set(bodies[0]) ^ set(bodies[1])) or ["their order"]]
    return judged(wrong, f"{len(TWINS)} pairs")
