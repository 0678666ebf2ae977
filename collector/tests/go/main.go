// Reads a file of OTLP/JSON lines as the otlpjsonfile receiver does: pdata's unmarshaler of each signal reads each line.
// Prints a JSON array for each item.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	out := json.NewEncoder(os.Stdout)
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		items, err := read(lines.Bytes())
		if err != nil {
			return err
		}
		for _, item := range items {
			if err := out.Encode(item); err != nil {
				return err
			}
		}
	}
	return lines.Err()
}

type item []any

func read(line []byte) (items []item, err error) {
	traces, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(line)
	if err != nil {
		return nil, err
	}
	for _, resource := range traces.ResourceSpans().All() {
		service, _ := resource.Resource().Attributes().Get("service.name")
		for _, scope := range resource.ScopeSpans().All() {
			for _, span := range scope.Spans().All() {
				items = append(items, item{"span", service.AsString(), span.TraceID().String(), span.SpanID().String(),
					span.Name(), uint64(span.StartTimestamp()), uint64(span.EndTimestamp()), span.Attributes().Len()})
			}
		}
	}
	logs, err := (&plog.JSONUnmarshaler{}).UnmarshalLogs(line)
	if err != nil {
		return nil, err
	}
	for _, resource := range logs.ResourceLogs().All() {
		for _, scope := range resource.ScopeLogs().All() {
			for _, record := range scope.LogRecords().All() {
				items = append(items, item{"log", uint64(record.Timestamp()), int(record.SeverityNumber()), record.Body().AsString()})
			}
		}
	}
	metrics, err := (&pmetric.JSONUnmarshaler{}).UnmarshalMetrics(line)
	if err != nil {
		return nil, err
	}
	for _, resource := range metrics.ResourceMetrics().All() {
		for _, scope := range resource.ScopeMetrics().All() {
			for _, metric := range scope.Metrics().All() {
				sum := metric.Sum()
				for _, point := range sum.DataPoints().All() {
					items = append(items, item{"point", metric.Name(), metric.Unit(), sum.IsMonotonic(),
						uint64(point.Timestamp()), point.IntValue()})
				}
			}
		}
	}
	return items, nil
}
