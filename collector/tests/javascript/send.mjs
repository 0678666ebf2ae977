// Sends numbered items of all three signals with the stock SDK: send.mjs json|protobuf URL gzip|none FIRST COUNT
//
// A span is named by its number, a log record has it as its body, and a counter has a point for each number N, of value N + 1.

import { resourceFromAttributes } from "@opentelemetry/resources";
import { BasicTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";
import { BatchLogRecordProcessor, LoggerProvider } from "@opentelemetry/sdk-logs";
import { MeterProvider, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";

const [protocol, url, compression] = process.argv.slice(2, 5);
const [first, count] = process.argv.slice(5).map(Number);
const kind = protocol === "json" ? "http" : "proto";

async function exporter(signal, name, path) {
  const module = await import(`@opentelemetry/exporter-${signal}-otlp-${kind}`);
  return new module[name]({ url: url + path, compression });
}

const resource = resourceFromAttributes({ "service.name": "javascript-pos" });
const numbers = Array.from({ length: count }, (_, index) => first + index);

const spans = await exporter("trace", "OTLPTraceExporter", "/v1/traces");
const tracers = new BasicTracerProvider({
  resource,
  // The default queue drops what is made faster than it is exported.
  spanProcessors: [new BatchSpanProcessor(spans, { maxQueueSize: Math.max(count, 2048) })],
});
for (const number of numbers) tracers.getTracer("interop").startSpan(String(number)).end();
await tracers.forceFlush();

const logs = await exporter("logs", "OTLPLogExporter", "/v1/logs");
const processor = new BatchLogRecordProcessor({ exporter: logs, maxQueueSize: Math.max(count, 2048) });
const loggers = new LoggerProvider({ resource, processors: [processor] });
for (const number of numbers) loggers.getLogger("interop").emit({ body: String(number) });
await loggers.forceFlush();

const points = await exporter("metrics", "OTLPMetricExporter", "/v1/metrics");
const reader = new PeriodicExportingMetricReader({ exporter: points, exportIntervalMillis: 3_600_000 });
const meters = new MeterProvider({ resource, readers: [reader] });
const counter = meters.getMeter("interop").createCounter("orders");
for (const number of numbers) counter.add(number + 1, { number });
await meters.forceFlush();
console.log("sent");
// A shutdown would export the counter again.
process.exit(0);
