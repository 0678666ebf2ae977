//! What must hold: expectations and oracles; and the sweep and the report, which are checked here and run elsewhere.

use std::path::PathBuf;

use backroom_collector::config::{
    Diagnostic, Fields,
    codes::{E0101, E0104, E0107},
    fields::report,
    grammar::Part,
    quantity,
    tree::{Node, Table, Value},
};

use super::Cx;
use crate::scenario::{
    Expect, Oracle, Severity, codes,
    expr::{Op, Window},
    models,
    parse::{self, Names},
    paths::{DottedPath, value_at},
    shapes, words,
};

/// Points of a sweep that are looked at one by one; a larger one takes weeks to run anyway.
const POINTS_MAX: usize = 100_000;

impl Cx<'_> {
    pub(super) fn expects(&self, names: &Names) -> Vec<Expect> {
        let mut expects = Vec::new();
        for node in self.top.items("expect") {
            if let Some(f) = Fields::open(node, &shapes::EXPECT, place("expect", node), self.sink) {
                expects.extend(self.expect(&f, names));
            }
        }
        expects
    }

    fn expect(&self, f: &Fields<'_>, names: &Names) -> Option<Expect> {
        let id = f.text("id", |t| {
            super::words::name(t)?;
            Ok(t.to_owned())
        });
        let that = f.text("that", |t| parse::comparison(t, names));
        let window = match f.has("window") {
            true => f.text("window", |t| parse::window(t, names)),
            false => Some(Window::WholeRun),
        };
        let min_samples = f.integer("min_samples").map(|n| n as u64);
        let severities = [("error", Severity::Error), ("warn", Severity::Warn)];
        let severity = f.choice("severity", &severities).unwrap_or(Severity::Error);
        let confidence = f.text("confidence", words::confidence);
        if let (Some(_), Some(op)) = (confidence, that.as_ref().map(|that| that.op))
            && matches!(op, Op::Eq | Op::Ne)
        {
            self.sink.push(
                Diagnostic::error(&codes::E0209, "an exact value has no confidence")
                    .at(f.key_span("confidence"), "`that` compares with == or !=")
                    .help(String::from("compare with <, <=, > or >=, or leave it out")),
            );
        }
        let that_node = f.node("that")?;
        Some(Expect {
            id: id?,
            text: that_node.as_text()?.to_owned(),
            that: that?,
            window: window?,
            min_samples,
            confidence,
            severity,
            file: PathBuf::from(&self.sources.get(that_node.span.file).name),
            line: self.sources.place(that_node.span).line,
        })
    }

    pub(super) fn oracles(&self, names: &Names) -> Vec<Oracle> {
        let mut oracles = Vec::new();
        for node in self.top.items("oracle") {
            if let Some(f) = Fields::open(node, &shapes::ORACLE, place("oracle", node), self.sink) {
                oracles.extend(self.oracle(&f, names));
            }
        }
        oracles
    }

    fn oracle(&self, f: &Fields<'_>, names: &Names) -> Option<Oracle> {
        let id = f.text("id", |t| {
            super::words::name(t)?;
            Ok(t.to_owned())
        });
        let model = f.string("model");
        if let (Some(name), Some(node)) = (&model, f.node("model")) {
            match models::find(name) {
                Some(model) if model.runs => {}
                Some(_) => self.refuse(node.span, format!("has an oracle with the model `{name}`")),
                None => {
                    let known = models::MODELS.iter().map(|m| m.name);
                    self.sink.push(
                        Diagnostic::error(&codes::E0401, format!("unknown model `{name}`"))
                            .at(node.within(0..name.len()), "no such closed form")
                            .help(backroom_collector::config::did_you_mean(
                                name, known, "known",
                            )),
                    );
                }
            }
        }
        let fault = self.fault_of(f, model.as_deref(), names);
        let observe = f.text("observe", |t| parse::measure(t, names));
        let tolerance = f.text("tolerance", quantity::proportion);
        let holds = f.node("when").is_none_or(|when| self.when(f, when));
        if !holds {
            return None;
        }
        Some(Oracle {
            id: id?,
            model: model?,
            fault: fault?,
            observe: observe?,
            observe_text: f.string("observe")?,
            tolerance: tolerance?,
            line: self.sources.place(f.span()).line,
        })
    }

    /// The fault that an oracle is about; empty where its form is about none.
    fn fault_of(&self, f: &Fields<'_>, model: Option<&str>, names: &Names) -> Option<String> {
        let fault = f.string("fault");
        if let (Some(name), Some(node)) = (&fault, f.node("fault"))
            && let Err(err) = parse::known_fault(Part { text: name, at: 0 }, names)
        {
            report("fault", node, err, self.sink);
        }
        let has_fault = model.and_then(models::find)?.has_fault();
        match (has_fault, fault) {
            (true, None) => {
                self.sink.push(
                    Diagnostic::error(&E0101, "the oracle needs `fault`")
                        .at(f.span(), "no `fault` here")
                        .help(String::from(
                            "add the `id` of the fault that the form is about",
                        )),
                );
                None
            }
            (false, Some(_)) => {
                self.sink.push(
                    Diagnostic::error(&codes::E0209, "this form is about no fault")
                        .at(
                            f.key_span("fault"),
                            "it tells of a store in its steady state",
                        )
                        .help(String::from("leave `fault` out")),
                );
                None
            }
            (_, fault) => Some(fault.unwrap_or_default()),
        }
    }

    /// Whether the settings that a closed form needs are as it needs them.
    fn when(&self, f: &Fields<'_>, when: &Node) -> bool {
        let mut holds = true;
        for (path, node) in self.settings(when, DottedPath::default()) {
            let Some(ty) = path.ty(self.root, "the oracle depends on", self.sink) else {
                continue;
            };
            ty.check(&path.text(), node, self.sink);
            let found = value_at(self.root, &path.names);
            if found.is_some_and(|found| same(found, node)) {
                continue;
            }
            holds = false;
            if self.root.get("sweep").is_some() {
                continue;
            }
            let is = found.map_or_else(
                || String::from("is not set"),
                |n| format!("is `{}`", self.sources.text(n.span).trim_matches('"')),
            );
            let id = f.table().text("id").unwrap_or_default();
            self.sink.push(
                Diagnostic::warning(
                    &codes::W0603,
                    format!("oracle `{id}` is skipped: `{}` {is}", path.text()),
                )
                .at(node.span, "the closed form holds for this only"),
            );
        }
        self.skipped_points(f, when);
        holds
    }

    /// Reports how many points of the sweep a closed form does not hold at.
    fn skipped_points(&self, f: &Fields<'_>, when: &Node) {
        let Some(sweep) = self.root.get("sweep").and_then(Node::as_table) else {
            return;
        };
        let Some(grid) = sweep.get("grid") else {
            return;
        };
        let mut axes: Vec<(String, &[Node])> = Vec::new();
        for (path, node) in self.settings(grid, DottedPath::default()) {
            if let Value::Array(values) = &node.value {
                axes.push((path.text(), values.as_slice()));
            }
        }
        let points: usize = axes.iter().fold(1, |n, a| n.saturating_mul(a.1.len()));
        if points == 0 || points > POINTS_MAX {
            return;
        }
        let settings =
            |node| -> Vec<(DottedPath, &Node)> { self.settings(node, DottedPath::default()) };
        let conditions = settings(when);
        let skips: Vec<_> = match sweep.get("skip").map(|n| &n.value) {
            Some(Value::Array(list)) => list.iter().map(settings).collect(),
            _ => Vec::new(),
        };
        // What a setting is at a point: its value on the axis, or the file's.
        let is = |point: usize, path: &DottedPath, node: &Node| {
            let mut rest = point;
            for (name, values) in &axes {
                let value = &values[rest % values.len()];
                rest /= values.len();
                if *name == path.text() {
                    return same(value, node);
                }
            }
            value_at(self.root, &path.names).is_some_and(|found| same(found, node))
        };
        let all = |point: usize, list: &[(DottedPath, &Node)]| {
            list.iter().all(|(path, node)| is(point, path, node))
        };
        let run: Vec<usize> = (0..points)
            .filter(|point| !skips.iter().any(|skip| all(*point, skip)))
            .collect();
        let left = run
            .iter()
            .filter(|point| !all(**point, &conditions))
            .count();
        if left == 0 {
            return;
        }
        let id = f.table().text("id").unwrap_or_default();
        let names: Vec<String> = conditions.iter().map(|(path, _)| path.text()).collect();
        self.sink.push(
            Diagnostic::warning(
                &codes::W0603,
                format!(
                    "oracle `{id}` is skipped at {left} of {} points of the sweep",
                    run.len()
                ),
            )
            .at(
                when.span,
                format!("`{}` is another there", names.join("`, `")),
            ),
        );
    }

    /// The settings of a table, by dotted path; tables within are part of the path.
    fn settings<'n>(&self, node: &'n Node, above: DottedPath) -> Vec<(DottedPath, &'n Node)> {
        let mut list = Vec::new();
        for (name, entry) in node.as_table().into_iter().flat_map(|t| &t.entries) {
            let raw = self.sources.text(entry.key);
            let path = above.join(DottedPath::of_key(name, entry.key, raw));
            match entry.node.value {
                Value::Table(_) => list.extend(self.settings(&entry.node, path)),
                _ => list.push((path, &entry.node)),
            }
        }
        list
    }

    /// Checks the sweep; how many points it has.
    pub(super) fn sweep(&self, names: &Names) -> usize {
        if self.top.node("sweep").is_none() {
            return 1;
        }
        let Some(f) = self.top.fields("sweep") else {
            return 1;
        };
        let mut points = 1_usize;
        let grid = f.node("grid");
        if let Some(grid) = grid.filter(|node| f.checked("grid", node).is_some()) {
            for (path, node) in self.settings(grid, DottedPath::default()) {
                let ty = path.ty(self.root, "the sweep varies", self.sink);
                let Value::Array(values) = &node.value else {
                    self.sink.push(
                        Diagnostic::error(
                            &E0104,
                            format!("`{}` takes a list of values", path.text()),
                        )
                        .at(node.span, format!("this is {}", node.type_name())),
                    );
                    continue;
                };
                if values.is_empty() {
                    self.sink.push(
                        Diagnostic::error(&E0107, format!("`{}` has no values", path.text()))
                            .at(node.span, "a sweep without points")
                            .help(String::from(
                                "list what it takes in turn, or leave the line out",
                            )),
                    );
                }
                points = points.saturating_mul(values.len());
                if let Some(ty) = ty {
                    values
                        .iter()
                        .for_each(|v| ty.check(&path.text(), v, self.sink));
                }
            }
        }
        for skip in f.items("skip") {
            for (path, node) in self.settings(skip, DottedPath::default()) {
                if let Some(ty) = path.ty(self.root, "the sweep skips", self.sink) {
                    ty.check(&path.text(), node, self.sink);
                }
            }
        }
        for key in ["seeds_per_point", "order"] {
            if let Some(node) = f.node(key) {
                f.checked(key, node);
            }
        }
        if let Some(stop) = f.fields("stop_when") {
            stop.text("half_width", quantity::proportion);
            stop.text("of", |t| parse::measure(t, names));
        }
        points
    }

    /// Checks what the report is to show.
    pub(super) fn report(&self, names: &Names) {
        if self.top.node("report").is_none() {
            return;
        }
        let Some(f) = self.top.fields("report") else {
            return;
        };
        f.check_all();
        f.text("cell", |t| parse::cell(t, names));
        for key in ["rows", "columns"] {
            if let (Some(node), Some(text)) = (f.node(key), f.node(key).and_then(Node::as_text)) {
                let path = self.path_in(node, text, 0);
                path.ty(self.root, "the report shows", self.sink);
            }
        }
        if let (Some(node), Some(text)) =
            (f.node("answer"), f.node("answer").and_then(Node::as_text))
        {
            self.answer(node, text);
        }
    }

    /// A dotted path that stands in a text.
    fn path_in(&self, node: &Node, text: &str, at: usize) -> DottedPath {
        let mut path = DottedPath::default();
        for (name, start, end) in crate::scenario::merge::segments(text) {
            path.names.push(name);
            path.spans.push(node.within(at + start..at + end));
        }
        path
    }

    /// `smallest PATH where EXPECTATION passes`.
    fn answer(&self, node: &Node, text: &str) {
        let words: Vec<&str> = text.split_whitespace().collect();
        let ["smallest" | "largest", path, "where", id, "passes"] = words.as_slice() else {
            self.sink.push(
                Diagnostic::error(&codes::E0303, "`answer` cannot be read")
                    .at(node.within(0..text.len()), "expected a question")
                    .help(String::from("write smallest PATH where EXPECTATION passes")),
            );
            return;
        };
        let at = text.find(path).unwrap_or_default();
        self.path_in(node, path, at)
            .ty(self.root, "the answer is", self.sink);
        let known = |n: &Node| n.as_table().and_then(|t: &Table| t.text("id")) == Some(*id);
        if !self.root.tables("expect").any(known) {
            let at = text.rfind(id).unwrap_or_default();
            let ids: Vec<&str> = self
                .root
                .tables("expect")
                .filter_map(|n| n.as_table()?.text("id"))
                .collect();
            self.sink.push(
                Diagnostic::error(&codes::E0204, format!("there is no expectation `{id}`"))
                    .at(node.within(at..at + id.len()), "not declared")
                    .help(backroom_collector::config::did_you_mean(
                        id, ids, "declared",
                    )),
            );
        }
    }
}

/// `expect.no-order-lost`, or `expect` for one without a name.
fn place(kind: &str, node: &Node) -> String {
    match node.as_table().and_then(|t| t.text("id")) {
        Some(id) => format!("{kind}.{id}"),
        None => kind.to_owned(),
    }
}

/// Whether two values are the same, wherever they are written.
fn same(a: &Node, b: &Node) -> bool {
    match (&a.value, &b.value) {
        (Value::Text(a), Value::Text(b)) => a.value == b.value,
        (Value::Integer(a), Value::Integer(b)) => a == b,
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        _ => false,
    }
}
