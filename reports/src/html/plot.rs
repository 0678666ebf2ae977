//! Plots as SVG: lines over time, with the faults behind them. And the timeline on top of them.
//!
//! Every plot of a seed has the same horizontal axis, so that one cursor fits all. Colours are Okabe and Ito's
//! (*Color Universal Design*, 2008), which people with any colour vision tell apart; lines differ in their dashes too, so that a black
//! print is enough. No colour stands here, only classes: the style has two sets, for light and dark.

use std::fmt::Write as _;

use super::{
    axis::{self, LEFT, RIGHT, WIDTH},
    esc,
};
use crate::{Plot, RunResult, SeedSeries, Shape, Spot, Track};

/// Height of the drawing of a plot, and what stands below it.
const HEIGHT: f64 = 150.0;
const TOP: f64 = 12.0;
const BELOW: f64 = 24.0;

/// 7 colours: the eighth track of a plot begins again with other dashes.
const COLOURS: usize = 7;

/// Height of a row of the timeline.
const ROW: f64 = 20.0;

/// Height of a lane of marks.
const LANE: f64 = 17.0;

/// 14 rows of the timeline: faults beyond them share the last one.
const ROWS_MAX: usize = 14;

/// What happened when: a row for each fault, and a mark where each expectation was decided.
pub(super) fn timeline(out: &mut String, result: &RunResult, seed: &SeedSeries, axis: &axis::Time) {
    let mut rows: Vec<&str> = Vec::new();
    for band in &seed.bands {
        if !rows.contains(&band.fault.as_str()) && rows.len() < ROWS_MAX {
            rows.push(&band.fault);
        }
    }
    let row_of = |fault: &str| {
        rows.iter()
            .position(|r| *r == fault)
            .unwrap_or(rows.len() - 1)
    };
    let marks = marks(result, seed, axis);
    let lanes = marks.iter().map(|m| m.lane + 1).max().unwrap_or(0);
    let faults_end = TOP + ROW * rows.len().max(1) as f64;
    let bottom = faults_end + LANE * lanes as f64;
    figure(
        out,
        "Timeline",
        "faults, and where each expectation was decided",
        |out| {
            open_svg(out, "timeline", bottom + BELOW, axis, "Timeline of faults");
            time_axis(out, axis, TOP, bottom);
            if rows.is_empty() {
                let y = TOP + ROW * 0.7;
                let _ = writeln!(
                    out,
                    "<text class=\"faint\" x=\"{LEFT}\" y=\"{y:.1}\">no faults</text>"
                );
            }
            for band in &seed.bands {
                let (from, to) = (axis.x(band.start_seconds), axis.x(band.end_seconds));
                let row = row_of(&band.fault);
                let y = TOP + ROW * row as f64;
                let _ = writeln!(
                    out,
                    "<rect class=\"fault\" x=\"{from:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{}: {} to {}</title></rect>",
                    (to - from).max(1.0),
                    ROW - 4.0,
                    esc(&band.fault),
                    axis.clock(band.start_seconds),
                    axis.clock(band.end_seconds),
                );
            }
            for mark in &marks {
                let (x, number, spot) = (mark.x, mark.number, mark.spot);
                let y = faults_end + LANE * (mark.lane as f64 + 0.5);
                let _ = writeln!(
                    out,
                    "<g class=\"spot\" id=\"s{}-e{number}\"><line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom:.1}\"/>\
                     <circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"7\"/><text x=\"{x:.1}\" y=\"{:.1}\">{number}</text>\
                     <title>{number}: {} at {}</title></g>",
                    seed.seed,
                    y + 3.5,
                    esc(&spot.expectation),
                    esc(&spot.clock),
                );
            }
            for (row, fault) in rows.iter().enumerate() {
                fault_label(out, seed, fault, TOP + ROW * row as f64 + ROW * 0.6, axis);
            }
            out.push_str("</svg></div>\n");
        },
    );
    if seed.bands_left_out > 0 {
        let _ = writeln!(
            out,
            "<p class=\"faint\">{} more stretches of faults are not drawn.</p>",
            seed.bands_left_out
        );
    }
}

/// Where an expectation was decided, drawn.
struct Mark<'s> {
    x: f64,
    lane: usize,
    number: usize,
    spot: &'s Spot,
}

