"""Checks every crate of the lock file against deny.toml: licence, bans, source, yanked, advisories.

    python3 ci/dependencies.py                   as CI runs it; needs no network but the registry
    python3 ci/dependencies.py --database DIR    with a checkout of the RustSec advisory database
                                                 instead of the list in ci/advisories.toml

It stands in for cargo-deny where that database is out of reach (docs/adr/0001-dependency-check.md).
What it cannot read (a licence expression, a version requirement) is a failure, never a pass.
"""

import argparse
import datetime
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import tomllib

import requirement
import spdx

ROOT = pathlib.Path(__file__).resolve().parent.parent
# How cargo names the default registry in a lock file, whatever mirror it downloads from.
REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"
ADVISORIES_GROW_OLD_AFTER = datetime.timedelta(days=120)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--database", type=pathlib.Path, metavar="DIR")
    arguments = arguments.parse_args()
    policy = tomllib.loads((ROOT / "deny.toml").read_text())
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    external = [package for package in locked if "source" in package]
    built, members = built_packages(policy["graph"]["targets"])
    if arguments.database:
        advisories, notes = database(arguments.database), []
    else:
        kept = tomllib.loads((ROOT / "ci" / "advisories.toml").read_text())
        advisories, notes = kept["advisory"], age_notes(kept["reviewed"], datetime.date.today())

    problems = (
        licence_problems(built, policy["licenses"]["allow"])
        + ban_problems(locked, policy["bans"]["deny"])
        + source_problems(locked, members)
        + yanked_problems(external)
        + advisory_problems(external, advisories, policy["advisories"]["ignore"])
    )
    for name, versions in sorted(several_versions(external).items()):
        notes.append(f"several versions of {name}: {', '.join(versions)}")
    for note in notes:
        print(f"note: {note}")
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    print(
        f"dependencies: {len(external)} crates locked, {len(built)} licences and "
        f"{len(advisories)} advisories checked, {len(problems)} problems"
    )
    return 1 if problems else 0


def licence_problems(packages, allowed):
    """A crate whose licence cannot be met with the allowed ones alone."""
    problems = []
    for package in packages:
        name = f"{package['name']} {package['version']}"
        expression = package.get("license")
        if not expression:
            problems.append(f"{name} names no licence")
            continue
        try:
            if not spdx.met_by(expression, set(allowed)):
                problems.append(f"the licence of {name} is '{expression}', which deny.toml does not allow")
        except ValueError as error:
            problems.append(f"the licence of {name} cannot be read: {error}")
    return problems


def ban_problems(packages, bans):
    """A crate that is banned, or of which there may be one version only."""
    problems = []
    for ban in bans:
        versions = [package["version"] for package in packages if package["name"] == ban["crate"]]
        most = 1 if ban.get("deny-multiple-versions") else 0
        if len(versions) > most:
            found = f"{ban['crate']} {', '.join(versions)}"
            problems.append(f"{found} is banned: {ban['reason']}; `cargo tree -i {ban['crate']}` says who brings it")
    return problems


def source_problems(packages, members):
    """A crate from anywhere but the default registry, or without a checksum."""
    problems = []
    for package in packages:
        name = f"{package['name']} {package['version']}"
        source = package.get("source")
        if source is None and package["name"] not in members:
            problems.append(f"{name} comes from a path outside of the workspace")
        elif source not in (None, REGISTRY):
            problems.append(f"{name} comes from {source}, not from the default registry")
        elif source and "checksum" not in package:
            problems.append(f"{name} has no checksum in Cargo.lock")
    return problems


def advisory_problems(packages, advisories, ignored):
    """A crate in a version that an advisory names."""
    ignored = {entry["id"] if isinstance(entry, dict) else entry for entry in ignored}
    problems = []
    for advisory in advisories:
        if advisory["id"] in ignored:
            continue
        safe = advisory.get("patched", []) + advisory.get("unaffected", [])
        for package in packages:
            if package["name"] != advisory["crate"]:
                continue
            if not any(requirement.matches(one, package["version"]) for one in safe):
                repaired = " or ".join(advisory.get("patched", [])) or "no version"
                problems.append(
                    f"{package['name']} {package['version']} has {advisory['id']}, {advisory['title']}; "
                    f"repaired in {repaired}"
                )
    return problems


