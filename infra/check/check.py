#!/usr/bin/env python3
"""make check-infra: everything that can be known of infra/ without an AWS account.

  check.py [PART ...]     parts: fmt, tests, roots, checkov, policies, texts; all of them without one.
                          tests=NAME and roots=NAME: those alone whose name begins so

Terraform gets its providers from the stand-in that TFSCHEMA names (a folder with install.py, keep.py and
valuecheck.py), or else downloads them, which needs a network. All of it runs in a copy: no lock file and
no state of a check ever reaches a deployment.
"""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import venv

HERE = pathlib.Path(__file__).resolve().parent
INFRA = HERE.parent
REPOSITORY = INFRA.parent
PARTS = ("fmt", "tests", "roots", "checkov", "policies", "texts")


def main():
    if sys.argv[1:2] == ["--job"]:
        sys.exit(job(*sys.argv[2:]))
    parts = sys.argv[1:] or list(PARTS)
    unknown = [p for p in parts if p.split("=")[0] not in PARTS]
    if unknown:
        sys.exit(f"check-infra: no part '{unknown[0]}': {', '.join(PARTS)}")
    if {p.split("=")[0] for p in parts} & {"fmt", "tests", "roots"} and not shutil.which("terraform"):
        sys.exit("check-infra: terraform is not on the PATH; install Terraform 1.11 or newer")
    if os.environ.get("CHECK_INFRA_INSIDE"):
        sys.exit(inside(parts))
    tools = environment("tools", [HERE / "requirements.txt", *stand_in_requirements()])
    os.environ["PATH"] = f"{tools.parent}{os.pathsep}{os.environ['PATH']}"
    os.environ["CHECKOV"] = str(environment("checkov", [HERE / "checkov.txt"]).parent / "checkov") if "checkov" in parts else ""
    with tempfile.TemporaryDirectory(prefix="check-infra") as work:
        os.environ.update(CHECK_INFRA_INSIDE=work, CHECKPOINT_DISABLE="1", TF_IN_AUTOMATION="1", TF_INPUT="0",
                          AWS_REGION="eu-west-1", PYTHONDONTWRITEBYTECODE="1", PYTHONWARNINGS="ignore")
        with_providers(tools, work)
        sys.exit(subprocess.run([tools, __file__, *parts], check=False).returncode)


def stand_in():
    """The folder of the stand-in, or None where Terraform downloads its providers."""
    named = os.environ.get("TFSCHEMA")
    if not named:
        return None
    folder = pathlib.Path(named)
    folder = folder if folder.is_absolute() else REPOSITORY / folder
    if not (folder / "keep.py").is_file():
        sys.exit(f"check-infra: TFSCHEMA names {named}, and no stand-in is there; unset it where there is a network")
    return folder.resolve()


def stand_in_requirements():
    return [stand_in() / "requirements.txt"] if stand_in() else []


def environment(name, requirements):
    """The Python of an environment with these requirements, made once and kept."""
    text = b"".join(r.read_bytes() for r in requirements) + sys.version.encode()
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "trimtab"
    place = cache / f"infra-{name}-{hashlib.sha256(text).hexdigest()[:12]}"
    python = place / "bin" / "python"
    if not (place / "ready").exists():
        print(f"check-infra: installing {name} ({', '.join(r.name for r in requirements)})", flush=True)
        shutil.rmtree(place, ignore_errors=True)
        venv.create(place, with_pip=True)
        arguments = [a for r in requirements for a in ("-r", r)]
        if subprocess.run([python, "-m", "pip", "install", "-q", *arguments], check=False).returncode:
            sys.exit("check-infra: the tools cannot be installed with pip; is there a network or a mirror?")
        (place / "ready").touch()
    return python


def with_providers(python, work):
    """Lets Terraform find the stand-in in the place of a registry."""
    folder = stand_in()
    if not folder:
        # One download for all configurations; the first init of all is made alone.
        os.environ.update(TF_PLUGIN_CACHE_DIR=f"{work}/plugins", TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE="1")
        os.mkdir(f"{work}/plugins")
        print("check-infra: no TFSCHEMA: providers are downloaded; plans that need an account are not made", flush=True)
        return
    schemas = [folder / "aws.json", folder / "random.json"]
    subprocess.run([python, folder / "install.py", f"{work}/home", *schemas], check=True, stdout=subprocess.DEVNULL)
    os.environ["TF_CLI_CONFIG_FILE"] = f"{work}/home/terraform.rc"


def own_providers():
    """The beginning of a command whose runs of Terraform share one stand-in, which holds one configuration."""
    folder = stand_in()
    return [sys.executable, folder / "keep.py", folder / "aws.json", folder / "random.json", "--"] if folder else []


# ---- inside: with tools and providers at hand -----------------------------------------------------------

