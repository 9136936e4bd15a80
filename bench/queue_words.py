"""What the page of figures of queue-metrics says beside them."""

WHY = """## What is not met, and why

- **A sample's CPU.** By instructions a sample is 0.2 million, half of them the Redis client's for 14
  commands and their answers: less than 0.1 ms at the processor's speed. The rest is what a program pays that
  sleeps in between, on an idle machine most: the kernel's wakes (three a sample, by the clock and by the
  answer), a send which over loopback delivers to Redis in the sender's time, and caches that are cold: the less
  else runs, the more it costs (0.45 ms with nothing beside it, 0.37 at a load of 23 to 32). One more part is
  the status file, a quarter of a write a sample here: to create, write and rename a file costs
  0.5 ms on ext4, as much as a sample.
- **A fiftieth of the exporter's CPU.** Each 5 s `watch` takes a sample, hears the worker two or three times,
  and writes its status file. The file alone is more than a fiftieth of what the exporter takes in 5 s.
- **The binary.** By the symbols of an unstripped build: AWS's SDK 0.9 MB (the clients of STS and SSM 0.3 of
  it, the second for `--wanted-revision`), TLS 0.5, HTTP 0.4 (half of it HTTP/2, which AWS's client brings
  and cannot leave out), Rust's own library and generic code about 1, back traces that std always brings
  0.2, constants and libc 1.2, the command line 0.14, Redis 0.12, TOML 0.1, Postgres 0.1, queue-metrics and
  what it shares with the other programs 0.3. No feature that is left to switch off brings half a megabyte.
"""

HOW = """## How it is measured

- Redis, the workers and CloudWatch are on the same machine, over loopback, and share its cores with what
  is measured. CloudWatch is a server that accepts every put.
- CPU is the process's own clock, user and system of all its threads. For a sample's cost it samples every
  second, so the start is no part of it.
- Resident memory is VmRSS from /proc, once a second.
- What celery-exporter 0.12 does is done by a program of some lines (`bench/queue_peer.py`), because PyPI
  does not have it: what has its name there is another one, for Celery 4, which no longer builds. As it
  does, it follows the workers' events, serves what it counted, and asks all workers twice at each scrape.
  It leaves out its web framework and its counters of tasks' events, so the exporter itself costs more.
"""
