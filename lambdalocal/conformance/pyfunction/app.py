"""A function for tests, on AWS's own runtime client for Python."""

import os
import time

in_flight = 0


def handle(event, context):
    global in_flight
    in_flight += 1
    try:
        return obey(event, context)
    finally:
        in_flight -= 1


def obey(event, context):
    do = event.get("do")
    if do in ("fail", "panic"):
        raise ValueError(event["text"])
    if do == "exit":
        os._exit(7)
    if do == "hang":
        while True:
            time.sleep(1000)
    if do == "large":
        return "x" * event["size"]
    if do == "length":
        return len(event["text"])
    if do == "context":
        return describe(context)
    if do == "busy":
        busy = in_flight
        time.sleep(event["size"] / 1000)
        return {"busy": busy, "environment": os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]}
    return event


def describe(context):
    """What the client made of the invocation's headers."""
    left = context.get_remaining_time_in_millis()
    return {
        "request_id": context.aws_request_id,
        "arn": context.invoked_function_arn,
        "deadline_ms": int(time.time() * 1000) + left,
        "custom": context.client_context and context.client_context.custom,
        "trace_id": os.environ.get("_X_AMZN_TRACE_ID", ""),
        "name": context.function_name,
        "memory": int(context.memory_limit_in_mb),
    }
