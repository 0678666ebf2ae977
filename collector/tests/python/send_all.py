"""Sends numbered items of all three signals with the stock SDK: send_all.py grpc|http URL gzip|none FIRST COUNT

A span is named by its number, a log record has it as its body, and a counter has a point for each number N, of value N + 1.
"""

import importlib
import os
import sys
import time

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

protocol, url, compression, first, count = *sys.argv[1:4], *map(int, sys.argv[4:])


def exporter(module, name, path):
    package = importlib.import_module(f"opentelemetry.exporter.otlp.proto.{protocol}.{module}")
    if protocol == "grpc":
        import grpc

        kind = grpc.Compression.Gzip if compression == "gzip" else grpc.Compression.NoCompression
        return getattr(package, name)(endpoint=url, insecure=True, compression=kind)
    from opentelemetry.exporter.otlp.proto.http import Compression

    kind = Compression.Gzip if compression == "gzip" else Compression.NoCompression
    return getattr(package, name)(endpoint=url + path, compression=kind)


resource = Resource.create({"service.name": "python-pos"})
numbers = range(first, first + count)

tracers = TracerProvider(resource=resource)
spans = exporter("trace_exporter", "OTLPSpanExporter", "/v1/traces")
# The default queue drops what is made faster than it is exported.
tracers.add_span_processor(BatchSpanProcessor(spans, max_queue_size=max(count, 2048)))
for number in numbers:
    with tracers.get_tracer("interop").start_as_current_span(str(number)):
        pass
assert tracers.force_flush(60_000), "not all spans were exported"

loggers = LoggerProvider(resource=resource)
logs = exporter("_log_exporter", "OTLPLogExporter", "/v1/logs")
loggers.add_log_record_processor(BatchLogRecordProcessor(logs, max_queue_size=max(count, 2048)))
for number in numbers:
    record = LogRecord(
        timestamp=time.time_ns(), body=str(number), severity_number=SeverityNumber.INFO
    )
    loggers.get_logger("interop").emit(record)
assert loggers.force_flush(60_000), "not all log records were exported"

points = exporter("metric_exporter", "OTLPMetricExporter", "/v1/metrics")
reader = PeriodicExportingMetricReader(points, export_interval_millis=3_600_000)
meters = MeterProvider(resource=resource, metric_readers=[reader])
counter = meters.get_meter("interop").create_counter("orders")
for number in numbers:
    counter.add(number + 1, {"number": number})
assert meters.force_flush(60_000), "not all points were exported"
print("sent", flush=True)
# A shutdown would export the counter again.
os._exit(0)
