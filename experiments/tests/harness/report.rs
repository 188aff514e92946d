//! The report: one file that needs nothing beside itself, in which every record has its command and its provenance.

use crate::fixture;

use experiments::atomic::OsDisk;
use experiments::error::HarnessError;
use experiments::identity::{DataHashes, ResolvedCell};
use experiments::journal::Journal;
use experiments::record::CellRecord;
use experiments::report;
use experiments::spec::{Override, Suite};
use experiments::workspace::Workspace;
use std::collections::BTreeSet;
use std::path::Path;
use tempfile::TempDir;

const SCRIPT: &str = "<script>alert(1)</script>";
const DEVICE: &str = r#"
[device]
name = "Imaginary GPU"
architecture = "sm_00"
memory_bytes = 85017493504
cuda = "13.0"
commit = "0123456"
date = "2026-01-02"

[[figures]]
name = "copy"
value = 17.47
unit = "us"
count = 9
range = [17.4, 17.5]
bytes = 41943040
share_of_floor = 0.7985
"#;

/// A workspace whose committed suite sweeps two prompts and has two records, the second from a GPU and hard to overlook.
fn recorded() -> (TempDir, Workspace, [CellRecord; 2]) {
    let (folder, workspace) = fixture::workspace();
    let sweep = format!("[sweep.product]\n\"input.prompts\" = [[\"It's one\"], [\"{SCRIPT}\"]]\n");
    let spec = format!("{}insecure = true\n[must]\nkl_mean = 1e-9\n{sweep}", fixture::SPEC);
    let path = workspace.suite_spec("sample");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, &spec).unwrap();
    let cells = Suite::parse(&spec, "spec.toml", &[], folder.path()).unwrap().cells;
    let gpu = || experiments::machine::Machine { gpu: Some("Imaginary GPU".into()), ..fixture::machine() };
    let records = [fixture::machine(), gpu()].into_iter().zip(cells).map(|(machine, cell)| {
        let root = folder.path().to_path_buf();
        let resolved = ResolvedCell::with(cell, DataHashes::default(), fixture::code(), machine, root);
        let begun = CellRecord::begin(&resolved);
        let full = fixture::record(&spec, folder.path());
        let mut provenance = begun.provenance.clone();
        provenance.started_at = full.provenance.started_at.clone();
        CellRecord {
            identity: begun.identity,
            config_hash: begun.config_hash,
            cell: begun.cell,
            config: begun.config,
            provenance,
            ..full
        }
    });
    let mut records: Vec<CellRecord> = records.collect();
    records[1].prompts[0].text = SCRIPT.into();
    records[1].question = format!("{SCRIPT}?");
    records[1].model.path = SCRIPT.into();
    records[1].model.synthetic = Some("by dice".into());
    records[1].model.assumed_ranges = Some("those of another".into());
    records[1].footprint.device_memory_bytes = 3 << 30;
    let journal = Journal::of(&workspace, "sample");
    records.iter().for_each(|record| journal.append(record, &OsDisk).unwrap());
    let device = workspace.results().join("gpu/imaginary.toml");
    std::fs::create_dir_all(device.parent().unwrap()).unwrap();
    std::fs::write(device, DEVICE).unwrap();
    (folder, workspace, records.try_into().unwrap())
}

fn page(workspace: &Workspace) -> String {
    std::fs::read_to_string(report::derive(workspace, None).unwrap()).unwrap()
}

/// Values of an attribute, each with the name of the element that has it.
fn attributes<'a>(page: &'a str, name: &str) -> Vec<(&'a str, &'a str)> {
    let marker = format!(" {name}=\"");
    let found = page.match_indices(&marker).map(|(at, _)| {
        let element = page[..at].rsplit('<').next().and_then(|tag| tag.split_whitespace().next()).unwrap_or_default();
        let value = page[at + marker.len()..].split('"').next().unwrap_or_default();
        (element, value)
    });
    found.collect()
}

/// A text as a browser shows it.
fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

#[test]
fn the_page_is_made_twice_byte_for_byte() {
    let (_folder, workspace, _) = recorded();
    let first = page(&workspace);
    let elsewhere = report::derive(&workspace, Some(Path::new("pages/other.html"))).unwrap();
    assert!(elsewhere.ends_with("pages/other.html"));
    assert!(std::fs::read_to_string(elsewhere).unwrap() == first);
}

/// Addresses may be followed by whoever reads them, but nothing is loaded from one.
#[test]
fn no_request_leaves_the_page() {
    let (_folder, workspace, _) = recorded();
    let page = page(&workspace);
    assert_eq!(attributes(&page, "src"), []);
    for (element, address) in attributes(&page, "href") {
        let is_place = address.starts_with('#') || address.starts_with("data:");
        assert!(is_place || (element == "a" && address.starts_with("https://")), "<{element} href={address}>");
    }
    for loading in ["url(", "@import", "fetch(", "XMLHttpRequest", "srcset", "<iframe", "<object", "<link rel=\"style"]
    {
        assert!(!page.contains(loading), "{loading}");
    }
    assert!(page.contains("Content-Security-Policy") && page.contains("default-src 'none'"));
}

