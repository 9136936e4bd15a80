"""The in-memory S3 server as a process, and the little of a client that the bench needs itself."""

import hashlib
import http.client
import os
import re
import select
import subprocess
from pathlib import Path
from types import TracebackType
from urllib.parse import quote
from xml.sax.saxutils import unescape

from measure import BenchError

BUCKET = "bench"
ENTRY = re.compile(r"<Key>(.*?)</Key>.*?<ETag>(?:&quot;|\")(\w+)(?:&quot;|\")</ETag>")
TOKEN = re.compile(r"<NextContinuationToken>(.*?)</NextContinuationToken>")


class Server:
    """Runs for as long as the `with` block; ends with the bench, however that ends."""

    def __init__(
        self, program: Path, prefixes: dict[str, tuple[int, int]], delays: dict[str, str]
    ) -> None:
        command = [str(program), "--until-stdin-closes"]
        for prefix, (count, size) in prefixes.items():
            command += ["--generate", f"s3://{BUCKET}/{prefix},{count},{size}"]
        for request, delay in delays.items():
            command += [f"--{request}-delay", delay]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout
        ready, _, _ = select.select([self.process.stdout], [], [], 120)
        line = self.process.stdout.readline().decode() if ready else ""
        if not line.startswith("endpoint="):
            self.stop()
            raise BenchError(f"{program} did not say where it listens")
        self.endpoint = line.strip().removeprefix("endpoint=")

    def stop(self) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def _request(self, method: str, target: str, body: bytes | None = None) -> bytes:
        connection = http.client.HTTPConnection(self.endpoint.removeprefix("http://"), timeout=30)
        try:
            connection.request(method, target, body)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise BenchError(f"{method} {target}: HTTP {answer.status}")
        return content

    def put(self, key: str, data: bytes) -> None:
        self._request("PUT", f"/{BUCKET}/{quote(key)}", data)

    def md5s(self, prefix: str) -> dict[str, str]:
        """The MD5 of every object, by its path below the prefix; single uploads' ETags are that."""
        found: dict[str, str] = {}
        token = ""
        while True:
            query = f"list-type=2&prefix={quote(prefix + '/', safe='')}"
            if token:
                query += f"&continuation-token={quote(token, safe='')}"
            page = self._request("GET", f"/{BUCKET}?{query}").decode()
            for key, etag in ENTRY.findall(page):
                found[unescape(key).removeprefix(f"{prefix}/")] = etag
            following = TOKEN.search(page)
            if not following:
                return found
            token = unescape(following.group(1))

    def __enter__(self) -> "Server":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def check_equal(directory: Path, wanted: dict[str, str], who: str) -> None:
    """That a directory holds these files and no other: a tool that failed must not look fast."""
    found: dict[str, str] = {}
    for folder, folders, names in os.walk(directory):
        folders[:] = [name for name in folders if name != ".s3sync"]
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, directory)] = hashlib.file_digest(
                    file, "md5"
                ).hexdigest()
    if found != wanted:
        different = sum(found.get(path) != md5 for path, md5 in wanted.items())
        surplus = len(found.keys() - wanted.keys())
        raise BenchError(
            f"{who} left a wrong tree: {different} of {len(wanted)} files missing or different, "
            f"{surplus} too many"
        )
