"""Makes numbered spans with the stock SDK and exports them over OTLP/HTTP: send.py URL COUNT"""

import sys

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

url, count = sys.argv[1], int(sys.argv[2])
# The default queue of 2048 drops what is made faster than it is exported.
for compression, first in ((Compression.Gzip, 0), (Compression.NoCompression, count // 2)):
    exporter = OTLPSpanExporter(endpoint=url + "/v1/traces", compression=compression)
    provider = TracerProvider(resource=Resource.create({"service.name": "python-pos"}))
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=count))
    tracer = provider.get_tracer("interop")
    for number in range(first, first + count // 2):
        with tracer.start_as_current_span(str(number)) as span:
            span.set_attribute("order.total", number * 0.5)
            span.add_event("printed", {"copy": number % 3})
    assert provider.force_flush(60_000), "not all spans were exported"
    provider.shutdown()
print("sent", flush=True)
