//! The files for CI engines in `deploy/ci`, against the program: options that exist, variables that it reads.

use super::*;

const FILES: [&str; 3] = [
    "github-actions.yml",
    "kubernetes-job.yaml",
    "slurm-array.sbatch",
];

/// Every `backroom VERB …` of a text: the verb and its options.
fn commands(text: &str) -> Vec<(String, Vec<String>)> {
    let mut all = Vec::new();
    for line in text.lines() {
        // A sentence about the program is no command.
        let Some(at) = line.find("backroom ") else {
            continue;
        };
        let words: Vec<&str> = line[at..].split_whitespace().skip(1).collect();
        let verbs = ["run", "merge", "sweep", "diff"];
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
        let text = std::fs::read_to_string(root().join("deploy/ci").join(name)).expect("shipped");
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
    let kubernetes =
        std::fs::read_to_string(root().join("deploy/ci/kubernetes-job.yaml")).expect("shipped");
    let after = |what: &str| {
        let rest = kubernetes.split(what).nth(1).expect("it is there");
        let digits = rest.chars().skip_while(|c| !c.is_ascii_digit());
        digits.take_while(char::is_ascii_digit).collect::<String>()
    };
    assert_eq!(after("completions:"), after("- name: JOB_COMPLETION_COUNT"));
}

/// The script itself, as Slurm would run two tasks of it, and the merge that its comment tells.
#[test]
fn the_slurm_script_runs_parts_that_merge() {
    let folder = tempfile::tempdir().expect("a folder");
    let bin = folder.path().join("bin");
    std::fs::create_dir(&bin).expect("made");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_backroom"), bin.join("backroom"))
        .expect("linked");
    let script =
        std::fs::read_to_string(root().join("deploy/ci/slurm-array.sbatch")).expect("shipped");
    let script = script.replace("1..=1000", "1..=3");
    let path = format!(
        "{}:{}",
        str(&bin),
        std::env::var("PATH").unwrap_or_default()
    );
    for task in ["1", "2"] {
        let mut bash = Command::new("bash");
        bash.args(["-c", &script, "task", str(&root().join(QUICK))]);
        bash.current_dir(folder.path()).env("PATH", &path);
        for name in ENGINE_VARIABLES {
            bash.env_remove(name);
        }
        bash.env("SLURM_ARRAY_TASK_ID", task)
            .env("SLURM_ARRAY_TASK_MIN", "1");
        bash.env("SLURM_ARRAY_TASK_COUNT", "2")
            .env("SLURM_CPUS_PER_TASK", "1");
        let out = bash.output().expect("bash is there");
        assert!(
            out.status.success(),
            "{}{}",
            text(&out.stdout),
            text(&out.stderr)
        );
    }
    let mut merge = command(&["merge", "runs", "--runs", "merged"]);
    let out = merge
        .current_dir(folder.path())
        .output()
        .expect("it starts");
    assert!(
        text(&out.stdout).contains("quick  3 seeds"),
        "{}{}",
        text(&out.stdout),
        text(&out.stderr)
    );
}
