//! Keys that vary on their own or together, and combinations that are left out.

use crate::fixture;
use experiments::error::HarnessError;
use experiments::spec::{Override, Suite};

fn load(sweep: &str, overrides: &[&str]) -> Result<Suite, HarnessError> {
    let (folder, _) = fixture::workspace();
    let overrides = overrides.iter().map(|argument| Override::parse(argument)).collect::<Result<Vec<_>, _>>()?;
    Suite::parse(&format!("{}{sweep}", fixture::SPEC), "spec.toml", &overrides, folder.path())
}

/// Threads, block size and rotation of each cell.
fn cells(sweep: &str, overrides: &[&str]) -> Vec<(usize, usize, bool)> {
    let cells = load(sweep, overrides).unwrap().cells;
    assert!(cells.iter().enumerate().all(|(index, cell)| cell.index == index));
    cells
        .iter()
        .map(|cell| &cell.config)
        .map(|config| (config.threads(), config.input.block_tokens, config.mitigation.rotate))
        .collect()
}

fn refusal(sweep: &str, overrides: &[&str]) -> String {
    load(sweep, overrides).expect_err("must be refused").to_string()
}

const ZIP: &str = "\n[sweep.zip]\nengine.threads = [1, 2, 4]\ninput.block_tokens = [8, 16, 32]\n";
const PRODUCT: &str = "[sweep.product]\nmitigation.rotate = [false, true]\n";
const BOTH: &str = "\n[sweep.product]\ninput.block_tokens = [8, 16, 32]\nmitigation.rotate = [false, true]\n";

#[test]
fn zipped_keys_vary_together_within_the_product() {
    assert_eq!(cells(ZIP, &[]), [(1, 8, false), (2, 16, false), (4, 32, false)]);
    let expected = [(1, 8, false), (2, 16, false), (4, 32, false), (1, 8, true), (2, 16, true), (4, 32, true)];
    assert_eq!(cells(&format!("{ZIP}{PRODUCT}"), &[]), expected);
}

#[test]
fn an_overridden_key_leaves_the_zip_and_the_rest_stays_together() {
    assert_eq!(cells(ZIP, &["engine.threads=3"]), [(3, 8, false), (3, 16, false), (3, 32, false)]);
    assert_eq!(cells(ZIP, &["engine.threads=3", "input.block_tokens=64"]), [(3, 64, false)]);
}

#[test]
fn what_matches_an_exclusion_is_left_out() {
    let one = format!("{BOTH}[[sweep.exclude]]\ninput.block_tokens = 8\nmitigation.rotate = true\n");
    let expected = [(2, 8, false), (2, 16, false), (2, 16, true), (2, 32, false), (2, 32, true)];
    assert_eq!(cells(&one, &[]), expected);
    let two = format!("{one}[[sweep.exclude]]\n\"input.block_tokens\" = 32\n");
    assert_eq!(cells(&two, &[]), expected[..3]);
    let zipped = format!("{ZIP}[[sweep.exclude]]\nengine.threads = 2\n");
    assert_eq!(cells(&zipped, &[]), [(1, 8, false), (4, 32, false)]);
}

/// What is excluded stays excluded when an override makes it the only value of its key.
#[test]
fn an_exclusion_is_held_against_overrides() {
    let sweep = format!("{BOTH}[[sweep.exclude]]\ninput.block_tokens = 8\nmitigation.rotate = true\n");
    assert_eq!(cells(&sweep, &["mitigation.rotate=true"]), [(2, 16, true), (2, 32, true)]);
    assert_eq!(cells(&sweep, &["mitigation.rotate=false"]).len(), 3);
    let both = ["mitigation.rotate=true", "input.block_tokens=8"];
    assert!(refusal(&sweep, &both).contains("`sweep.exclude` leaves no combination"), "{}", refusal(&sweep, &both));
}

#[test]
fn rejects_lists_of_unequal_length_in_a_zip() {
    let message = refusal("\n[sweep.zip]\nengine.threads = [1, 2]\ninput.block_tokens = [8, 16, 32]\n", &[]);
    let expected = "spec.toml, [sweep.zip]: `input.block_tokens` has 3 values, but `engine.threads` has 2; settings that vary together need \
                    equally many";
    assert_eq!(message, expected);
}

#[test]
fn rejects_unknown_keys_and_what_is_no_list() {
    assert!(refusal("\n[sweep.zip]\nengine.thread = [1]\n", &[]).ends_with("did you mean `engine.threads`?"));
    let unknown = refusal(&format!("{BOTH}[[sweep.exclude]]\nmitigation.rotat = true\n"), &[]);
    assert_eq!(
        unknown,
        "spec.toml, [[sweep.exclude]]: unknown key `mitigation.rotat`; did you mean `mitigation.rotate`?"
    );
    assert!(refusal("\n[sweep.zip]\nengine.threads = 1\n", &[]).contains("expected a list with at least one value"));
    assert!(refusal("\n[sweep.zips]\nengine.threads = [1]\n", &[]).contains("did you mean `sweep.zip`?"));
}

#[test]
fn rejects_a_key_that_varies_twice() {
    let twice = format!("{ZIP}[sweep.product]\nengine.threads = [1, 2]\n");
    assert!(refusal(&twice, &[]).contains("`engine.threads` varies in [sweep.product], too"));
}

#[test]
fn rejects_exclusions_that_leave_out_nothing_or_everything() {
    for (exclusion, part) in [
        ("input.block_tokens = 64", "`input.block_tokens` is 64, which leaves nothing out; it varies over 8, 16, 32"),
        ("engine.seed = 1", "`engine.seed` is excluded, but does not vary; the sweep varies input.block_tokens"),
        ("", "expected a table with at least one key"),
    ] {
        let message = refusal(&format!("{BOTH}[[sweep.exclude]]\n{exclusion}\n"), &[]);
        assert!(message.contains(part), "{message}");
    }
    let apart = format!("{ZIP}[[sweep.exclude]]\nengine.threads = 1\ninput.block_tokens = 16\n");
    assert!(refusal(&apart, &[]).contains("number 1 leaves nothing out: no combination has engine.threads = 1 and"));
    let all =
        format!("{BOTH}[[sweep.exclude]]\nmitigation.rotate = true\n[[sweep.exclude]]\nmitigation.rotate = false\n");
    assert!(refusal(&all, &[]).contains("leaves no combination"));
    let table = format!("{BOTH}[sweep.exclude]\nmitigation.rotate = true\n");
    assert!(refusal(&table, &[]).contains("`sweep.exclude` is table, expected tables [[sweep.exclude]]"));
    assert!(refusal("\n[[sweep.exclude]]\nengine.threads = 1\n", &[]).contains("the sweep varies nothing"));
}
