"""What `/metrics` shows, in the format of Prometheus. No prompt, no key, no address of anybody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector

from uip2p.serving.asking import Answer

if TYPE_CHECKING:
    from uip2p.serving.service import Service

SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)


class Figures:
    """service: the one that is served, None while its model loads."""

    def __init__(self, service: Callable[[], Service | None]):
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "uip2p_requests", "HTTP requests that were answered", ("method", "path", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "uip2p_request_seconds", "From a request's first byte to its answer's last", ("path",), buckets=SECONDS,
            registry=self.registry,
        )  # fmt: skip
        self.waited = Histogram(
            "uip2p_edit_waiting_seconds", "In the queue", buckets=SECONDS, registry=self.registry
        )
        self.worked = Histogram(
            "uip2p_edit_working_seconds", "From the first batch to the answer", buckets=SECONDS, registry=self.registry
        )
        self.pictures = Counter("uip2p_pictures", "Pictures that were made and sent", registry=self.registry)
        self.registry.register(_OfService(service))

    def answered(self, answer: Answer) -> None:
        self.waited.observe(answer.queued)
        self.worked.observe(answer.seconds)
        self.pictures.inc(len(answer.edits))

    def text(self) -> bytes:
        return generate_latest(self.registry)


class _OfService:
    """Read when they are asked for: the service counts by itself."""

    def __init__(self, service: Callable[[], Service | None]):
        self.service = service

    def collect(self) -> Iterator[Metric]:
        service = self.service()
        yield GaugeMetricFamily("uip2p_ready", "1 when it takes edits", value=bool(service and service.ready))
        if service is None:
            return
        yield GaugeMetricFamily("uip2p_queue_length", "Edits of which nothing is in work", value=service.waiting)
        yield GaugeMetricFamily("uip2p_in_work", "Pictures that are being made now", value=service.working)
        yield CounterMetricFamily("uip2p_out_of_memory", "Batches that met it", value=service.out_of_memory)
        outcomes = CounterMetricFamily("uip2p_edits", "Edits by how they ended", labels=["outcome"])
        for outcome, count in sorted(service.outcomes.copy().items()):
            outcomes.add_metric([outcome], count)
        yield outcomes
        batches = CounterMetricFamily("uip2p_batches", "Batches by their size", labels=["size"])
        for size, count in sorted(service.batches.copy().items()):
            batches.add_metric([str(size)], count)
        yield batches
