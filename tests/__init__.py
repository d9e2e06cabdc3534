"""What Ray reads from the environment when it is first imported, set before that."""

import os
import uuid

# Ray's workers would step back behind every other process (niceness 15), and starve where the machine is busy.
os.environ.setdefault("RAY_worker_niceness", "0")
# A cluster that a test starts lets nobody in but that process and its children.
os.environ["RAY_AUTH_MODE"] = "token"
os.environ["RAY_AUTH_TOKEN"] = uuid.uuid4().hex
# A node that is gone is noticed after three refused questions, half a second apart, in place of five in 15 s. One that
# is only slow has ten seconds for each answer.
os.environ.update({"RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "3"})
os.environ.update({"RAY_enable_worker_prestart": "0"})  # else an interpreter for every core that a cluster claims
os.environ.update({"RAY_BACKEND_LOG_LEVEL": "fatal", "RAY_USAGE_STATS_ENABLED": "0"})  # as pipeline/flow.py does
