//! The files for CI engines in `deploy/ci`, against the program: options that exist, variables that it reads.

use super::*;

const FILES: [&str; 6] = [
    "github-actions.yml",
    "github-search.yml",
    "kubernetes-job.yaml",
    "kubernetes-search.yaml",
    "slurm-array.sbatch",
    "slurm-search.sbatch",
];

fn shipped(name: &str) -> String {
    std::fs::read_to_string(root().join("deploy/ci").join(name)).expect("shipped")
}

/// Every `backroom VERB …` of a text: the verb and its options.
fn commands(text: &str) -> Vec<(String, Vec<String>)> {
    let mut all = Vec::new();
    for line in text.lines() {
        // A sentence about the program is no command.
        let Some(at) = line.find("backroom ") else {
            continue;
        };
        let words: Vec<&str> = line[at..].split_whitespace().skip(1).collect();
        let verbs = ["run", "merge", "sweep", "fuzz", "diff"];
        let Some((verb, rest)) = words.split_first().filter(|(v, _)| verbs.contains(v)) else {
            continue;
        };
        let options = rest.iter().filter(|w| w.starts_with("--"));
        all.push((
            (*verb).to_owned(),
            options.map(|o| (*o).to_owned()).collect(),
        ));
    }
    all
}

/// What a file says that the program does not know.
fn wrong(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (verb, options) in commands(text) {
        let (_, help, _) = told(&[&verb, "--help"]);
        let unknown = options
            .into_iter()
            .filter(|option| !help.contains(option.as_str()));
        wrong.extend(unknown.map(|option| format!("{verb} {option}")));
    }
    wrong
}

#[test]
fn files_for_ci_engines_fit_the_program() {
    for name in FILES {
        let text = shipped(name);
        assert_eq!(wrong(&text), Vec::<String>::new(), "{name}");
        assert!(
            commands(&text).len() >= 2,
            "{name} shows how parts are run and put together"
        );
        assert!(text.contains("--shard auto"), "{name}");
        for word in
            text.split(|c: char| !c.is_ascii_alphanumeric() && c != '/' && c != '.' && c != '-')
        {
            if word.starts_with("scenarios/") && word.ends_with(".toml") {
                assert!(root().join(word).is_file(), "{name}: {word}");
            }
        }
    }
    assert_eq!(wrong("backroom run x --shrad auto"), ["run --shrad"]);
}

/// Guarantees: the pods know how many they are, and find the scenario and its store where the command looks for them.
#[test]
fn kubernetes_manifests_are_consistent() {
    for name in ["kubernetes-job.yaml", "kubernetes-search.yaml"] {
        let text = shipped(name);
        let after = |what: &str| {
            let rest = text.split(what).nth(1).expect("it is there");
            let digits = rest.chars().skip_while(|c| !c.is_ascii_digit());
            digits.take_while(char::is_ascii_digit).collect::<String>()
        };
        assert_eq!(after("completions:"), after("- name: JOB_COMPLETION_COUNT"));
        let mounted = tempfile::tempdir().expect("a folder");
        for item in text.split("- { key: ").skip(1) {
            let (key, rest) = item.split_once(", path: ").expect("a path");
            let (path, _) = rest.split_once(" }").expect("an end");
            let from = format!("--from-file=scenarios/{path}");
            assert!(
                text.contains(&from) && path.ends_with(key),
                "{name}: {from}"
            );
            let to = mounted.path().join(path);
            std::fs::create_dir_all(to.parent().expect("a folder")).expect("made");
            std::fs::copy(root().join("scenarios").join(path), to).expect("copied");
        }
        let command = text.lines().find(|line| line.contains("--shard auto"));
        let mut words = command.expect("a part").split_whitespace();
        let file = words.find_map(|word| word.strip_prefix("scenarios/"));
        let file = mounted.path().join(file.expect("a scenario"));
        let (code, out, err) = told(&["check", str(&file)]);
        assert_eq!(code, 0, "{name}: {out}{err}");
    }
}

