"""hostile.py CASE SOCKET [ARGUMENT...]: clients that a daemon must survive.

Each case is a function below; its status is 0 when the daemon behaved.
"""
import json
import select
import socket
import sys
import time

LIST = b'{"jsonrpc":"2.0","id":1,"method":"port.list"}\n'
FAST = 2.0  # seconds for an answer, whoever else is there
PATH = sys.argv[2]


class Client:
    def __init__(self, path=PATH):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)  # waits where many come at once
        self.sock.settimeout(20)
        self.file = self.sock.makefile("rb")

    def line(self, data):
        """Sends a line; the answer, or None where the connection ended."""
        try:
            self.sock.sendall(data + b"\n")
            answer = self.file.readline()
        except (BrokenPipeError, ConnectionResetError):
            return None
        return json.loads(answer) if answer else None

    def call(self, method, **params):
        return self.line(json.dumps({"jsonrpc": "2.0", "id": 1,
                                     "method": method,
                                     "params": params}).encode())


def answers_fast():
    begin = time.monotonic()
    answer = Client().line(LIST[:-1])
    took = time.monotonic() - begin
    assert "ports" in answer["result"], answer
    assert took < FAST, f"{took:.2f} s"


def reason(answer):
    return answer["error"]["data"]["reason"]


def refused(answer, want, path=None):
    assert answer and "error" in answer, answer
    assert reason(answer) == want, answer
    if path is not None:
        assert answer["error"]["data"]["path"] == path, answer


def port_names(client):
    return [p["name"] for p in client.line(LIST[:-1])["result"]["ports"]]


def garbage():
    for junk in (b"", b"\0\0\0", b"\xff\xfe{}", b"GET / HTTP/1.0", b"{", b"}",
                 b'"text"', b"12", b"null", b"{}", b'{"jsonrpc":"1.0"}',
                 b'{"jsonrpc":"2.0","id":{},"method":"port.list"}',
                 b'{"jsonrpc":"2.0","id":1,"method":7}',
                 b'{"jsonrpc":"2.0","id":1,"method":"port.list",'
                 b'"params":7}', b'{"a":"\\ud800"}', b"[1,2", b"\x80" * 5000):
        answer = Client().line(junk) if junk else None
        if answer is not None:
            assert "error" in answer, (junk, answer)
        answers_fast()


def half_line():
    client = Client()
    client.sock.sendall(LIST[:20])
    answers_fast()
    client.sock.sendall(LIST[20:])
    assert "result" in json.loads(client.file.readline())
    client.sock.sendall(LIST[:20])  # and goes in the middle of it
    client.sock.close()
    answers_fast()


def long_line():
    client = Client()
    try:
        for _ in range(20):
            client.sock.sendall(b"x" * (1 << 18))
    except (BrokenPipeError, ConnectionResetError):
        pass
    try:
        answer = client.file.readline()
        assert answer and reason(json.loads(answer)) == "line-too-long", answer
        assert client.file.readline() == b"", "still open"
    except ConnectionResetError:
        pass  # our bytes that it didn't want came back so
    answers_fast()


def nesting():
    client = Client()
    for text in (b"[" * 100000, b'{"a":' * 20000 + b"1" + b"}" * 20000,
                 b"[" * 1000 + b"]" * 1000):
        answer = client.line(text)
        assert answer and answer["error"]["code"] == -32700, answer
    assert "result" in client.line(LIST[:-1])
    answers_fast()


def batch():
    answer = Client().line(b"[" + LIST[:-1] + b"," + LIST[:-1] + b"]")
    assert answer["error"]["code"] == -32600, answer


