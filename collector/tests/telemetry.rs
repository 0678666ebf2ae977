//! The collector's own metrics over OTLP: through its own buffer, decoded at the far end, and not growing by themselves.
#![allow(
    clippy::unwrap_used,
    reason = "the allowance for tests covers test functions only"
)]

mod common;

use std::{collections::BTreeMap, time::Duration};

use backroom_collector::{config::Endpoint, otlp::Signal};
use common::{Received, Running, Sink, buffer, config, env};
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::any_value::Value,
    metrics::v1::{Metric, metric::Data},
};
use prost::Message;

fn reports(received: &[Received]) -> Vec<ExportMetricsServiceRequest> {
    let metrics = received.iter().filter(|r| r.signal == Signal::Metrics);
    let requests = metrics.map(|r| ExportMetricsServiceRequest::decode(&*r.body).unwrap());
    // A batch may hold several.
    let one = |resource| ExportMetricsServiceRequest {
        resource_metrics: vec![resource],
    };
    let resources = requests.flat_map(|request| request.resource_metrics);
    resources.map(one).collect()
}

fn metric<'a>(report: &'a ExportMetricsServiceRequest, name: &str) -> &'a Metric {
    let mut all = report.resource_metrics[0].scope_metrics[0].metrics.iter();
    all.find(|metric| metric.name == name)
        .unwrap_or_else(|| panic!("no {name} in {report:?}"))
}

/// Made while the destination was away, they arrive when it is back.
#[tokio::test]
async fn reports_survive_an_outage_and_do_not_feed_themselves() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::closed(&env).await;
    let mut config = config(&dir, Some(sink.url()));
    config.telemetry.metrics_interval = Some(Duration::from_millis(30));
    config.telemetry.resource = vec![("store.id".to_owned(), "0412".to_owned())];
    let running = Running::start(&env, config).await;
    let mut client = running.client().await;
    assert_eq!(client.post_spans(0..10).await.unwrap().status, 200);
    running
        .told
        .wait("reports while it is down", |told| {
            let accounting = told.accounting.lock().unwrap();
            told.has_notice("is down") && accounting.items(Signal::Metrics).stored > 300
        })
        .await;
    sink.listen().await;
    sink.wait("reports", |all| reports(all).len() >= 10).await;
    let all = reports(&sink.received());

    let resource = all[0].resource_metrics[0].resource.as_ref().unwrap();
    let attributes: BTreeMap<_, _> = resource
        .attributes
        .iter()
        .map(|pair| match &pair.value.as_ref().unwrap().value {
            Some(Value::StringValue(text)) => (pair.key.as_str(), text.as_str()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(attributes["service.name"], "backroom-collector");
    assert_eq!(attributes["service.instance.id"].len(), 16);
    assert_eq!(attributes["store.id"], "0412");

    // The first report holds the spans already, and each one has as many points as the others.
    let Some(Data::Sum(sum)) = &metric(&all[0], "backroom_accepted_items").data else {
        panic!("a sum in {:?}", all[0]);
    };
    assert!(sum.is_monotonic);
    assert!(
        sum.data_points
            .iter()
            .all(|point| point.time_unix_nano >= point.start_time_unix_nano)
    );
    let points = |report: &ExportMetricsServiceRequest| {
        let bytes = report.encode_to_vec();
        backroom_collector::otlp::count_items(Signal::Metrics, &bytes).unwrap()
    };
    let counts: Vec<u64> = all.iter().map(points).collect();
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    // Free space and time to full have no point where there is no value.
    assert!(most - least <= 2 && *most < 300, "{counts:?}");
    // Requests of senders: one. Reports are not among them.
    let last = metric(all.last().unwrap(), "backroom_requests");
    let Some(Data::Sum(sum)) = &last.data else {
        panic!("a sum in {last:?}");
    };
    let accepted = &sum.data_points[0];
    use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
    assert_eq!(accepted.value, Some(Number::AsInt(1)));
    running.stop().await;
}

#[tokio::test]
async fn reports_are_off_until_somebody_asks() {
    let env = env();
    let (_keep, dir) = buffer();
    let sink = Sink::open(&env).await;
    let mut config = config(&dir, None);
    config.endpoint = Some(Endpoint::new(sink.url()));
    let running = Running::start(&env, config.clone()).await;
    let mut client = running.client().await;
    assert_eq!(client.post_spans(0..10).await.unwrap().status, 200);
    sink.wait_for_spans(10).await;
    assert_eq!(reports(&sink.received()).len(), 0);
    config.telemetry.metrics_interval = Some(Duration::from_millis(30));
    running.handle.reload(config).await.unwrap();
    sink.wait("a report", |all| !reports(all).is_empty()).await;
    running.stop().await;
}
