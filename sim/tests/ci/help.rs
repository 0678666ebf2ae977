//! What `--help` says of the verbs whose options are many: a golden file each, so that a change is read before it is shipped.

use super::*;

#[test]
fn help_of_verbs_with_many_options() {
    for verb in ["fuzz", "shrink", "load", "sink"] {
        let (code, out, err) = told(&[verb, "--help"]);
        assert_eq!((code, err.as_str()), (0, ""));
        insta::with_settings!({ prepend_module_to_snapshot => false, snapshot_path => "../snapshots" }, {
            insta::assert_snapshot!(format!("help_{verb}"), out);
        });
    }
}
