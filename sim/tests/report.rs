//! `backroom report` and `backroom plan` as users meet them: what is written, what is refused, and how the page looks in a browser.
//!
//! The browser is headless Chromium, where there is one (`BACKROOM_CHROMIUM` names another); the tests say so and pass where there is
//! none. They do not look at the page, they measure it: no label leaves its plot, no two of an axis touch, no plot is empty, nothing is
//! wider than the screen, and what the policy forbids is not there. Pictures are kept below `target/tmp/report` for people.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

fn root() -> PathBuf {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_folder.parent().expect("in the workspace").to_owned()
}

fn backroom(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_backroom"))
        .args(args)
        .current_dir(root())
        .env("NO_COLOR", "1")
        .output()
        .expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A short lunch, run once for all tests: its folder.
fn kept() -> &'static Path {
    static KEPT: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, folder) = KEPT.get_or_init(|| {
        let runs = tempfile::tempdir().expect("a folder");
        let out = backroom(&[
            "run",
            "scenarios/lunch-uplink-cut.toml",
            "--seeds",
            "1,2",
            "--runs",
            runs.path().to_str().expect("text"),
            "--set",
            "start=2025-03-14T11:57:00-05:00",
            "--set",
            "duration=18m",
            "--set",
            "warmup=3m",
            "--set",
            "fault.uplink-cut.for=4m",
            "--set",
            "traffic.telemetry.rate=4KB/s",
            "--set",
            "expect.caught-up-in-10-min.that=recovery(telemetry.backlog, below=256KiB) < 1s",
        ]);
        let screen = text(&out.stdout);
        assert!(screen.contains("/report.html      exit"), "{screen}");
        let folder = runs.path().join("lunch-uplink-cut/latest");
        (runs, folder)
    });
    folder
}

