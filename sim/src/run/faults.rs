//! The script of what goes wrong: plays every fault of a scenario at its instants.
//!
//! One task of the script for each occurrence that lasts, in the order in which they begin. A kind's own file in `fault` says
//! what happens; this one says when, and records it. What faults share that overlap stands in `fault::stage`, who may run
//! meanwhile in `holds`.

use std::{collections::BTreeMap, future::poll_fn, pin::Pin, sync::Arc, task::Poll};

use super::one::{Director, RunError, all};
use crate::{
    event::Event,
    fault::{
        cap_reached, captive_portal, clock_skew, clock_step, cut_answers, disk_corrupt, disk_full,
        disk_io_error, disk_slow, dns_fail, hq_gateway_crash, hq_reject, hq_slow, link_degrade,
        link_down, link_flap, link_trace, node_crash, node_pause, node_reboot, power_cut,
        region_outage,
        stage::{Shared, Stage},
    },
    link::{self, Degrade, Trace},
    scenario::{Fault, FaultKind, FaultWindow, Scenario},
};

/// The recordings that faults play, by the fault's index.
///
/// # Errors
/// If one cannot be read.
pub(super) fn recordings(scenario: &Scenario) -> Result<BTreeMap<u16, Arc<Trace>>, RunError> {
    let mut all = BTreeMap::new();
    for (fault, index) in scenario.faults.iter().zip(0..) {
        if let FaultKind::LinkTrace { trace, .. } = &fault.kind {
            all.insert(index, Arc::new(link::load(trace)?));
        }
    }
    Ok(all)
}

/// Plays every fault to its end.
pub(super) async fn play(director: &Director) {
    let shared = Shared::default();
    let faults = director.scenario.faults.iter().zip(0..);
    all(faults
        .map(|(fault, index)| series(director, &shared, fault, index))
        .collect())
    .await;
}

/// All occurrences of one fault. The next one does not wait for what an earlier one still has to do, such as boots.
async fn series(director: &Director, shared: &Shared, fault: &Fault, index: u16) {
    type Once<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;
    let mut under_way: Vec<Once<'_>> = Vec::new();
    let windows = fault.windows.iter().enumerate();
    for (number, window) in windows.filter(|(_, w)| w.start < director.scenario.duration) {
        let mut begins = Box::pin(tokio::time::sleep_until(director.world.at(window.start)));
        poll_fn(|cx| {
            let begun = begins.as_mut().poll(cx);
            under_way.retain_mut(|once| once.as_mut().poll(cx).is_pending());
            begun
        })
        .await;
        under_way.push(Box::pin(once(
            director, shared, fault, index, number, *window,
        )));
    }
    poll_fn(|cx| {
        under_way.retain_mut(|once| once.as_mut().poll(cx).is_pending());
        match under_way.is_empty() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
}

async fn once(
    director: &Director,
    shared: &Shared,
    fault: &Fault,
    index: u16,
    number: usize,
    window: FaultWindow,
) {
    let tell = |begins, effects| {
        director.recorder.record(Event::Fault {
            fault: index,
            begins,
            effects,
        });
    };
    tell(true, 0);
    let run_end = director.scenario.duration;
    let stage = Stage {
        director,
        shared,
        fault,
        number,
        start: window.start,
        // A fault without an end, or one that outlasts the run, stays for the settle phase too.
        until: window.end.filter(|end| *end <= run_end),
    };
    let effects = match &fault.kind {
        FaultKind::LinkDown { link } => link_down::play(&stage, link).await,
        FaultKind::LinkFlap {
            link,
            up_for,
            down_for,
        } => link_flap::play(&stage, link, up_for, down_for).await,
        FaultKind::LinkDegrade {
            link,
            up,
            down,
            delay,
            loss,
        } => {
            let way = |rate: &Option<_>| Degrade {
                rate: *rate,
                recording: None,
                delay: delay.clone(),
                loss: *loss,
            };
            link_degrade::play(&stage, link, (way(up), way(down))).await
        }
        FaultKind::LinkCaptivePortal { link, answer } => {
            captive_portal::play(&stage, link, *answer).await
        }
        FaultKind::LinkCutAnswers { link, cuts } => cut_answers::play(&stage, link, cuts).await,
        FaultKind::LinkCapReached { link } => cap_reached::play(&stage, link).await,
        FaultKind::LinkTrace { link, .. } => {
            link_trace::play(&stage, link, &director.recordings[&index]).await
        }
        FaultKind::DnsFail(how) => dns_fail::play(&stage, *how).await,
        FaultKind::NodeCrash { node } => node_crash::play(&stage, node).await,
        FaultKind::NodeReboot { node } => node_reboot::play(&stage, node).await,
        FaultKind::NodePause { node } => node_pause::play(&stage, node).await,
        FaultKind::StorePowerCut { ups } => {
            return power_cut::play(&stage, ups, |effects| tell(false, effects)).await;
        }
        FaultKind::DiskFull { node, leave_bytes } => {
            disk_full::play(&stage, node, *leave_bytes).await
        }
        FaultKind::DiskSlow { node, slow } => disk_slow::play(&stage, node, slow).await,
        FaultKind::DiskCorrupt { node, bytes } => disk_corrupt::play(&stage, node, *bytes),
        FaultKind::DiskIoError { node, ops, share } => {
            disk_io_error::play(&stage, node, ops, *share).await
        }
        FaultKind::ClockStep { node, by_nanos } => clock_step::play(&stage, node, *by_nanos).await,
        FaultKind::ClockSkew { node, rate } => clock_skew::play(&stage, node, *rate).await,
        FaultKind::HqReject(rule) => hq_reject::play(&stage, rule.clone()).await,
        FaultKind::HqSlow(slow) => hq_slow::play(&stage, slow).await,
        FaultKind::HqGatewayCrash { loses_power } => {
            hq_gateway_crash::play(&stage, *loses_power).await
        }
        FaultKind::RegionOutage { is_ours, heal, .. } => {
            region_outage::play(&stage, *is_ours, heal.as_ref()).await
        }
    };
    if stage.until.is_some() {
        tell(false, effects);
    }
}