def parameters():
    """Refused before anything has happened, with a reason and a path."""
    c = Client()
    before = port_names(c)
    refused(c.call("port.attach", name="x", type="tap", colour="red"),
            "unknown-parameter", "colour")
    refused(c.call("port.attach", name="x", type="tap", vlan="10"),
            "wrong-type", "vlan")
    refused(c.call("port.attach", name=7, type="tap"), "wrong-type", "name")
    refused(c.call("port.attach", name="x", type="tap", vlan=4095),
            "out-of-range", "vlan")
    refused(c.call("port.attach", type="tap"), "missing-parameter", "name")
    refused(c.call("port.attach", name="x"), "missing-parameter", "type")
    refused(c.call("port.attach", name="x", type="tape"), "bad-value", "type")
    refused(c.call("port.attach", name="x y", type="tap"), "bad-name", "name")
    refused(c.call("port.attach", name="x", type="tap", ifname="x" * 99),
            "too-long", "ifname")
    answer = c.line(b'{"jsonrpc":"2.0","id":1,"method":"port.attach","params":'
                    b'{"name":"x","name":"y","type":"tap"}}')
    assert "error" in answer, answer
    answer = c.call("port.conquer", name="x")
    assert answer["error"]["code"] == -32601, answer
    assert port_names(c) == before


def never_reads():
    """100 000 requests without reading one answer."""
    client = Client()
    client.sock.setblocking(False)
    requests = LIST * 1000
    sent = 0
    deadline = time.monotonic() + 2
    while sent < 100 * len(requests) and time.monotonic() < deadline:
        if not select.select([], [client.sock], [], 0.2)[1]:
            break  # it isn't read any more: that's the bound
        try:
            sent += client.sock.send(requests[sent % len(requests):])
        except BlockingIOError:
            pass
    for _ in range(5):
        answers_fast()
    client.sock.setblocking(True)
    client.sock.settimeout(20)
    got = 0
    while got < sent // len(LIST):  # all the same it gets every one
        assert "result" in json.loads(client.file.readline())
        got += 1
        if got > 500:
            break


def crowd():
    """200 that say nothing, 200 that stop in the middle of a line."""
    clients = [Client() for _ in range(400)]
    for client in clients[::2]:
        client.sock.sendall(LIST[:-5])
    for _ in range(5):
        answers_fast()
    for client in clients:
        client.sock.close()
    answers_fast()


def methods():
    """Every method that there is can be called, and nothing falls over."""
    document = Client().call("rpc.discover")["result"]
    assert document["openrpc"].startswith("1."), document
    names = [m["name"] for m in document["methods"]]
    assert len(names) >= 20 and len(set(names)) == len(names), names
    for name in names:
        for params in ({}, {"name": "none"}):
            answer = Client().call(name, **params)
            assert "result" in answer or \
                answer["error"]["code"] != -32601, (name, answer)
            if "error" in answer:
                assert reason(answer), answer
    answers_fast()


def helper_only():
    """The helper's socket, which all may open, knows the one method."""
    client = Client()
    document = client.call("rpc.discover")["result"]
    names = {m["name"] for m in document["methods"]} - {"rpc.discover"}
    assert names == {"helper.attach"}, names
    for name in ("port.list", "switch.set", "config.show", "event.subscribe"):
        answer = client.call(name)
        assert answer["error"]["code"] == -32601, (name, answer)


def slow_subscriber():
    """It is told how many events it has lost, to the one."""
    total = 20000
    slow, other = Client(), Client()
    assert "result" in slow.call("event.subscribe", topics=["port.changed"])
    requests = b"".join(
        json.dumps({"jsonrpc": "2.0", "id": i, "method": "port.set",
                    "params": {"name": sys.argv[3],
                               "description": f"number {i}"}}).encode() + b"\n"
        for i in range(200))
    for _ in range(total // 200):
        other.sock.sendall(requests)
        for _ in range(200):
            assert "result" in json.loads(other.file.readline())
    got = lost = 0
    while got + lost < total:
        message = json.loads(slow.file.readline())
        if message["method"] == "event.lost":
            lost += message["params"]["count"]
        else:
            got += 1
    assert got + lost == total and lost > 0 and got > 100, (got, lost)


globals()[sys.argv[1]]()