fn read(name: &str) -> String {
    let path = kept().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn a_run_keeps_its_series_and_a_report_of_them() {
    let page = read("report.html");
    for text in [
        "Telemetry backlog",
        "Active line",
        "lte, up, by class",
        "payment.auth",
        "qsr-18.toml",
    ] {
        assert!(page.contains(text), "{text}");
    }
    assert!(page.len() < 2_000_000, "{} bytes", page.len());

    let series: serde_json::Value = serde_json::from_str(&read("series.json")).expect("JSON");
    assert_eq!(series["schema_version"], 1);
    let schema = text(&backroom(&["schema", "series"]).stdout);
    let schema: serde_json::Value = serde_json::from_str(&schema).expect("JSON");
    let schema = jsonschema::validator_for(&schema).expect("a schema");
    let errors: Vec<String> = schema.iter_errors(&series).map(|e| e.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");

    // The same page again from what was kept, byte for byte.
    let folder = kept().to_str().expect("text");
    let again = backroom(&["report", folder, "-o", "-"]);
    assert!(again.status.success(), "{}", text(&again.stderr));
    assert!(
        text(&again.stdout) == page,
        "the page is made of the kept files alone"
    );
    let markdown = text(&backroom(&["report", folder, "--format", "markdown"]).stdout);
    assert!(markdown.starts_with("# lunch-uplink-cut\n"), "{markdown}");
    let csv = text(&backroom(&["report", folder, "--format", "csv"]).stdout);
    assert!(csv.starts_with("seed,plot,track,unit,at_seconds,value\r\n"));
    assert!(csv.contains("\r\n1,backlog,\"stored, not acknowledged\",bytes,0,0\r\n"));
}

#[test]
fn what_cannot_be_read_is_refused() {
    let check = |summary: Option<&str>, series: Option<&str>, code: i32, says: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        let put = |name: &str, text: Option<&str>| {
            if let Some(text) = text {
                std::fs::write(folder.path().join(name), text).expect("it can be written");
            }
        };
        put("summary.json", summary);
        put("series.json", series);
        let out = backroom(&["report", folder.path().to_str().expect("text")]);
        let errors = text(&out.stderr);
        assert_eq!(out.status.code(), Some(code), "{errors}");
        assert!(errors.contains(says), "{errors}");
        assert!(
            !folder.path().join("report.html").exists(),
            "nothing is written"
        );
    };
    let summary = read("summary.json");
    check(None, None, 66, "summary.json: not found");
    check(Some("{}"), None, 65, "no schema_version");
    check(Some("\u{0}garbage"), None, 65, "it is not JSON");
    let newer = summary.replacen("\"schema_version\": 1", "\"schema_version\": 2", 1);
    check(
        Some(&newer),
        None,
        65,
        "it has schema_version 2, and this backroom reads 1",
    );
    check(
        Some(&summary),
        Some("[1,2"),
        65,
        "series.json: it is not JSON",
    );
    check(
        Some(&summary),
        Some("{\"schema_version\":1}"),
        65,
        "series.json: it is not what",
    );
    let out = backroom(&["report", "runs/no-such-scenario/latest"]);
    assert_eq!(out.status.code(), Some(66), "{}", text(&out.stderr));
    let out = backroom(&[
        "report",
        kept().to_str().expect("text"),
        "-o",
        "/nonexistent/r.html",
    ]);
    assert_eq!(out.status.code(), Some(73), "{}", text(&out.stderr));
}

#[test]
fn a_plan_answers_both_ways() {
    let forward = backroom(&[
        "plan",
        "--outage",
        "14d",
        "--line",
        "5Mbit/s",
        "--target-recovery",
        "8h",
        "--no-simulate",
    ]);
    insta::assert_snapshot!("plan", text(&forward.stdout));
    let back = backroom(&[
        "plan",
        "--disk",
        "512MiB",
        "--line",
        "2Mbit/s",
        "--no-simulate",
        "--json",
    ]);
    let plan: serde_json::Value = serde_json::from_slice(&back.stdout).expect("JSON");
    assert_eq!(plan["answers"][0]["id"], "outage-survived");
    assert_eq!(
        backroom(&["plan", "--line", "2Mbit/s"]).status.code(),
        Some(64)
    );
    let bad = backroom(&["plan", "--line", "2Mbit/s", "--outage", "soon"]);
    assert_eq!(bad.status.code(), Some(64));
}

/// Scenario: a line on which no recovery ends within 45 minutes should telemetry compress half as well as declared.
/// Guarantees: ten minutes of outage and five after it are run all the same; what they measure is put into the forms, that of the recovery
/// too, and the plan says that nobody saw its end.
#[test]
fn a_plan_without_an_end_in_sight_is_measured_all_the_same() {
    let out = backroom(&[
        "plan",
        "--store",
        "agency-office",
        "--line",
        "36kbit/s",
        "--share",
        "100%",
        "--outage",
        "1h",
        "--json",
    ]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let plan: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let answer = |id: &str| {
        let all = plan["answers"].as_array().expect("answers");
        let found = all.iter().find(|a| a["id"] == id);
        found.unwrap_or_else(|| panic!("{id}: {plan:#}"))
    };
    let (disk, recovery) = (answer("buffer-disk"), answer("recovery"));
    for of in [disk, recovery] {
        let how = of["simulated_how"].as_str().expect("how");
        assert!(how.starts_with("1 store, 10m of outage: a = "), "{how}");
        assert!(how.ends_with("the run ended before the recovery"), "{how}");
    }
    let figure = |of: &serde_json::Value, name: &str| of[name].as_f64().expect(name);
    // 2,000 B/s for an hour on paper. So little telemetry compresses worse than is declared: more disk, and a longer recovery.
    let worse = figure(disk, "simulated") / figure(disk, "value");
    assert!((1.1..1.9).contains(&worse), "{disk:#}");
    let longer = figure(recovery, "simulated") / figure(recovery, "value");
    assert!(longer > worse, "{recovery:#}");
    let notes = plan["notes"].as_array().expect("notes");
    let note = notes.last().and_then(|n| n.as_str()).expect("a note");
    assert!(note.ends_with("plans with what was simulated"), "{note}");
}

fn chromium() -> Option<String> {
    let named = std::env::var("BACKROOM_CHROMIUM").ok();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let all = named.into_iter().chain(names.map(str::to_owned));
    let works = |name: &String| {
        let out = Command::new(name).arg("--version").output();
        out.is_ok_and(|out| out.status.success())
    };
    let found = all.into_iter().find(works);
    if found.is_none() {
        eprintln!("skipped: there is no chromium; the page was not seen in a browser");
    }
    found
}

/// Runs the browser on a page; gives its standard output.
fn browse(browser: &str, page: &Path, args: &[&str]) -> String {
    let profile = tempfile::tempdir().expect("a folder");
    let out = Command::new(browser)
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(args)
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("it starts");
    assert!(out.status.success(), "{}", text(&out.stderr));
    text(&out.stdout)
}

/// Measures a page that has been laid out, and puts what is wrong into an element.
const MEASURE: &str = r#"
addEventListener("load", () => {
  const wrong = [];
  const box = (e) => e.getBoundingClientRect();
  const inside = (a, b) => a.left >= b.left - 1 && a.right <= b.right + 1 && a.top >= b.top - 1 && a.bottom <= b.bottom + 1;
  for (const seed of document.querySelectorAll("details.seed")) seed.open = true;
  let plots = 0;
  for (const svg of document.querySelectorAll("svg.plot")) {
    plots += 1;
    const name = svg.getAttribute("aria-label");
    for (const label of svg.querySelectorAll("text")) {
      if (!inside(box(label), box(svg))) wrong.push(name + ": label `" + label.textContent + "` leaves its plot");
    }
    const ticks = [...svg.querySelectorAll("text.tick")].map((t) => [t.textContent, box(t)]);
    for (let i = 1; i < ticks.length; i += 1) {
      const [a, b] = [ticks[i - 1][1], ticks[i][1]];
      const apart = a.right <= b.left || b.right <= a.left || a.bottom <= b.top + 2 || b.bottom <= a.top + 2;
      if (!apart) wrong.push(name + ": ticks `" + ticks[i - 1][0] + "` and `" + ticks[i][0] + "` touch");
    }
    if (ticks.length < 2) wrong.push(name + ": no ticks");
    if (svg.dataset.plot !== "timeline") {
      const paths = [...svg.querySelectorAll("path.line")];
      if (!paths.some((p) => p.getTotalLength() > 1)) wrong.push(name + ": the plot is empty");
      const units = [...svg.querySelectorAll("text.tick")].some((t) => t.getAttribute("text-anchor") === "end");
      if (!units) wrong.push(name + ": no vertical axis");
    }
  }
  if (plots === 0) wrong.push("there are no plots");
  const width = document.documentElement;
  if (width.scrollWidth > width.clientWidth + 1) wrong.push("the page is " + width.scrollWidth + " wide, the screen " + width.clientWidth);
  for (const a of document.querySelectorAll("a[href^='#']")) {
    if (!document.getElementById(a.hash.slice(1))) wrong.push("link to nothing: " + a.hash);
  }
  // The cursor is shared: a pointer over one plot draws a line in all of them.
  const one = document.querySelector("details.seed svg.plot[data-plot$='p0']");
  if (one) {
    const b = box(one);
    one.dispatchEvent(new PointerEvent("pointermove", { clientX: b.left + b.width / 2, clientY: b.top + 5, bubbles: true }));
    const lines = one.closest("details").querySelectorAll("line.cursor[visibility=visible]").length;
    if (lines !== one.closest("details").querySelectorAll("svg.plot").length) wrong.push("the cursor is in " + lines + " plots");
    const says = one.closest("details").querySelector(".readout").textContent;
    if (!/\d\d:\d\d:\d\d .*stored, not acknowledged/.test(says)) wrong.push("the readout says `" + says + "`");
  }
  const out = document.createElement("pre");
  out.id = "measured";
  out.textContent = JSON.stringify({ plots, wrong });
  document.body.append(out);
});
"#;

/// Scenario: the report of a short run in headless Chromium, on a desk and on a phone, light, dark, and on paper.
/// Guarantees: labels are whole and apart, plots are not empty, nothing is wider than the screen, the policy holds against a script
/// that is not the page's own, and the pages of a print are A4.
#[test]
fn the_page_is_whole_in_a_browser() {
    let Some(browser) = chromium() else { return };
    let page = read("report.html");
    let folder = root().join("target/tmp/report");
    std::fs::create_dir_all(&folder).expect("a folder for pictures");
    let put = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("it can be written");
        path
    };
    let real = put("report.html", &page);
    // A second script is refused by the policy: to measure, the policy has to go.
    let script = format!("<script>{MEASURE}</script></body>");
    let refused = put("refused.html", &page.replace("</body>", &script));
    let dom = browse(&browser, &refused, &["--dump-dom"]);
    assert!(!dom.contains("id=\"measured\""), "a foreign script ran");
    let (before, rest) = page.split_once("<meta http-equiv").expect("a policy");
    let (_, after) = rest.split_once('>').expect("it ends");
    let open = format!("{before}{after}").replace("</body>", &script);
    let open = put("measured.html", &open);
    for size in ["1100,1400", "500,1000"] {
        let dom = browse(
            &browser,
            &open,
            &[&format!("--window-size={size}"), "--dump-dom"],
        );
        let (_, found) = dom
            .split_once("<pre id=\"measured\">")
            .expect("it was measured");
        let (found, _) = found.split_once("</pre>").expect("it ends");
        let found: serde_json::Value = serde_json::from_str(found).expect("JSON");
        assert_eq!(found["wrong"], serde_json::json!([]), "{size}");
        assert!(found["plots"].as_u64().expect("a number") >= 10, "{found}");
    }
    let shot = |name: &str, args: &[&str]| {
        let target = folder.join(name);
        let picture = format!("--screenshot={}", target.display());
        browse(&browser, &real, &[&[picture.as_str()], args].concat());
        assert!(
            std::fs::metadata(&target).is_ok_and(|m| m.len() > 20_000),
            "{name}"
        );
    };
    shot("light.png", &["--window-size=1100,3000"]);
    shot(
        "dark.png",
        &[
            "--window-size=1100,3000",
            "--blink-settings=preferredColorScheme=0",
        ],
    );
    shot("phone.png", &["--window-size=500,3000"]);
    let pdf = folder.join("print.pdf");
    let to = format!("--print-to-pdf={}", pdf.display());
    browse(&browser, &real, &["--no-pdf-header-footer", &to]);
    let bytes = std::fs::read(&pdf).expect("it was printed");
    // A4 in points, as PDF writes it.
    let a4 = text(&bytes).matches("/MediaBox [0 0 594.95").count();
    assert!(a4 > 0, "no page of the print is A4");
}