#[test]
fn what_comes_from_records_is_text() {
    let (_folder, workspace, _) = recorded();
    let page = page(&workspace);
    assert_eq!(page.matches("<script").count(), 1, "only the page's own");
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;?</p>"), "the question is shown");
    // The question, the prompt, the model in table and figure, the setting in headings and commands.
    assert!(page.matches("&lt;script&gt;alert(1)&lt;/script&gt;").count() > 6);
}

#[test]
fn every_link_leads_to_one_place() {
    let (_folder, workspace, records) = recorded();
    let page = page(&workspace);
    let places: Vec<&str> = attributes(&page, "id").into_iter().map(|(_, place)| place).collect();
    let distinct: BTreeSet<&str> = places.iter().copied().collect();
    assert_eq!(places.len(), distinct.len(), "{places:?}");
    let links = attributes(&page, "href").into_iter().filter_map(|(_, link)| link.strip_prefix('#'));
    let links: Vec<&str> = links.collect();
    for link in &links {
        assert!(distinct.contains(link), "#{link} leads nowhere");
    }
    for record in &records {
        // From the overview, from the table of all metrics, and its own.
        assert_eq!(links.iter().filter(|link| **link == record.identity.as_str()).count(), 3);
    }
    let provenance = page.split(&format!("id=\"{}\"", records[1].identity)).nth(1).unwrap();
    let provenance = provenance.split("</article>").next().unwrap();
    for fact in ["0123456789", "Imaginary GPU beside Imaginary CPU", "2026-01-02T03:04:05Z", "rustc 1.0.0"] {
        assert!(provenance.contains(fact), "{fact} is missing from {provenance}");
    }
}

/// The command of a record makes that record's cell and no other.
#[test]
fn a_command_makes_exactly_its_cell() {
    let (folder, workspace, records) = recorded();
    let page = unescaped(&page(&workspace));
    for record in &records {
        let article = page.split(&format!("<article id=\"{}\">", record.identity)).nth(1).unwrap();
        let command = article.split("<code>").nth(1).unwrap().split("</code>").next().unwrap();
        let (run, settings) = command.split_once(" --set ").unwrap();
        assert_eq!(run, "fhe-llama run experiments/suites/sample.toml");
        let words = settings.split(" --set ").map(|word| match word.strip_prefix('\'') {
            Some(quoted) => quoted.strip_suffix('\'').unwrap().replace(r"'\''", "'"),
            None => word.to_string(),
        });
        let changes: Vec<Override> = words.map(|word| Override::parse(&word).unwrap()).collect();
        let cells = Suite::load(&workspace.suite_spec("sample"), &changes, folder.path()).unwrap().cells;
        assert_eq!(cells.len(), 1, "{command}");
        let code = fixture::code();
        let root = folder.path().to_path_buf();
        let resolved = ResolvedCell::with(cells[0].clone(), DataHashes::default(), code, fixture::machine(), root);
        assert_eq!(resolved.config_hash, record.config_hash, "{command}");
    }
}

/// What a table must not hide, the page does not hide either; the glance at a suite has what answers its question.
#[test]
fn warnings_and_answers_stand_beside_the_numbers() {
    let (_folder, workspace, _) = recorded();
    let page = page(&workspace);
    let overview = page.split("<table class=\"overview\">").nth(1).unwrap().split("</table>").next().unwrap();
    for part in [
        ">status<",
        ">security<",
        ">weights<",
        ">ranges<",
        ">total<",
        ">half bootstraps<",
        ">peak memory of the process<",
        ">memory of the GPU<",
        ">Agreement with the float model, all positions<",
        ">top-1<",
        ">KL divergence, mean (nats)<",
        ">top-5 logit error, max<",
        "SYNTHETIC, not trained: by dice",
        "ASSUMED, not calibrated: those of another",
        "6 min 21 s",
    ] {
        assert!(overview.contains(part), "`{part}` is missing from {overview}");
    }
    for part in [
        "Limit not kept",
        "Insecure parameters were allowed",
        "Assumed ranges:",
        "Predicted from metered counts, not measured",
    ] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn a_device_is_shown_with_its_figures() {
    let (_folder, workspace, _) = recorded();
    let page = page(&workspace);
    let device = page.split("id=\"gpu-imaginary\"").nth(1).unwrap();
    for part in ["scripts/gpu-check", "0123456", "2026-01-02", "17.5 µs", "41.9 MB", "80 %"] {
        assert!(device.contains(part), "{part} is missing from {device}");
    }
}

#[test]
fn a_report_of_nothing_is_refused_with_a_remedy() {
    let (_folder, workspace) = fixture::workspace();
    let error = report::derive(&workspace, None).unwrap_err();
    assert!(matches!(error, HarnessError::NoResults { .. }));
    assert!(error.to_string().contains("fhe-llama run experiments/suites/quickstart.toml"), "{error}");
    std::fs::create_dir_all(workspace.results()).unwrap();
    assert!(matches!(report::derive(&workspace, None), Err(HarnessError::NoResults { .. })));
}
