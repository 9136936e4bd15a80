"""Says in one log line that a task failed, so that a log alarm can find it."""

from __future__ import annotations

import json
import logging

log = logging.getLogger(__name__)


def log_failure(context: dict) -> None:
    """Logs a JSON object with the event name `task_failed`; used as `on_failure_callback`."""
    instance = context.get("task_instance")
    log.error(
        json.dumps(
            {
                "event": "task_failed",
                "dag_id": getattr(instance, "dag_id", None),
                "task_id": getattr(instance, "task_id", None),
                "run_id": context.get("run_id"),
                "reason": str(context.get("exception")),
            }
        )
    )
