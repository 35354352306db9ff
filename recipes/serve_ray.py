"""The HTTP API on several GPUs or machines: the app of `uip2p serve`, in replicas of Ray Serve.

    pip install 'uip2p[serve]' 'ray[serve]>=2.52'
    python recipes/serve_ray.py --model timbrooks/instruct-pix2pix --max-replicas 8 --keys keys.txt --host 0.0.0.0
    python recipes/serve_ray.py --ray-address auto …           on a cluster that `ray start` has made
    python recipes/serve_ray.py --min-replicas 2 --cpus 0.5    two on a laptop

A replica is one process with one model, on one GPU where the cluster has any. It has a queue, batches and limits of its
own (--queue, --batch, --rate are of each), and says 429 by itself. Ray adds replicas, up to --max-replicas, while each
has more requests than it makes at a time, and takes idle ones away after ten minutes. One that is taken away, and the
whole on SIGTERM, first answers what it has: no request lasts longer than --deadline.

A replica that dies takes its requests along: Ray's proxy answers each with 500 and asks no other replica, since it
cannot know what was done. Nothing is kept here, so asking again is safe; OpenAI's client does (max_retries). Ray starts
another replica. benchmarks/serving.py ray kills one, and counts.

/metrics is of the replica that happens to answer: collect Ray's own metrics. In front of strangers put a proxy that
limits bodies and slow connections: Ray's holds a body before a replica sees its size. Ray's own ports are open to the
network, and who may speak there may run programs: without --ray-address only who has a token that is made at the start
and kept nowhere (RAY_AUTH_TOKEN gives another); a cluster of yours, start with RAY_AUTH_MODE=token.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from uip2p.errors import UserError
from uip2p.serving import options
from uip2p.serving.http import command

if TYPE_CHECKING:
    from fastapi import FastAPI

    from uip2p.serving.http.server import Settings

NAME = "uip2p"
DECLINED = 4  # times what a replica takes: so many requests reach it, that its own 429 tells the rest when to come back


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    replicas = parser.add_argument_group("replicas")
    replicas.add_argument("--min-replicas", type=int, default=1, metavar="N", help="always there (default: 1)")
    replicas.add_argument("--max-replicas", type=int, metavar="N", help="under load (default: as many as always)")
    replicas.add_argument("--cpus", type=float, default=1, metavar="N", help="of a replica (default: 1)")
    replicas.add_argument("--gpus", type=float, metavar="N", help="of a replica (default: 1 where there are any)")
    replicas.add_argument("--ray-address", metavar="ADDRESS", help="of a cluster, or auto (default: here alone)")
    command.add_api(parser)
    args = parser.parse_args(argv)
    args.max_replicas = args.min_replicas if args.max_replicas is None else args.max_replicas
    return args


def builder(args: argparse.Namespace, settings: Settings) -> Callable[[], FastAPI]:
    """What a replica calls when it starts: it loads the model, then there is the app."""

    def build() -> FastAPI:
        from uip2p.serving.http import logs
        from uip2p.serving.http.server import application

        logs.set_up()
        service = options.load_service(args)
        app = application(service, settings)
        app.state.service = service
        return app

    return build


def deployment(args: argparse.Namespace, settings: Settings, gpus: float) -> Any:
    """gpus: of a replica."""
    from ray import serve

    @serve.ingress(builder(args, settings))
    class Edits:
        def check_health(self) -> None:
            """Ray asks now and then, and replaces a replica that raises."""
            if not self.app.state.service.ready:  # type: ignore[attr-defined]
                raise RuntimeError("the thread that owns the editor has ended")

        def __del__(self) -> None:
            """Ray has waited until every request of it is answered."""
            with contextlib.suppress(AttributeError):  # its model could not be loaded
                self.app.state.service.drain(0.0)  # type: ignore[attr-defined]

    return serve.deployment(
        Edits, name="edits", max_ongoing_requests=DECLINED * (args.queue + args.batch),
        autoscaling_config={
            "min_replicas": args.min_replicas, "max_replicas": args.max_replicas, "target_ongoing_requests": args.batch,
        },
        ray_actor_options={"num_cpus": args.cpus, "num_gpus": gpus},
        graceful_shutdown_timeout_s=drain_seconds(args), graceful_shutdown_wait_loop_s=0.5,
        max_constructor_retry_count=2,
    )  # fmt: skip


def drain_seconds(args: argparse.Namespace) -> float:
    """What is in work is answered by then: with 504, if with nothing else."""
    return float(args.deadline) + 5


def check(args: argparse.Namespace) -> Settings:
    """UserError: an option that cannot be, before Ray takes its seconds."""
    options.check(args)
    if not 1 <= args.min_replicas <= args.max_replicas:
        raise UserError(f"--min-replicas {args.min_replicas}, --max-replicas {args.max_replicas}: give at least 1, and "
                        "not fewer at most than at least.")  # fmt: skip
    if args.cpus < 0 or (args.gpus or 0) < 0:
        raise UserError("--cpus and --gpus must not be below 0.")
    if args.port == 0:
        raise UserError("--port 0: several proxies may listen there: give a number.")
    return command.read_settings(args)


def run(args: argparse.Namespace) -> None:
    """Serves until SIGTERM or SIGINT."""
    settings = check(args)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else Ray reports to its makers
    if not args.ray_address:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    try:
        import ray
        from ray import serve
    except ImportError:
        raise UserError("Ray is needed: pip install 'ray[serve]'.") from None
    place = {"address": args.ray_address} if args.ray_address else {
        "address": "local", "include_dashboard": False, "_node_ip_address": "127.0.0.1",
    }  # fmt: skip
    ray.init(**place, logging_level=logging.WARNING)
    try:
        gpus = args.gpus if args.gpus is not None else min(1.0, ray.cluster_resources().get("GPU", 0.0))
        quiet = {"enable_access_log": False, "log_level": "WARNING"}  # the app has its own lines
        serve.start(proxy_location="EveryNode", http_options={"host": args.host, "port": args.port},
                    logging_config=quiet)  # fmt: skip
        serve.run(deployment(args, settings, gpus).bind(), name=NAME, route_prefix="/", logging_config=quiet)
        stop = threading.Event()
        for kind in (signal.SIGTERM, signal.SIGINT):
            signal.signal(kind, lambda *_: stop.set())
        print(f"http://{args.host}:{args.port}  (docs at /docs; Ctrl-C ends it)", file=sys.stderr, flush=True)
        stop.wait()
        serve.delete(NAME, _blocking=False)  # the proxies stay until the answers are out
        ends = time.monotonic() + drain_seconds(args)
        while serve.status().applications and time.monotonic() < ends:
            time.sleep(0.2)
        serve.shutdown()
    finally:
        ray.shutdown()


if __name__ == "__main__":
    try:
        run(parse())
    except UserError as error:
        sys.exit(f"serve_ray.py: error: {error}")
