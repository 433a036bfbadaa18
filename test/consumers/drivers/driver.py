"""Runs the checks of the lines of standard input, and prints the outcome of each."""

import json
import sys

from last_logout import LastLogout

clients = {}
for line in sys.stdin:
    case = json.loads(line)
    key = (case["url"], case["key"], case["timeoutSeconds"], case["namespace"])
    if key not in clients:
        options = {"timeout_seconds": case["timeoutSeconds"], "namespace": case["namespace"]}
        given = {name: value for name, value in options.items() if value is not None}
        try:
            clients[key] = LastLogout(case["url"], case["key"], **given)
        except ValueError:
            print("invalid", flush=True)
            continue
    print(clients[key].check(case["claims"]), flush=True)
