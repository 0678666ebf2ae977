// The OpenTelemetry Collector, built from its published modules: its own OTLP receiver, its service, and an exporter that
// prints a line `signal number` for each item. Arguments are the Collector's: --config=yaml:...
package main

import (
	"context"
	"fmt"
	"os"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/yamlprovider"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/service/telemetry/otelconftelemetry"
)

// printer is an exporter of all three signals.
type printer struct {
	component.StartFunc
	component.ShutdownFunc
	lock *sync.Mutex
}

func (printer) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (p printer) print(signal, item string) {
	p.lock.Lock()
	defer p.lock.Unlock()
	fmt.Println(signal, item)
}

func (p printer) ConsumeTraces(_ context.Context, traces ptrace.Traces) error {
	for _, resource := range traces.ResourceSpans().All() {
		for _, scope := range resource.ScopeSpans().All() {
			for _, span := range scope.Spans().All() {
				p.print("traces", span.Name())
			}
		}
	}
	return nil
}

func (p printer) ConsumeMetrics(_ context.Context, metrics pmetric.Metrics) error {
	for _, resource := range metrics.ResourceMetrics().All() {
		for _, scope := range resource.ScopeMetrics().All() {
			for _, metric := range scope.Metrics().All() {
				for _, point := range metric.Sum().DataPoints().All() {
					p.print("metrics", fmt.Sprint(point.IntValue()))
				}
			}
		}
	}
	return nil
}

func (p printer) ConsumeLogs(_ context.Context, logs plog.Logs) error {
	for _, resource := range logs.ResourceLogs().All() {
		for _, scope := range resource.ScopeLogs().All() {
			for _, record := range scope.LogRecords().All() {
				p.print("logs", record.Body().Str())
			}
		}
	}
	return nil
}

func factories() (otelcol.Factories, error) {
	out := printer{lock: &sync.Mutex{}}
	kind := component.MustNewType("print")
	level := component.StabilityLevelStable
	factory := exporter.NewFactory(kind, func() component.Config { return &struct{}{} },
		exporter.WithTraces(func(context.Context, exporter.Settings, component.Config) (exporter.Traces, error) {
			return out, nil
		}, level),
		exporter.WithMetrics(func(context.Context, exporter.Settings, component.Config) (exporter.Metrics, error) {
			return out, nil
		}, level),
		exporter.WithLogs(func(context.Context, exporter.Settings, component.Config) (exporter.Logs, error) {
			return out, nil
		}, level))
	otlp := otlpreceiver.NewFactory()
	return otelcol.Factories{
		Receivers: map[component.Type]receiver.Factory{otlp.Type(): otlp},
		Exporters: map[component.Type]exporter.Factory{kind: factory},
		Telemetry: otelconftelemetry.NewFactory(),
	}, nil
}

func main() {
	command := otelcol.NewCommand(otelcol.CollectorSettings{
		BuildInfo: component.NewDefaultBuildInfo(),
		Factories: factories,
		ConfigProviderSettings: otelcol.ConfigProviderSettings{
			ResolverSettings: confmap.ResolverSettings{
				ProviderFactories: []confmap.ProviderFactory{yamlprovider.NewFactory()},
				DefaultScheme:     "yaml",
			},
		},
	})
	if err := command.Execute(); err != nil {
		os.Exit(1)
	}
}
