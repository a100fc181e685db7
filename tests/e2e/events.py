"""events.py SOCKET [TOPIC...]: the events, a line each: `TOPIC {PARAMS}`."""
import json
import socket
import sys

conn = socket.socket(socket.AF_UNIX)
conn.connect(sys.argv[1])
call = {"jsonrpc": "2.0", "id": 1, "method": "event.subscribe"}
if sys.argv[2:]:
    call["params"] = {"topics": sys.argv[2:]}
conn.sendall(json.dumps(call).encode() + b"\n")
for line in conn.makefile():
    message = json.loads(line)
    if "result" in message:
        print("subscribed", flush=True)
        continue
    params = message.get("params", {})
    print(params.get("topic", message.get("method", "?")),
          json.dumps(params), flush=True)
