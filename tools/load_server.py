"""Loads a model server over REST: throughput and latency, hostile bodies, and the first request.

    python tools/load_server.py load --run=RUN --inputs=FILES [--clients=1,8,32] [-- SERVE FLAGS]
    python tools/load_server.py hostile --run=RUN --inputs=FILES [--requests=10000]
    python tools/load_server.py first --run=RUN --inputs=FILES

It starts `python -m tltf.serve` with the flags after `--`, so that the server is a process of its own.
FILES are pictures, or one text file with a text per line. `load` prints a table in Markdown; with
--servers=N the clients are spread over N servers, a process each. `hostile` sends one bad body in a
hundred and compares every good answer with the one that the same input got alone. `first` measures the
first requests of a new process with the export's warm-up requests and without them.
"""

import argparse
import asyncio
import base64
import contextlib
import dataclasses
import glob
import http.client
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
HOSTILE_SHARE = 0.01
LARGEST_DIFFERENCE = 1e-5


@dataclasses.dataclass
class Timed:
    """The answers of a run of requests: seconds and status of each, and the whole time."""

    seconds: list[float]
    statuses: list[int]
    whole_s: float

    def quantile_ms(self, share):
        """A quantile of the latencies, in ms."""
        ordered = sorted(self.seconds)
        return 1000 * ordered[min(int(share * len(ordered)), len(ordered) - 1)]


@dataclasses.dataclass(frozen=True)
class Server:
    """A server's process and the path of its model."""

    process: subprocess.Popen
    host: str
    port: int
    path: str


@contextlib.contextmanager
def started(run, flags, environment=None):
    """A server on a free port, ended by SIGTERM; it must then end by itself with code 0."""
    command = [sys.executable, "-m", "tltf.serve", f"--run={run}", "--port=0", *flags]
    variables = os.environ | (environment or {})
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=variables)
    url = process.stdout.readline().strip()
    if not url:
        sys.exit(f"the server has not started: code {process.wait()}")
    address, path = url.removeprefix("http://").split("/", 1)
    host, port = address.rsplit(":", 1)
    try:
        yield Server(process, host, int(port), f"/{path}:predict")
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)
        if code:
            print(f"the server ended with code {code}")


def read_inputs(pattern):
    """The values of REST bodies: {"b64": ...} of pictures, or texts."""
    paths = sorted(glob.glob(pattern, recursive=True))
    pictures = [path for path in paths if path.lower().endswith(IMAGE_ENDINGS)]
    if pictures:
        contents = [pathlib.Path(path).read_bytes() for path in pictures]
        return [{"b64": base64.b64encode(content).decode()} for content in contents]
    return [line for path in paths for line in pathlib.Path(path).read_text().splitlines() if line]


