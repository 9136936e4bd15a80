"""The scripts of infra/scripts, run with stand-ins for every program that they would reach the world with.

What is looked at is what they decide: the order of a deployment, what goes back by itself and what does not,
what a release file may hold, which file is installed. What AWS answers is the scenario's.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parent.parent / "scripts"
IMAGE = "r/airflow@sha256:" + "a" * 64
OLDER = "r/airflow@sha256:" + "b" * 64

# Answers by the first rule whose words all stand in the command, and keeps what it was asked.
STAND_IN = """#!{python} -IS
import json, os, pathlib, sys
words = [os.path.basename(sys.argv[0]), *sys.argv[1:]]
place = pathlib.Path(os.environ["STAND_IN"])
with open(place / "calls", "a") as f:
    f.write(json.dumps(words) + "\\n")
for number, rule in enumerate(json.loads((place / "rules").read_text())):
    if all(any(w in word for word in words) for w in rule["words"]):
        used = place / f"used-{{number}}"
        if rule.get("times") and used.exists() and len(used.read_text()) >= rule["times"]:
            continue
        with open(used, "a") as f:
            f.write("x")
        if rule.get("file"):
            pathlib.Path(words[words.index("--output") + 1]).write_bytes(bytes.fromhex(rule["file"]))
        sys.stdout.write(rule.get("says", ""))
        sys.exit(rule.get("code", 0))