/// Marks that would cover each other stand in lanes, at most 4.
fn marks<'s>(result: &RunResult, seed: &'s SeedSeries, axis: &axis::Time) -> Vec<Mark<'s>> {
    let mut marks: Vec<Mark<'s>> = seed
        .spots
        .iter()
        .take(64)
        .enumerate()
        .map(|(index, spot)| {
            let of = result
                .expectations
                .iter()
                .position(|e| e.id == spot.expectation);
            Mark {
                x: axis.x(spot.at_seconds),
                lane: 0,
                number: of.unwrap_or(index) + 1,
                spot,
            }
        })
        .collect();
    marks.sort_by(|a, b| a.x.total_cmp(&b.x));
    let mut ends = [f64::NEG_INFINITY; 4];
    for mark in &mut marks {
        let free = ends.iter().position(|end| mark.x - end >= 15.0);
        mark.lane = free.unwrap_or(0);
        ends[mark.lane] = mark.x;
    }
    marks
}

/// The fault's name where there is room for it: in its first stretch, beside it, or before it.
fn fault_label(out: &mut String, seed: &SeedSeries, fault: &str, y: f64, axis: &axis::Time) {
    let Some(band) = seed.bands.iter().find(|b| b.fault == fault) else {
        return;
    };
    // 40 characters of 6.5 units: longer names are cut, and whole in the table.
    let short: String = match fault.chars().count() > 40 {
        true => fault.chars().take(39).chain(['…']).collect(),
        false => fault.to_owned(),
    };
    let length = 6.5 * short.chars().count() as f64 + 8.0;
    let (from, to) = (axis.x(band.start_seconds), axis.x(band.end_seconds));
    let (x, anchor) = match () {
        () if to - from >= length => (from + 4.0, "start"),
        () if to + length <= WIDTH => (to + 4.0, "start"),
        () => (from - 4.0, "end"),
    };
    let _ = writeln!(
        out,
        "<text class=\"name\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
        esc(&short)
    );
}

/// One plot with its legend and its table.
pub(super) fn draw(
    out: &mut String,
    seed: &SeedSeries,
    plot: &Plot,
    index: usize,
    axis: &axis::Time,
) {
    let values = plot.tracks.iter().flat_map(|t| &t.points).map(|p| p.1);
    let scale = axis::Value::new(plot.unit, values);
    let bottom = TOP + HEIGHT;
    figure(out, &plot.title, &plot.note, |out| {
        legend(out, plot);
        open_svg(
            out,
            &format!("s{}-p{index}", seed.seed),
            bottom + BELOW,
            axis,
            &plot.title,
        );
        for band in &seed.bands {
            let (from, to) = (axis.x(band.start_seconds), axis.x(band.end_seconds));
            let _ = writeln!(
                out,
                "<rect class=\"band\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{HEIGHT}\"/>",
                (to - from).max(0.5)
            );
        }
        for (value, label) in scale.ticks() {
            let y = scale.y(value, TOP, bottom);
            let _ = writeln!(
                out,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 4.0,
                esc(&label)
            );
        }
        time_axis(out, axis, TOP, bottom);
        let mut colour = 0;
        for track in &plot.tracks {
            let path = path(track, axis, |v| scale.y(v, TOP, bottom));
            let class = class(track, &mut colour);
            if !path.is_empty() {
                let _ = writeln!(
                    out,
                    "<path class=\"{class}\" d=\"{path}\"><title>{}</title></path>",
                    esc(&track.name)
                );
            }
        }
        out.push_str("</svg></div>\n");
        data(out, plot);
        table(out, plot, axis);
    });
}

fn figure(out: &mut String, title: &str, note: &str, body: impl FnOnce(&mut String)) {
    let _ = write!(out, "<figure><figcaption><strong>{}</strong>", esc(title));
    if !note.is_empty() {
        let _ = write!(out, " <span class=\"faint\">{}</span>", esc(note));
    }
    out.push_str("</figcaption>\n");
    body(out);
    out.push_str("</figure>\n");
}

fn open_svg(out: &mut String, id: &str, height: f64, axis: &axis::Time, label: &str) {
    let _ = writeln!(
        out,
        "<div class=\"scroll\"><svg class=\"plot\" data-plot=\"{}\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" tabindex=\"0\" \
         aria-label=\"{}\" data-left=\"{LEFT}\" data-right=\"{}\" data-end=\"{}\" data-clock=\"{}\">",
        esc(id),
        esc(label),
        WIDTH - RIGHT,
        axis.end(),
        axis.clock(0.0),
    );
}