def several_versions(packages):
    """Names with more than one version, and the versions."""
    versions = {}
    for package in packages:
        versions.setdefault(package["name"], []).append(package["version"])
    return {name: found for name, found in versions.items() if len(found) > 1}


def age_notes(reviewed, today):
    """A reminder and no failure: a check that fails by the calendar blocks whoever comes next."""
    if today - reviewed <= ADVISORIES_GROW_OLD_AFTER:
        return []
    return [f"ci/advisories.toml was reviewed on {reviewed}; its head says how to refresh it"]


def yanked_problems(packages):
    """A version that its authors took back.

    Cargo takes a yanked version that is locked without a word, but refuses to choose one. So it is
    asked to choose exactly ours in an empty package, until it refuses no more.
    """
    problems = []
    left = list(packages)
    while True:
        refusal = refused_choice(left)
        if refusal is None:
            return problems
        found = re.search(r'requirement `(\S+) = "=(\S+?)"`', refusal)
        if "is yanked" not in refusal or not found:
            return problems + [f"cargo cannot say which versions are yanked:\n{refusal}"]
        problems.append(f"{found[1]} {found[2]} was yanked; `cargo update -p {found[1]}@{found[2]}`")
        left = [one for one in left if (one["name"], one["version"]) != found.groups()]


def refused_choice(packages):
    """Cargo's refusal to lock exactly these versions, if it has one."""
    with tempfile.TemporaryDirectory() as directory:
        package = pathlib.Path(directory)
        (package / "lib.rs").touch()
        (package / "Cargo.toml").write_text(manifest(packages))
        command = ["cargo", "generate-lockfile"]
        online = subprocess.run(command, cwd=package, capture_output=True, text=True)
        if online.returncode == 0:
            return None
        if "is yanked" in online.stderr:
            return online.stderr
        # Without a network, what cargo learned when it fetched these crates has to do.
        offline = subprocess.run([*command, "--offline"], cwd=package, capture_output=True, text=True)
        return offline.stderr if offline.returncode else None


def manifest(packages):
    """A package that depends on exactly these versions, and on nothing by default."""
    head = '[package]\nname = "versions"\nversion = "0.0.0"\nedition = "2021"\n[lib]\npath = "lib.rs"\n[dependencies]\n'
    lines = (
        f'd{number} = {{ package = "{one["name"]}", version = "={one["version"]}", default-features = false }}\n'
        for number, one in enumerate(packages)
    )
    return head + "".join(lines)


def built_packages(targets):
    """The crates that are built for one of the targets, and the names of the workspace's own."""
    built, members = {}, set()
    for target in targets:
        command = ["cargo", "metadata", "--locked", "--format-version=1", f"--filter-platform={target}"]
        asked = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE)
        if asked.returncode:
            sys.exit(f"error: `{' '.join(command)}` failed; what it said stands above")
        metadata = json.loads(asked.stdout)
        used = {node["id"] for node in metadata["resolve"]["nodes"]}
        built |= {package["id"]: package for package in metadata["packages"] if package["id"] in used}
        own = set(metadata["workspace_members"])
        members |= {package["name"] for package in metadata["packages"] if package["id"] in own}
    return list(built.values()), members


def database(directory):
    """The advisories of a RustSec checkout, without those withdrawn or merely about upkeep."""
    advisories = []
    for path in sorted(directory.glob("crates/*/RUSTSEC-*.md")):
        text = path.read_text()
        head = tomllib.loads(re.search(r"```toml\n(.*?)```", text, re.S)[1])
        about = head["advisory"]
        if "withdrawn" in about or about.get("informational") in ("unmaintained", "notice"):
            continue
        title = re.search(r"^# (.*)", text, re.M)
        advisories.append({"crate": about["package"], "title": title[1] if title else "", **about, **head["versions"]})
    if not advisories:
        sys.exit(f"{directory}: no advisories there; it is no checkout of the RustSec database")
    return advisories


if __name__ == "__main__":
    sys.exit(main())