/// A folder in which `backroom` is found as an engine finds it.
struct Machine {
    folder: tempfile::TempDir,
    path: String,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let bin = folder.path().join("bin");
        std::fs::create_dir(&bin).expect("made");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_backroom"), bin.join("backroom"))
            .expect("linked");
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", str(&bin));
        Self { folder, path }
    }

    /// Runs a script with one argument and these variables, which ends well.
    fn run(&self, script: &str, argument: &str, variables: &[(&str, &str)]) -> String {
        let mut bash = Command::new("bash");
        bash.args(["-c", script, "task", argument]);
        bash.current_dir(&self.folder).env("PATH", &self.path);
        for name in ENGINE_VARIABLES {
            bash.env_remove(name);
        }
        let out = bash.envs(variables.iter().copied()).output();
        let out = out.expect("bash is there");
        let (shown, err) = (text(&out.stdout), text(&out.stderr));
        assert!(out.status.success(), "{script}: {shown}{err}");
        shown
    }
}

/// The script itself, as Slurm would run two tasks of it, and the merge that its comment tells.
#[test]
fn the_slurm_script_runs_parts_that_merge() {
    let machine = Machine::new();
    let script = shipped("slurm-array.sbatch").replace("1..=1000", "1..=3");
    for task in ["1", "2"] {
        let variables = [
            ("SLURM_ARRAY_TASK_ID", task),
            ("SLURM_ARRAY_TASK_MIN", "1"),
            ("SLURM_ARRAY_TASK_COUNT", "2"),
            ("SLURM_CPUS_PER_TASK", "1"),
        ];
        machine.run(&script, str(&root().join(QUICK)), &variables);
    }
    let merged = machine.run("backroom merge runs --runs merged", "", &[]);
    assert!(merged.contains("quick  3 seeds"), "{merged}");
}

/// The parts of a search, each with the very command of an engine's file and the variables that the engine sets, and the merge that the
/// file says.
/// Guarantees: all engines give the cases of the search that nobody has shared, byte for byte.
#[test]
fn searches_of_all_engines_are_the_one_that_nobody_shared() {
    let file = root().join("sim/tests/fixtures/search.toml");
    let search = |name: &str, parts: [&[(&str, &str)]; 2]| {
        let machine = Machine::new();
        let fitted = |line: &str| {
            let line = line.trim_start_matches(['#', ' ', '-']);
            let line = line.strip_prefix("run: ").unwrap_or(line);
            line.replace("scenarios/lunch-uplink-cut.toml", str(&file))
                .replace("--cases 2000", "--cases 3")
                .replace("--budget 30m", "--cases 3")
                .replace("/runs/", "shared/")
        };
        let text = shipped(name);
        let line = |what: &str| {
            let mut lines = text.lines().filter(|line| line.contains("backroom fuzz "));
            fitted(lines.find(|line| line.contains(what)).expect(what))
        };
        for variables in parts {
            machine.run(&line("--shard auto"), str(&file), variables);
        }
        // What each machine has kept, as the engine hands it on.
        let parts = machine.folder.path().join("parts");
        if name == "github-search.yml" {
            let runs = machine.folder.path().join("runs");
            std::fs::rename(runs, parts).expect("kept");
        }
        machine.run(&line("--merge"), "", &[]);
        let kept = latest(&machine.folder.path().join("runs"), "search.fuzz");
        std::fs::read_to_string(kept.join("cases.ndjson")).expect("kept")
    };
    let whole = tempfile::tempdir().expect("a folder");
    let args = ["fuzz", str(&file), "--cases", "3", "--runs"];
    let (code, out, err) = told(&[&args[..], &[str(whole.path())]].concat());
    assert_eq!(code, 0, "{out}{err}");
    let log = latest(whole.path(), "search.fuzz").join("cases.ndjson");
    let log = std::fs::read_to_string(log).expect("kept");
    assert_eq!(log.lines().count(), 4, "{log}");
    let slurm = |task| {
        [
            ("SLURM_ARRAY_TASK_ID", task),
            ("SLURM_ARRAY_TASK_MIN", "1"),
            ("SLURM_ARRAY_TASK_COUNT", "2"),
            ("SLURM_CPUS_PER_TASK", "1"),
        ]
    };
    assert_eq!(
        search("slurm-search.sbatch", [&slurm("1"), &slurm("2")]),
        log
    );
    let pod = |index| {
        [
            ("JOB_COMPLETION_INDEX", index),
            ("JOB_COMPLETION_COUNT", "2"),
        ]
    };
    assert_eq!(
        search("kubernetes-search.yaml", [&pod("0"), &pod("1")]),
        log
    );
    let job = |index| {
        [
            ("STRATEGY_JOB_INDEX", index),
            ("STRATEGY_JOB_TOTAL", "2"),
            ("GITHUB_RUN_NUMBER", "1"),
        ]
    };
    assert_eq!(search("github-search.yml", [&job("0"), &job("1")]), log);
}