/// The axis itself, with ticks below.
fn time_axis(out: &mut String, axis: &axis::Time, top: f64, bottom: f64) {
    let _ = writeln!(
        out,
        "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{bottom:.1}\" y2=\"{bottom:.1}\"/>",
        WIDTH - RIGHT
    );
    for (at, label) in axis.ticks() {
        let x = axis.x(at);
        let _ = writeln!(
            out,
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{:.1}\"/>\
             <text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            bottom + 4.0,
            bottom + 17.0,
            esc(&label)
        );
    }
}

/// The class of a track's line; closed forms have their own.
fn class(track: &Track, colour: &mut usize) -> String {
    if track.is_theory {
        return "line theory".into();
    }
    let class = match *colour < COLOURS {
        true => format!("line c{colour}"),
        false => format!("line c{} again", *colour % COLOURS),
    };
    *colour += 1;
    class
}

/// Drawn once in a legend although there may be one for each outage.
fn legend(out: &mut String, plot: &Plot) {
    out.push_str("<ul class=\"legend\">");
    let (mut colour, mut theory) = (0, false);
    for track in &plot.tracks {
        let class = class(track, &mut colour);
        if track.is_theory && std::mem::replace(&mut theory, true) {
            continue;
        }
        let _ = write!(
            out,
            "<li><svg class=\"key\" viewBox=\"0 0 26 10\" aria-hidden=\"true\"><path class=\"{class}\" d=\"M1 5H25\"/></svg>{}",
            esc(&track.name)
        );
        if track.not_finite > 0 {
            let _ = write!(
                out,
                " <span class=\"faint\">({} points were no numbers)</span>",
                track.not_finite
            );
        }
        out.push_str("</li>");
    }
    out.push_str("</ul>\n");
    if plot.tracks.iter().all(|t| t.points.is_empty()) {
        out.push_str("<p class=\"missing\">There is nothing to draw: no track has a point.</p>\n");
    }
}

fn path(track: &Track, axis: &axis::Time, y: impl Fn(f64) -> f64) -> String {
    let mut out = String::new();
    let mut last: Option<(f64, f64)> = None;
    for (at, value) in &track.points {
        if !at.is_finite() || !value.is_finite() {
            continue;
        }
        let (x, y) = (axis.x(*at), y(*value));
        let _ = match (last, track.shape) {
            (None, _) => write!(out, "M{x:.1} {y:.1}"),
            (Some(_), Shape::Line) => write!(out, "L{x:.1} {y:.1}"),
            (Some((_, before)), Shape::Step) if format!("{before:.1}") == format!("{y:.1}") => {
                write!(out, "H{x:.1}")
            }
            (Some(_), Shape::Step) => write!(out, "H{x:.1}V{y:.1}"),
        };
        last = Some((x, y));
    }
    if let (Some((x, _)), 1) = (last, track.points.len()) {
        // One point alone is a dot, as long as a line is thick.
        let _ = write!(out, "H{:.1}", x + 1.5);
    }
    out
}

/// What the script reads values from: names and points of the tracks.
fn data(out: &mut String, plot: &Plot) {
    let tracks: Vec<serde_json::Value> = plot
        .tracks
        .iter()
        .map(|t| {
            serde_json::json!({
                "name": t.name,
                "step": t.shape == Shape::Step,
                "points": t.points,
            })
        })
        .collect();
    let data = serde_json::json!({ "title": plot.title, "unit": plot.unit, "tracks": tracks });
    let mut text = String::new();
    for c in data.to_string().chars() {
        // `<` could end the element, and what turns the direction of writing would turn the source. JSON may write any character so.
        match c {
            '<' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    let _ = writeln!(
        out,
        "<script type=\"application/json\" class=\"data\">{text}</script>"
    );
}

fn table(out: &mut String, plot: &Plot, axis: &axis::Time) {
    out.push_str(
        "<details class=\"table\"><summary>As a table</summary><div class=\"scroll\"><table><thead><tr><th>track</th>\
         <th>at the start</th><th>lowest</th><th>highest</th><th>at</th><th>at the end</th><th>points</th></tr></thead><tbody>\n",
    );
    for track in &plot.tracks {
        let show = |p: Option<&(f64, f64)>| p.map_or("–".into(), |p| plot.unit.show(p.1));
        let extremes = track.extremes();
        let _ = writeln!(
            out,
            "<tr><th>{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{} of {}</td></tr>",
            esc(&track.name),
            show(track.points.first()),
            show(extremes.as_ref().map(|e| &e.0)),
            show(extremes.as_ref().map(|e| &e.1)),
            extremes.map_or("–".into(), |e| axis.clock(e.1.0)),
            show(track.points.last()),
            track.points.len(),
            track.points_seen,
        );
    }
    out.push_str("</tbody></table></div></details>\n");
}
