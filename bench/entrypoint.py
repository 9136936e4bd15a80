#!/usr/bin/env python3
"""entrypoint beside Airflow's own commands and other inits; writes docs/benchmarks-entrypoint.md.

    bench/entrypoint.py                  everything, about five minutes once Airflow is installed
    bench/entrypoint.py --quick          few runs and no services together; writes and judges nothing
    bench/entrypoint.py --only starts    one case, writes nothing

Needs Linux, Python 3.11, PostgreSQL's server, a C compiler and a release build of entrypoint. Airflow,
moto and the other inits come from PyPI and Debian by themselves.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

sys.dont_write_bytecode = True

import starting  # noqa: E402
import venvs  # noqa: E402
from cases import say  # noqa: E402
from containers import copied, parameters, shared, stand_in  # noqa: E402
from entrypoint_page import goals, page  # noqa: E402
from goals import read_binary  # noqa: E402
from measure import BenchError  # noqa: E402
from servers import Postgres, Ssm  # noqa: E402
from starting import Results, Setup  # noqa: E402

CASES = ("together", "starts", "moto", "memory", "many", "airflow", "binary")


def main() -> int:
    options = arguments()
    # So that a SIGTERM unwinds, and every `with` ends its processes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    work = Path(tempfile.mkdtemp(prefix="entrypoint-bench-"))
    try:
        return bench(options, work)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if options.keep:
            print(f"bench: kept {work}", file=sys.stderr)
        else:
            shutil.rmtree(work, ignore_errors=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    target = Path(os.environ.get("CARGO_TARGET_DIR", venvs.ROOT / "target"))
    built = target / os.environ.get("CARGO_BUILD_TARGET", "x86_64-unknown-linux-gnu") / "release"
    parser.add_argument("--entrypoint", type=Path, default=built / "entrypoint", metavar="PROGRAM")
    parser.add_argument("--quick", action="store_true", help="few runs, no services together")
    parser.add_argument("--together", type=int, metavar="N",
                        help="real services started at once; default: 20, fewer on small machines")
    parser.add_argument("--image-script", type=Path, metavar="FILE",
                        help="Airflow's scripts/docker/entrypoint_prod.sh, to be measured too")
    parser.add_argument("--keep", action="store_true", help="keep the directory with the logs")
    parser.add_argument("--only", action="append", choices=CASES, metavar="CASE",
                        help=f"may be repeated: {', '.join(CASES)}")
    return parser.parse_args()


def default_together() -> int:
    """A real service takes some 250 MB and several seconds of CPU to start."""
    gigabytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    return max(5, min(20, int(gigabytes * 2), 10 * (os.cpu_count() or 1)))


def bench(options: argparse.Namespace, work: Path) -> int:
    shared(work)
    began = time.monotonic()
    program = copied(options.entrypoint.resolve(), work)
    venv, keys = venvs.airflow(), starting.make_keys()
    results, failures = Results(), []
    wanted = set(options.only or CASES)
    if options.quick:
        wanted.discard("together")
    with ExitStack() as stack:
        postgres = stack.enter_context(Postgres(work))
        ssm = stack.enter_context(Ssm(parameters(postgres.port, postgres.PASSWORD, keys)))
        setup = Setup(
            program=program, work=work, venv=venv, stand_in=stand_in(venv, work),
            postgres=postgres, ssm=ssm, keys=keys,
            runs=5 if options.quick else 40, slow_runs=1 if options.quick else 5,
            together=options.together or default_together(), many=10 if options.quick else 50,
            image_script=options.image_script and options.image_script.resolve(),
        )
        if "together" not in wanted:
            starting.prepare(setup)
        steps = {
            "together": starting.together, "starts": starting.starts, "moto": starting.with_moto,
            "memory": starting.memory, "many": starting.many, "airflow": starting.airflow,
            "binary": lambda *_: setattr(results, "binary", read_binary(program)),
        }
        for name, step in steps.items():
            if name not in wanted:
                continue
            try:
                step(setup, results)
            except BenchError as error:
                failures.append(f"{name}: {error}")
                say(f"FAILED {failures[-1]}")
        text = page(results, setup)
    print(text)
    for failure in failures:
        print(f"bench: {failure}", file=sys.stderr)
    if not (options.quick or options.only or failures):
        (venvs.ROOT / "docs/benchmarks-entrypoint.md").write_text(text)
        say("wrote docs/benchmarks-entrypoint.md")
    say(f"took {time.monotonic() - began:.0f} s")
    missed = [] if options.quick else [goal for goal in goals(results) if goal.met is False]
    for goal in missed:
        say(f"not met: {goal.case}: {goal.found}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