def inside(parts):
    work = pathlib.Path(os.environ["CHECK_INFRA_INSIDE"])
    copy = work / "infra"
    shutil.copytree(INFRA, copy, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*", "__pycache__"))
    if not stand_in() and {p.split("=")[0] for p in parts} & {"tests", "roots"}:
        # Of both providers, into the cache.
        try:
            run("terraform", "init", "-backend=false", "-no-color", cwd=copy / "modules" / "data")
        except Fault:
            print("check-infra: TFSCHEMA names no stand-in, and Terraform cannot download its providers: set it, or check the network", file=sys.stderr)
            return 1
    jobs, only = [], {p.split("=")[0]: p.split("=")[1] for p in parts if "=" in p}
    parts = [p.split("=")[0] for p in parts]
    if "fmt" in parts:
        jobs.append(("fmt", fmt, ()))
    # The long ones first.
    if "checkov" in parts:
        jobs.append(("checkov", checkov, ()))
    if "roots" in parts and stand_in():
        import roots
        jobs += [(f"root {name}", apart, ("root", name)) for name in roots.variants() if name.startswith(only.get("roots", ""))]
    if "tests" in parts:
        # The largest first.
        every = sorted(folders(copy), key=lambda f: f.name != "airflow")
        jobs += [(f"test {m.relative_to(copy)}", apart, ("module", m)) for m in every
                 if str(m.relative_to(copy)).startswith(only.get("tests", ""))]
    if "policies" in parts:
        import policies
        jobs.append(("policies refuse", policies.refusals, (INFRA / "policies",)))
    if "texts" in parts:
        import texts
        jobs += texts.jobs(REPOSITORY)
    failed, started = [], time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 2)) as pool:
        futures = {pool.submit(timed, function, *arguments): name for name, function, arguments in jobs}
        for future in concurrent.futures.as_completed(futures):
            seconds, fault, note = future.result()
            print(f"{'FAIL' if fault else 'ok':4} {seconds:5.1f} s  {futures[future]}{': ' + note if note else ''}", flush=True)
            if fault:
                failed.append(futures[future])
                print("      " + fault.strip().replace("\n", "\n      "), flush=True)
    print(f"check-infra: {len(jobs) - len(failed)} passed, {len(failed)} failed, {time.monotonic() - started:.0f} s")
    return 1 if failed else 0


def apart(*arguments):
    """A job in a process of its own, with its own providers."""
    return run(*own_providers(), sys.executable, __file__, "--job", *arguments).strip().splitlines()[-1]


def job(kind, name):
    work = pathlib.Path(os.environ["CHECK_INFRA_INSIDE"])
    try:
        if kind == "module":
            print(module(pathlib.Path(name)))
        else:
            import roots
            print(roots.check(work, work / "infra", name))
    except Exception as e:  # noqa: BLE001 - told by the process that waits
        if type(e).__name__ not in ("Fault", "AssertionError"):
            raise
        print(e, file=sys.stderr)
        return 1
    return 0


class Fault(Exception):
    """A check that failed, with what to read."""


def timed(function, *arguments):
    start, fault, note = time.monotonic(), "", ""
    try:
        note = function(*arguments) or ""
    except Exception as e:  # noqa: BLE001 - a fault of a check must be told, not end the others
        known = isinstance(e, (Fault, AssertionError)) or type(e).__name__ == "Fault"
        fault = str(e) if known else f"{type(e).__name__}: {e}"
    return time.monotonic() - start, fault, note


def run(*command, cwd=None, env=None, ok=(0,)):
    """The command's stdout; a Fault with all it said where it ends with another code."""
    done = subprocess.run([str(c) for c in command], cwd=cwd, env={**os.environ, **(env or {})}, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode not in ok:
        raise Fault(f"{' '.join(map(str, command))[:200]} ended with {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-6000:]}")
    return done.stdout


def folders(copy):
    """Every folder that is a configuration of its own."""
    return sorted({f.parent for f in copy.rglob("*.tf") if ".terraform" not in f.parts})


def fmt():
    run("terraform", "fmt", "-check", "-recursive", "-diff", INFRA)


def module(folder):
    run("terraform", "init", "-backend=false", "-no-color", cwd=folder)
    run("terraform", "validate", "-no-color", cwd=folder)
    if not (folder / "tests").is_dir() or not stand_in():
        return "validated"
    said = run("terraform", "test", "-no-color", cwd=folder)
    return said.strip().splitlines()[-1]


def checkov():
    """What fails must be what a comment beside it skips with a reason: no more, and no less."""
    # Without the comments, since checkov counts a skip whether or not its check would fail.
    bare = pathlib.Path(os.environ["CHECK_INFRA_INSIDE"]) / "bare"
    shutil.copytree(INFRA, bare, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*", "__pycache__"))
    written = []
    for file in sorted(bare.rglob("*.tf")):
        text = file.read_text(encoding="utf-8")
        written += [(str(file.relative_to(bare)), number, *found.groups()) for number, line in enumerate(text.splitlines(), 1)
                    for found in [re.search(r"checkov:skip=(\w+):?(.*)", line)] if found]
        file.write_text(text.replace("checkov:skip=", "no skip "), encoding="utf-8")
    out = json.loads(run(os.environ["CHECKOV"], "-d", bare, "--framework", "terraform", "--compact", "--quiet", "--skip-download", "--output", "json",
                         env={"LOG_LEVEL": "ERROR"}, ok=(0, 1)))
    failed = [(f["file_path"].lstrip("/"), f["file_line_range"], f["check_id"], f["resource"], f["check_name"]) for f in out["results"]["failed_checks"]]
    wrong = [f"{file}: {resource}: {check} {name}" for file, lines, check, resource, name in failed
             if not any((file, check) == (w[0], w[2]) and lines[0] <= w[1] <= lines[1] for w in written)]
    for file, number, check, reason in written:
        if len(reason.split()) < 4 or re.match(r"\s*(as|see) (above|below)", reason):
            wrong.append(f"{file}:{number}: {check} is skipped without a reason of its own")
        if not any((file, check) == (f[0], f[2]) and f[1][0] <= number <= f[1][1] for f in failed):
            wrong.append(f"{file}:{number}: {check} is skipped, and would not fail")
    if wrong or out["summary"]["parsing_errors"] or not out["summary"]["passed"]:
        raise Fault("\n".join(sorted(set(wrong))) or str(out["summary"]))
    return f"{out['summary']['passed']} passed, {len(failed)} explained by {len(written)} comments"


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    main()
