"""Tests of the dependency check, above all that it can fail: `python3 -B -m unittest discover -s ci`."""

import datetime
import pathlib
import tempfile
import tomllib
import unittest

import dependencies
import requirement
import spdx

POLICY = tomllib.loads((dependencies.ROOT / "deny.toml").read_text())
ALLOWED = POLICY["licenses"]["allow"]


def crate(name, version="1.0.0", **fields):
    return {"name": name, "version": version, "source": dependencies.REGISTRY, "checksum": "0", **fields}


class LicenceTest(unittest.TestCase):
    def test_expressions(self):
        table = [
            ("MIT", True),
            ("GPL-3.0-only", False),
            ("MIT OR GPL-3.0-only", True),
            ("MIT AND GPL-3.0-only", False),
            ("MIT/Apache-2.0", True),
            ("Unlicense/MIT", True),
            ("GPL-3.0-only OR MIT AND LGPL-2.1", False),
            ("(GPL-3.0-only OR MIT) AND Unicode-3.0", True),
            ("(MIT OR Apache-2.0) AND GPL-3.0-only", False),
            ("Apache-2.0 WITH LLVM-exception", False),
            ("Apache-2.0 WITH LLVM-exception OR MIT", True),
        ]
        for expression, met in table:
            with self.subTest(expression):
                self.assertEqual(spdx.met_by(expression, set(ALLOWED)), met)

    def test_what_cannot_be_read_is_an_error(self):
        for expression in ["", "OR MIT", "MIT OR", "(MIT", "MIT)", "MIT Apache-2.0", "AND"]:
            with self.subTest(expression), self.assertRaises(ValueError):
                spdx.met_by(expression, set(ALLOWED))

    def test_a_crate_without_a_good_licence_is_a_problem(self):
        packages = [
            crate("good", license="MIT"),
            crate("copyleft", license="AGPL-3.0-only"),
            crate("silent", license=None),
            crate("garbled", license="MIT OR"),
        ]
        problems = dependencies.licence_problems(packages, ALLOWED)
        self.assertEqual(len(problems), 3, problems)
        self.assertIn("copyleft 1.0.0", problems[0])


class BanTest(unittest.TestCase):
    def test_every_ban_of_the_policy_bites(self):
        for ban in POLICY["bans"]["deny"]:
            packages = [crate(ban["crate"], "1.0.0"), crate(ban["crate"], "2.0.0")]
            with self.subTest(ban["crate"]):
                self.assertEqual(len(dependencies.ban_problems(packages, [ban])), 1)

    def test_one_version_of_a_single_crate_is_fine(self):
        packages = [crate("rustls"), crate("hyper"), crate("http"), crate("http", "0.2.0")]
        self.assertEqual(dependencies.ban_problems(packages, POLICY["bans"]["deny"]), [])
        self.assertEqual(dependencies.several_versions(packages), {"http": ["1.0.0", "0.2.0"]})


class SourceTest(unittest.TestCase):
    def test_only_the_default_registry_and_the_workspace(self):
        own = {"name": "agent", "version": "0.1.0"}
        self.assertEqual(dependencies.source_problems([crate("a"), own], {"agent"}), [])
        strangers = [
            own,
            crate("a", source="git+https://example.com/a#0123"),
            crate("a", source="registry+https://example.com/index"),
            crate("a", checksum=None),
        ]
        del strangers[-1]["checksum"]
        self.assertEqual(len(dependencies.source_problems(strangers, set())), 4)