def request_bytes(path, body):
    """The bytes of an HTTP request."""
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def answer_of(reader):
    """`(status, body, whether the server closes)` of the next answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    status, length = (
        int(head.split(" ", 2)[1]),
        int(head.split("content-length:")[1].split("\r")[0]),
    )
    return status, await reader.readexactly(length), "connection: close" in head


async def client(server, jobs, timed, answers):
    """One client with one connection: it takes the next job when it has the answer to the last one."""
    reader = writer = None
    while jobs:
        number, content = jobs.pop()
        began = time.perf_counter()
        try:
            if writer is None:
                reader, writer = await asyncio.open_connection(server.host, server.port)
            writer.write(content)
            await writer.drain()
            status, body, is_closed = await answer_of(reader)
        except (OSError, asyncio.IncompleteReadError):
            status, body, is_closed = 0, b"", True
        timed.seconds.append(time.perf_counter() - began)
        timed.statuses.append(status)
        if answers is not None:
            answers[number] = status, body
        if is_closed:
            if writer is not None:
                writer.close()
            writer = None


async def send_all(servers, contents, num_clients, answers=None):
    """The Timed of all requests, sent by so many clients that are spread over the servers."""
    jobs = list(enumerate(contents))[::-1]
    timed = Timed([], [], 0.0)
    began = time.perf_counter()
    clients = (
        client(servers[place % len(servers)], jobs, timed, answers) for place in range(num_clients)
    )
    await asyncio.gather(*clients)
    timed.whole_s = time.perf_counter() - began
    return timed


def cpu_seconds(pids):
    """User and system seconds that processes have taken."""
    ticks = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def load(args, flags):
    """Prints requests per second and latencies for each number of clients."""
    values = read_inputs(args.inputs)
    with contextlib.ExitStack() as stack:
        environment = {"OMP_NUM_THREADS": "1"} if args.servers > 1 else {}
        servers = [
            stack.enter_context(started(args.run, flags, environment)) for _ in range(args.servers)
        ]
        path, pids = servers[0].path, [server.process.pid for server in servers]
        bodies = [json.dumps({"instances": [value]}).encode() for value in values]
        contents = [request_bytes(path, body) for body in bodies]
        asyncio.run(send_all(servers, contents[:64], 8))
        print("| clients | requests/s | p50 ms | p99 ms | server CPU ms per request | lost |")
        print("|---|---|---|---|---|---|")
        for num_clients in args.clients:
            wanted = [contents[n % len(contents)] for n in range(args.requests)]
            before = cpu_seconds(pids)
            timed = asyncio.run(send_all(servers, wanted, num_clients))
            spent = (cpu_seconds(pids) - before) / len(wanted)
            lost = sum(status != 200 for status in timed.statuses)
            rate = len(wanted) / timed.whole_s
            p50, p99 = timed.quantile_ms(0.5), timed.quantile_ms(0.99)
            print(
                f"| {num_clients} | {rate:,.0f} | {p50:.1f} | {p99:.1f} | {1000 * spent:.1f} | {lost} |",
                flush=True,
            )


def hostile_bodies(values):
    """Name -> a body that no server should answer with 200, or be harmed by."""
    picture = next((value for value in values if isinstance(value, dict)), None)
    raw = base64.b64decode(picture["b64"]) if picture else b""
    cut = {"b64": base64.b64encode(raw[: len(raw) // 2]).decode()} if picture else 7
    huge = b'{"instances": ["' + b"a" * (40 << 20) + b'"]}'
    return {
        "broken JSON": b'{"instances": [{"b64": "',
        "wrong dtype": json.dumps({"instances": [1.5, True]}).encode(),
        "huge": huge,
        "not base64": json.dumps({"instances": [{"b64": "***"}]}).encode(),
        "cut picture or number": json.dumps({"instances": [cut]}).encode(),
        "deeply nested": b'{"instances": ' + b"[" * 50_000,
        "wrong signature": json.dumps({"signature_name": "x", "instances": []}).encode(),
        "bytes that are no UTF-8": b"\xff\xfe\x00\x80",
    }


def hostile(args, flags):
    """Sends good and bad bodies together; prints what became of them. Returns 1 where one was lost."""
    values, numbers = read_inputs(args.inputs), random.Random(0)
    with started(args.run, flags) as server:
        good = [json.dumps({"instances": [value]}).encode() for value in values]
        contents = [request_bytes(server.path, body) for body in good]
        alone = {}
        asyncio.run(send_all([server], contents, 1, alone))
        bad = hostile_bodies(values)
        kinds = [None] * args.requests
        for place in numbers.sample(range(args.requests), int(args.requests * HOSTILE_SHARE)):
            kinds[place] = numbers.choice(list(bad))
        wanted = [
            request_bytes(server.path, bad[kind]) if kind else contents[n % len(contents)]
            for n, kind in enumerate(kinds)
        ]
        answers = {}
        timed = asyncio.run(send_all([server], wanted, 32, answers))
        lost, differing, statuses = 0, 0, {}
        for number, kind in enumerate(kinds):
            status, body = answers[number]
            statuses.setdefault(kind or "good", []).append(status)
            if kind is None and status != 200:
                lost += 1
            elif kind is None:
                differing += not same(body, alone[number % len(contents)][1])
        print("| bodies | number | statuses |\n|---|---|---|")
        for kind, found in statuses.items():
            counts = {status: found.count(status) for status in sorted(set(found))}
            shown = ", ".join(f"{status}: {count:,}" for status, count in counts.items())
            print(f"| {kind} | {len(found):,} | {shown} |")
        is_alive = server.process.poll() is None
        print(
            f"\n{lost} good requests lost, {differing} answered otherwise than alone, server "
            f"{'alive' if is_alive else 'DEAD'}; {len(wanted) / timed.whole_s:,.0f} requests/s"
        )
    return int(bool(lost or differing or not is_alive))


def same(body, other):
    """Whether two answers have the same label and numbers that differ by rounding alone."""
    (a,), (b,) = json.loads(body)["predictions"], json.loads(other)["predictions"]
    close = all(
        abs(x - y) <= LARGEST_DIFFERENCE
        for x, y in zip(a["probabilities"], b["probabilities"], strict=True)
    )
    return close and a["label"] == b["label"]


def first(args, flags):
    """Prints the times of the first and second requests of new processes."""
    values = read_inputs(args.inputs)
    print("| warm-up | rows | first ms | second ms |\n|---|---|---|---|")
    for size in args.batches:
        for name, more in (("no", ["--nowarmup"]), ("yes", [])):
            firsts, seconds = [], []
            for _ in range(args.rounds):
                with started(args.run, [*flags, *more]) as server:
                    body = {"instances": (values * size)[:size]}
                    times = [post_ms(server, body) for _ in range(2)]
                    firsts.append(times[0])
                    seconds.append(times[1])
            print(f"| {name} | {size} | {median(firsts):.0f} | {median(seconds):.0f} |", flush=True)


def median(values):
    """The middle value, the larger of two."""
    return sorted(values)[len(values) // 2]


def post_ms(server, body):
    """Milliseconds of a request on a connection of its own."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=120)
    began = time.perf_counter()
    connection.request("POST", server.path, json.dumps(body))
    response = connection.getresponse()
    content = response.read()
    spent = 1000 * (time.perf_counter() - began)
    connection.close()
    if response.status != 200:
        sys.exit(f"status {response.status}: {content[:300]!r}")
    return spent


def main(argv=None):
    """Runs one of the measurements; returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    at = argv.index("--") if "--" in argv else len(argv)
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("load", "hostile", "first"))
    parser.add_argument("--run", required=True)
    parser.add_argument("--inputs", required=True, help="a pattern of pictures, or a text file")
    parser.add_argument("--requests", type=int, default=2000)
    numbers = {"type": lambda text: [int(part) for part in text.split(",")]}
    parser.add_argument("--clients", default=[1, 8, 32], **numbers)
    parser.add_argument("--batches", default=[1, 8, 32], **numbers)
    parser.add_argument("--servers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args(argv[:at])
    return {"load": load, "hostile": hostile, "first": first}[args.what](args, argv[at + 1 :]) or 0


if __name__ == "__main__":
    sys.exit(main())
