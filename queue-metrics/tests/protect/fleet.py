"""Workers of one Celery application, forked from one process so that its imports are paid for once.

Lines on stdin: "worker NAME POOL SLOTS QUEUES [BROKER]", "kill PID SIGNAL". "pid NAME PID" comes back on
stdout.
The Redis key `load` is how many messages the feeder keeps waiting, `longest` how long they may nap; each
entry of the list `exact` becomes one that naps so long.
"""

import ctypes
import os
import random
import signal
import sys
import time

import celery.apps.worker
import celery.bin.worker
import celery.concurrency.prefork
import celery.concurrency.thread
import redis
from celery import Celery
from celery.worker.control import control_command

RUNS = os.open("runs", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
app = Celery("app", broker=os.environ["BROKER"])
app.conf.update(
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    task_default_queue="default",
    result_backend=None,
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
)


def tell(what, request):
    os.write(RUNS, f"{what} {request.hostname} {request.id} {time.time()}\n".encode())


@app.task(name="nap", bind=True)
def nap(self, seconds):
    tell("start", self.request)
    time.sleep(seconds)
    tell("end", self.request)


def fork(work, log):
    pid = os.fork()
    if pid:
        return pid
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.close(0)
    try:
        work()
    finally:
        os._exit(0)


def worker(name, pool, slots, queues, broker=None):
    if broker:
        app.conf.broker_url = broker
    if "stuck" in name:
        # As one that a broken connection left behind: it says yes and consumes nothing more.
        @control_command(args=[("queue", str)])
        def add_consumer(state, queue, **_):
            return {"ok": f"add consumer {queue}"}

    app.worker_main(
        ["worker", "-P", pool, "-c", slots, "-n", name, "-Q", queues, "-O", "fair", "-l", "INFO", "--without-gossip", "--without-mingle"]
    )


def feed():
    broker = redis.Redis.from_url(os.environ["BROKER"])
    with app.pool.acquire() as connection, app.amqp.Producer(connection) as producer:
        while True:
            try:
                wanted = int(broker.get("load") or 0)
                longest = float(broker.get("longest") or 0.5)
                while exact := broker.lpop("exact"):
                    nap.apply_async([float(exact)], producer=producer)
                for _ in range(wanted - broker.llen("default")):
                    nap.apply_async([random.random() * longest], producer=producer)
            except redis.exceptions.ConnectionError:
                pass
            time.sleep(0.02)


signal.signal(signal.SIGCHLD, signal.SIG_IGN)
fork(feed, "feeder.log")
print("ready", flush=True)
for line in sys.stdin:
    what, *rest = line.split()
    if what == "worker":
        pid = fork(lambda: worker(*rest), f"{rest[0]}.log")
        print("pid", rest[0], pid, flush=True)
    else:
        os.kill(int(rest[0]), getattr(signal, rest[1]))