class AdvisoryTest(unittest.TestCase):
    ADVISORY = {"id": "RUSTSEC-2024-0399", "crate": "rustls", "title": "t", "patched": [">=0.23.18"], "unaffected": ["<0.23.13"]}

    def test_names_the_versions_between(self):
        for version, found in [("0.22.4", 0), ("0.23.12", 0), ("0.23.13", 1), ("0.23.17", 1), ("0.23.18", 0), ("1.0.0", 0)]:
            packages = [crate("rustls", version), crate("ring", "0.1.0")]
            with self.subTest(version):
                self.assertEqual(len(dependencies.advisory_problems(packages, [self.ADVISORY], [])), found)

    def test_an_ignored_one_is_no_problem(self):
        packages = [crate("rustls", "0.23.13")]
        ignored = [{"id": "RUSTSEC-2024-0399", "reason": "we accept no connections"}]
        self.assertEqual(dependencies.advisory_problems(packages, [self.ADVISORY], ignored), [])

    def test_one_without_a_repair_names_every_version(self):
        advisory = {"id": "RUSTSEC-2020-0001", "crate": "a", "title": "t", "patched": []}
        self.assertIn("no version", dependencies.advisory_problems([crate("a")], [advisory], [])[0])

    def test_each_kept_one_can_be_read_and_can_bite(self):
        kept = tomllib.loads((dependencies.ROOT / "ci" / "advisories.toml").read_text())
        self.assertEqual(len({advisory["id"] for advisory in kept["advisory"]}), len(kept["advisory"]))
        for advisory in kept["advisory"]:
            with self.subTest(advisory["id"]):
                tried = [f"{a}.{b}.{c}" for a in (0, 1) for b in (0, 2, 10, 16, 23, 40, 103) for c in (0, 3, 12, 13, 40)]
                packages = [crate(advisory["crate"], version) for version in tried]
                found = len(dependencies.advisory_problems(packages, [advisory], []))
                self.assertTrue(0 < found < len(tried), found)

    def test_an_old_list_says_so(self):
        today = datetime.date(2027, 1, 1)
        self.assertEqual(dependencies.age_notes(datetime.date(2026, 12, 1), today), [])
        self.assertEqual(len(dependencies.age_notes(datetime.date(2026, 6, 1), today)), 1)

    def test_reads_a_database(self):
        with tempfile.TemporaryDirectory() as directory:
            crates = pathlib.Path(directory) / "crates" / "a"
            crates.mkdir(parents=True)
            for number, extra in enumerate(["", 'informational = "unmaintained"\n', 'withdrawn = "2020-01-01"\n']):
                head = f'[advisory]\nid = "RUSTSEC-2020-000{number}"\npackage = "a"\n{extra}[versions]\npatched = [">= 2"]\n'
                (crates / f"RUSTSEC-2020-000{number}.md").write_text(f"```toml\n{head}```\n\n# It leaks\n\nWords.\n")
            found = dependencies.database(pathlib.Path(directory))
        self.assertEqual([(one["id"], one["title"]) for one in found], [("RUSTSEC-2020-0000", "It leaks")])
        self.assertEqual(len(dependencies.advisory_problems([crate("a")], found, [])), 1)


class YankedTest(unittest.TestCase):
    def refusals(self, *texts):
        answers = iter(texts)
        ask = dependencies.refused_choice
        dependencies.refused_choice = lambda packages: next(answers)
        self.addCleanup(setattr, dependencies, "refused_choice", ask)

    def test_each_refused_version_is_a_problem(self):
        refusal = 'error: failed to select a version for the requirement `{} = "=1.0.0"`\n  version 1.0.0 is yanked\n'
        self.refusals(refusal.format("a"), refusal.format("b"), None)
        problems = dependencies.yanked_problems([crate("a"), crate("b"), crate("c")])
        self.assertEqual([problem.split(" was ")[0] for problem in problems], ["a 1.0.0", "b 1.0.0"])

    def test_no_answer_is_a_problem(self):
        self.refusals("error: the registry cannot be reached")
        self.assertEqual(len(dependencies.yanked_problems([crate("a")])), 1)


class RequirementTest(unittest.TestCase):
    def test_versions(self):
        table = [
            (">=1.2.3", "1.2.3", True),
            (">=1.2.3", "1.2.2", False),
            (">= 1", "1.0.0", True),
            ("<1.2", "1.1.9", True),
            ("<1.2", "1.2.0", False),
            (">1.2", "1.2.9", False),
            (">1.2.3", "1.2.4", True),
            ("<=1.2", "1.2.9", True),
            ("<=1.2.3", "1.2.4", False),
            ("=1.2", "1.2.7", True),
            ("=1.2.3", "1.2.4", False),
            ("^0.3.26", "0.3.30", True),
            ("^0.3.26", "0.4.0", False),
            ("^1.2", "1.9.0", True),
            ("^1.2", "2.0.0", False),
            ("^0.0.3", "0.0.4", False),
            ("1.2.3", "1.9.0", True),
            ("~1.2.3", "1.2.9", True),
            ("~1.2.3", "1.3.0", False),
            (">=0.22.4, <0.23.0", "0.22.9", True),
            (">=0.22.4, <0.23.0", "0.23.1", False),
            (">=1.0.0", "1.0.0-rc.1", False),
            (">=1.0.0-alpha.2", "1.0.0-alpha.10", True),
            (">=1.0.0-alpha.2", "1.0.0-1", False),
            (">=0.23.0", "0.23.0+metadata", True),
            (">=0.9.0", "0.10.0", True),
        ]
        for text, version, met in table:
            with self.subTest(requirement=text, version=version):
                self.assertEqual(requirement.matches(text, version), met)

    def test_what_cannot_be_read_is_an_error(self):
        for text in ["", "newer", "1.2.3.4", ">=1.2 <2", "*", "!=1"]:
            with self.subTest(text), self.assertRaises(ValueError):
                requirement.matches(text, "1.0.0")


if __name__ == "__main__":
    unittest.main()