sys.exit(0)
"""


class Script(unittest.TestCase):
    programs = ("aws", "terraform", "docker", "syft", "cosign", "curl")

    def setUp(self):
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="scripts"))
        self.addCleanup(shutil.rmtree, self.place)
        (self.place / "bin").mkdir()
        for name in self.programs:
            (self.place / "bin" / name).write_text(STAND_IN.format(python=sys.executable))
            (self.place / "bin" / name).chmod(0o755)
        self.rules = []

    def run_script(self, name, *arguments, env=None):
        (self.place / "rules").write_text(json.dumps(self.rules))
        done = subprocess.run([SCRIPTS / name, *map(str, arguments)], cwd=self.place, text=True, capture_output=True, check=False, timeout=300,
                              stdin=subprocess.DEVNULL,
                              env={**os.environ, "PATH": f"{self.place}/bin:{os.environ['PATH']}", "STAND_IN": str(self.place), **(env or {})})
        return done

    def says(self, *words, says="", code=0, times=None, file=None):
        self.rules.append({"words": words, "says": says, "code": code, "times": times, "file": file})

    def calls(self):
        file = self.place / "calls"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def steps(self):
        """The calls that change something, in a word each."""
        return [word for call in self.calls() for word in [step(" ".join(call))] if word]

    def release_files(self):
        for name, image in (("new", IMAGE), ("old", OLDER)):
            (self.place / name).write_text(json.dumps({"release": {"airflow": image, "s3sync": image}}))


def step(call):
    for words, name in (("terraform apply -target=", "register"), ("terraform apply rollback=true", "services"),
                        ("terraform apply rollback=false", "services, no way back"), ("terraform apply", "previous"),
                        ("create-db-snapshot", "snapshot"), ("run-task --dry-run", "rehearsal"), ("run-task INIT_ONLY", "migration"),
                        ("run-task urllib", "smoke test"), ("sns publish", "alarm")):
        if all(w in call for w in words.split()):
            return name
    return None


class Deploy(Script):
    CURRENT = "resolve   ok  nothing is to be fetched\nmigrate   ok  nothing to do\n"
    BEHIND = "migrate   ok  it would be migrated\n"

    def environment(self, plan, database="airflow-dev", family="airflow-dev-api-server"):
        self.release_files()
        definition = {"address": "module.airflow.module.web.aws_ecs_task_definition.this",
                      "values": {"arn": f"arn:aws:ecs:eu-west-1:1:task-definition/{family}:7", "family": family}}
        self.says("terraform", "show", says=json.dumps({"values": {"root_module": {"child_modules": [{"resources": [definition]}]}}}))
        self.says("terraform", "output", says=json.dumps({
            "cluster": "airflow-dev", "subnet_ids": ["subnet-0a"], "security_group_id": "sg-0a", "api_host": "api.airflow-dev.internal",
            "database_identifier": database, "alarm_topic": "arn:aws:sns:eu-west-1:1:alarms"}))
        # Each one-off task by what its command is; the log and the code of the last one are asked for.
        self.says("run-task", "--dry-run", says="arn:aws:ecs:eu-west-1:1:task/c/rehearsal")
        self.says("run-task", "INIT_ONLY", says="arn:aws:ecs:eu-west-1:1:task/c/migration")
        self.says("run-task", "urllib", says="arn:aws:ecs:eu-west-1:1:task/c/smoke")
        self.says("describe-task-definition", says="/airflow-dev/api-server")
        self.says("get-log-events", "/rehearsal", says=plan)

    def end(self, **codes):
        for task, code in {"rehearsal": 0, "migration": 0, "smoke": 0, **codes}.items():
            self.says("describe-tasks", f"/{task}", says=f"{code}\n")

    def deploy(self, *more):
        return self.run_script("deploy.sh", self.place / "envs", self.place / "new", self.place / "old", *more)

    def test_without_new_heads_there_is_no_snapshot_and_no_migration(self):
        self.environment(self.CURRENT)
        self.end()
        done = self.deploy()
        self.assertEqual((done.returncode, self.steps()), (0, ["register", "rehearsal", "services", "smoke test"]), done.stderr)

    def test_new_heads_are_migrated_after_a_snapshot_and_before_the_services(self):
        self.environment(self.BEHIND)
        self.end()
        done = self.deploy()
        self.assertEqual((done.returncode, self.steps()),
                         (0, ["register", "rehearsal", "snapshot", "migration", "services, no way back", "smoke test"]), done.stderr)

    def test_a_log_that_was_lost_counts_as_new_heads(self):
        self.environment("")
        self.end()
        self.deploy()
        self.assertIn("snapshot", self.steps())

    def test_a_newer_schema_of_the_same_minor_version_is_no_new_head(self):
        self.environment("migrate   ok  the service would run, with a warning: the schema is ahead\n")
        self.end()
        self.deploy()
        self.assertEqual(self.steps(), ["register", "rehearsal", "services", "smoke test"])

    def test_somebody_elses_database_gets_no_snapshot(self):
        self.environment(self.BEHIND, database=None)
        self.end()
        self.deploy()
        self.assertEqual(self.steps(), ["register", "rehearsal", "migration", "services, no way back", "smoke test"])

    def test_services_that_fail_go_back_while_the_heads_are_the_same(self):
        self.environment(self.CURRENT)
        self.end()
        self.rules.insert(0, {"words": ["terraform", "apply", "rollback=true"], "code": 1})
        done = self.deploy()
        self.assertEqual((done.returncode, self.steps()), (1, ["register", "rehearsal", "services", "previous"]), done.stderr)
        back = [c for c in self.calls() if "apply" in c][-1]
        self.assertIn(f"-var-file={self.place.resolve()}/old", back)

    def test_a_smoke_test_that_fails_goes_back_too(self):
        self.environment(self.CURRENT)
        self.end(smoke=1)
        done = self.deploy()
        self.assertEqual((done.returncode, self.steps()), (1, ["register", "rehearsal", "services", "smoke test", "previous"]), done.stderr)

    def test_nothing_goes_back_over_new_heads(self):
        self.environment(self.BEHIND)
        self.end(smoke=1)
        done = self.deploy()
        self.assertEqual(done.returncode, 71, done.stderr)
        self.assertNotIn("previous", self.steps())
        self.assertEqual(self.steps()[-1], "alarm")
        self.assertIn("stuck-migration.md", done.stderr)

    def test_a_migration_that_fails_stops_before_the_services(self):
        self.environment(self.BEHIND)
        self.end(migration=71)
        done = self.deploy()
        self.assertEqual((done.returncode, self.steps()), (71, ["register", "rehearsal", "snapshot", "migration", "alarm"]), done.stderr)

    def test_what_the_rehearsal_refuses_changes_no_service(self):
        self.environment("preflight failed  no such auth manager\n")
        self.end(rehearsal=65)
        done = self.deploy()
        self.assertEqual((done.returncode, self.steps()), (65, ["register", "rehearsal"]), done.stderr)

    def test_a_way_back_that_fails_is_told(self):
        self.environment(self.CURRENT)
        self.end()
        self.rules[:0] = [{"words": ["terraform", "apply", "-target"], "code": 0}, {"words": ["terraform", "apply"], "code": 1}]
        done = self.deploy()
        self.assertEqual((done.returncode, self.steps()[-1]), (70, "alarm"), done.stderr)

    def test_an_upgrade_from_2_rehearses_with_the_new_definition(self):
        self.environment(self.BEHIND)
        self.end()
        self.deploy("major")
        rehearsal = next(c for c in self.calls() if "run-task" in c)
        self.assertIn("arn:aws:ecs:eu-west-1:1:task-definition/airflow-dev-api-server:7", rehearsal)
        self.assertTrue(any('"--migrate", "major", "api-server"' in w for w in rehearsal), rehearsal)

    def test_the_web_server_of_2_is_asked_where_it_answers(self):
        self.environment(self.CURRENT, family="airflow-dev-webserver")
        self.end()
        self.deploy()
        smoke = " ".join(next(c for c in self.calls() if step(" ".join(c)) == "smoke test"))
        self.assertIn("'webserver' == 'webserver'", smoke)

    def test_a_release_with_a_tag_is_refused_before_anything(self):
        self.release_files()
        (self.place / "new").write_text('{"release": {"airflow": "r/airflow:v1", "s3sync": "r/s3sync:v1"}}')
        done = self.deploy()
        self.assertEqual((done.returncode, self.calls()), (64, []), done.stderr)

    def test_another_migration_is_refused(self):
        self.release_files()
        self.assertEqual((self.deploy("always").returncode, self.calls()), (64, []))


class OneOff(Script):
    def one_off(self, *arguments, code="3\n", task="arn:aws:ecs:eu-west-1:1:task/c/t1"):
        self.says("terraform", "output", says=json.dumps({"cluster": "c", "subnet_ids": ["subnet-0a", "subnet-0b"], "security_group_id": "sg-0a"}))
        self.says("run-task", says=task)
        self.says("describe-tasks", "exitCode", says=code)
        self.says("get-log-events", says="one\ttwo\n")
        return self.run_script("one-off.sh", *arguments)

    def test_it_ends_with_the_tasks_code_and_shows_its_log(self):
        done = self.one_off("-e", "A=b=c", "envs/dev", "airflow-dev-api-server", "airflow", "dags", "list")
        self.assertEqual((done.returncode, done.stdout), (3, "one\ntwo\n"), done.stderr)
        call = next(c for c in self.calls() if "run-task" in c)
        override = json.loads(call[call.index("--overrides") + 1])["containerOverrides"][0]
        self.assertEqual(override, {"name": "airflow", "command": ["airflow", "dags", "list"], "environment": [{"name": "A", "value": "b=c"}]})
        network = json.loads(call[call.index("--network-configuration") + 1])["awsvpcConfiguration"]
        self.assertEqual(network, {"subnets": ["subnet-0a", "subnet-0b"], "securityGroups": ["sg-0a"], "assignPublicIp": "DISABLED"})

    def test_no_task_is_69(self):
        self.assertEqual(self.one_off("envs/dev", "d", "true", task="None\n").returncode, 69)

    def test_a_task_that_never_ran_has_no_code(self):
        self.assertEqual(self.one_off("envs/dev", "d", "true", code="None\n").returncode, 70)

    def test_no_command_is_usage(self):
        self.assertEqual((self.run_script("one-off.sh", "envs/dev", "d").returncode, self.calls()), (64, []))


class Release(Script):
    REGISTRY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"

    def images(self):
        for name in ("airflow", "s3sync", "queue-metrics"):
            self.says("image", "ls", f"reference={self.REGISTRY}/{name}", says=f"{self.REGISTRY}/{name}:0.1.0\n{self.REGISTRY}/{name}:latest\n")
            self.says("image", "inspect", f"{self.REGISTRY}/{name}:v1", says=f"other/{name}@sha256:{'0' * 64}\n{self.REGISTRY}/{name}@sha256:{'a' * 64}\n")

    def test_the_release_file_has_the_digests_that_were_pushed(self):
        self.images()
        done = self.run_script("release.sh", self.REGISTRY, "v1", "s3://b/releases")
        self.assertEqual(done.returncode, 0, done.stderr)
        written = json.loads((self.place / "v1.tfvars.json").read_text())
        self.assertEqual(written["release"]["queue_metrics"], f"{self.REGISTRY}/queue-metrics@sha256:{'a' * 64}")
        called = [" ".join(c[:2]) for c in self.calls()]
        self.assertEqual([called.count(c) for c in ("docker push", "cosign sign", "cosign attest", "syft scan")], [3, 3, 3, 3])
        self.assertEqual(self.calls()[-1], ["aws", "s3", "cp", "v1.tfvars.json", "s3://b/releases/v1.tfvars.json"])

    def test_a_trial_needs_neither_syft_nor_cosign(self):
        self.images()
        self.assertEqual(self.run_script("release.sh", "--unsigned", self.REGISTRY, "v1", "s3://b/releases").returncode, 0)
        self.assertFalse([c for c in self.calls() if c[0] in ("syft", "cosign")])

    def test_a_signature_that_fails_is_no_release(self):
        self.says("cosign", "sign", code=1)
        self.images()
        done = self.run_script("release.sh", self.REGISTRY, "v1", "s3://b/releases")
        self.assertNotEqual(done.returncode, 0)
        self.assertFalse([c for c in self.calls() if c[:3] == ["aws", "s3", "cp"]])

    def test_an_image_that_was_not_built_is_no_release(self):
        self.assertEqual(self.run_script("release.sh", self.REGISTRY, "v1", "s3://b/releases").returncode, 69)

    def test_a_version_that_the_repositories_would_not_keep_is_refused(self):
        self.assertEqual((self.run_script("release.sh", self.REGISTRY, "1.0", "s3://b/releases").returncode, self.calls()), (64, []))


class ReleaseFile(Script):
    def check(self, text):
        (self.place / "file").write_text(text)
        return self.run_script("release_file.py", "check", "file").returncode

    def test_what_is_a_release(self):
        release = {"airflow": IMAGE, "s3sync": IMAGE, "queue_metrics": IMAGE}
        for content, code in (
                ({"release": release}, 0), ({"release": {k: release[k] for k in ("airflow", "s3sync")}}, 0),
                ({"release": {"airflow": IMAGE}}, 64), ({"release": {**release, "airflow": "r/airflow:v1"}}, 64),
                ({"release": {**release, "healthcheck": IMAGE}}, 64), ({"release": release, "host": "h"}, 64), (release, 64), ([], 64)):
            self.assertEqual(self.check(json.dumps(content)), code, content)
        self.assertEqual(self.check("release:"), 64)


class Login(Script):
    def test_the_token_goes_to_a_file_that_only_this_user_reads(self):
        self.says("curl", says='{"value": "the.signed.token"}')
        done = self.run_script("aws-login.sh", "arn:aws:iam::1:role/plan", "eu-west-1", env={
            "RUNNER_TEMP": str(self.place), "GITHUB_ENV": str(self.place / "env"), "GITHUB_RUN_ID": "7",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "t", "ACTIONS_ID_TOKEN_REQUEST_URL": "https://localhost/?a=b"})
        self.assertEqual(done.returncode, 0, done.stderr)
        token = self.place / "aws-token"
        self.assertEqual((token.read_text(), token.stat().st_mode & 0o777), ("the.signed.token", 0o600))
        self.assertIn("AWS_ROLE_ARN=arn:aws:iam::1:role/plan\n", (self.place / "env").read_text())
        self.assertNotIn("the.signed.token", done.stdout + done.stderr + (self.place / "env").read_text())


class Tool(Script):
    PROGRAM = b"#!/bin/sh\necho cosign\n"

    def install(self, pin, name="cosign"):
        self.says("curl", file=self.PROGRAM.hex())
        (self.place / "path").touch()
        return self.run_script("tool.sh", name, pin, env={"RUNNER_TEMP": str(self.place / "temp"), "GITHUB_PATH": str(self.place / "path")})

    def setUp(self):
        super().setUp()
        import hashlib
        (self.place / "temp").mkdir()
        self.digest = hashlib.sha256(self.PROGRAM).hexdigest()

    def test_the_file_of_that_digest_is_installed(self):
        done = self.install(f"2.4.1@sha256:{self.digest}")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(os.access(self.place / "temp/bin/cosign", os.X_OK))
        self.assertIn("/v2.4.1/", self.calls()[0][-1])
        self.assertEqual((self.place / "path").read_text(), f"{self.place}/temp/bin\n")

    def test_another_file_is_not(self):
        done = self.install(f"2.4.1@sha256:{'0' * 64}")
        self.assertEqual((done.returncode, (self.place / "temp/bin/cosign").exists()), (65, False), done.stderr)

    def test_a_version_without_a_digest_is_refused(self):
        for pin in ("latest", "2.4.1", f"v2.4.1@sha256:{'0' * 64}"):
            self.assertEqual((self.install(pin).returncode, self.calls()), (64, []), pin)

    def test_no_variable_is_refused(self):
        self.assertNotEqual(self.install("").returncode, 0)


class Analyze(Script):
    def analyze(self, finding):
        (self.place / "plan.json").write_text(json.dumps({"planned_values": {"root_module": {"child_modules": [{"resources": [
            {"address": "a", "type": "aws_iam_role_policy", "values": {"policy": "{}"}}, {"address": "b", "type": "aws_subnet", "values": {}}]}]}}}))
        self.says("accessanalyzer", says=json.dumps({"findings": [{"findingType": finding, "issueCode": "C", "findingDetails": "d"}] if finding else []}))
        return self.run_script("analyze.py", "plan.json").returncode

    def test_an_error_and_a_security_warning_end_it_with_1(self):
        for finding, code in (("ERROR", 1), ("SECURITY_WARNING", 1), ("SUGGESTION", 0), (None, 0)):
            self.rules = []
            self.assertEqual(self.analyze(finding), code, finding)


def check(_repository):
    """All of them, as one job."""
    import io

    import check as base
    text = io.StringIO()
    result = unittest.TextTestRunner(stream=text).run(unittest.defaultTestLoader.loadTestsFromModule(sys.modules[__name__]))
    if not result.wasSuccessful():
        raise base.Fault(text.getvalue())
    return f"{result.testsRun} tests"


if __name__ == "__main__":
    unittest.main()
