"""Runs the checks of the lines of standard input, and prints the outcome of each."""

import json
import sys

from last_logout import LastLogout

clients = {}
for line in sys.stdin:
    case = json.loads(line)
    options = (case["url"], case["key"], case["timeoutSeconds"])
    if options not in clients:
        clients[options] = LastLogout(*(option for option in options if option is not None))
    print(clients[options].check(case["claims"]), flush=True)
