//! The claims of `README.md`: each has a command that leads somewhere, a measured value, a cost, and records behind it.
//!
//! A row may build on another: "the first command" is the first one of the README, "the same" that of the row above.

use super::{Finding, Outcome, command, quoted};
use crate::error::HarnessError;
use crate::journal::Journal;
use crate::record::CellRecord;
use crate::workspace::Workspace;
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use std::collections::BTreeMap;

const FILE: &str = "README.md";
/// The heading above the table, and its columns.
const HEADING: &str = "Claims";
const COLUMNS: [&str; 4] = ["claim", "command", "measured", "cost"];

/// What a cell of a Markdown table holds.
#[derive(Clone, Debug, Default)]
struct Cell {
    text: String,
    code: Vec<String>,
    links: Vec<String>,
}

/// A row of a Markdown table.
#[derive(Clone, Debug, Default)]
struct Row {
    line: usize,
    cells: Vec<Cell>,
}

/// What the README says as far as it is checked.
#[derive(Default)]
struct Readme {
    /// Its first block of code.
    first_code: Option<String>,
    /// The rows of the table of claims, its headings first.
    rows: Vec<Row>,
    /// Whether what comes next stands in the last cell of the last row.
    in_cell: bool,
}

pub(super) fn check(workspace: &Workspace, outcome: &mut Outcome) -> Result<(), HarnessError> {
    let path = workspace.root().join(FILE);
    let text = std::fs::read_to_string(&path).map_err(|source| HarnessError::io("read", &path, source))?;
    let readme = Readme::read(&text);
    let headings = readme.rows.first().map(|row| row.cells.iter().map(|cell| cell.text.trim()).collect::<Vec<_>>());
    if headings.is_none_or(|headings| headings != COLUMNS) || readme.rows.len() < 2 {
        let problem = format!("no table of claims with the columns {} under `## {HEADING}`", COLUMNS.join(", "));
        outcome.findings.push(Finding::new(FILE, problem, "add it, with a row for each claim"));
        return Ok(());
    }
    let mut table = Table {
        workspace,
        outcome,
        first: command::specs(readme.first_code.as_deref().unwrap_or_default()),
        above: Vec::new(),
        answers: BTreeMap::new(),
        led: 0,
        numbers: 0,
    };
    for row in &readme.rows[1..] {
        table.row(row)?;
    }
    let (claims, led, numbers) = (readme.rows.len() - 1, table.led, table.numbers);
    let line =
        format!("{FILE}: {claims} claims: {led} commands and links, {numbers} quoted numbers held against records");
    outcome.looked_at.push(line);
    Ok(())
}

/// The table of claims, read from top to bottom.
struct Table<'a> {
    workspace: &'a Workspace,
    outcome: &'a mut Outcome,
    /// The specs of the README's first command, and of the row above.
    first: Vec<String>,
    above: Vec<String>,
    /// What was read so far, by suite.
    answers: BTreeMap<String, Option<Vec<CellRecord>>>,
    /// Commands and links, and numbers, that were looked at.
    led: usize,
    numbers: usize,
}

impl Table<'_> {
    fn row(&mut self, row: &Row) -> Result<(), HarnessError> {
        // A column that is left out at the end of a row is an empty one.
        let [claim, command, measured, cost] =
            [0, 1, 2, 3].map(|column| row.cells.get(column).cloned().unwrap_or_default());
        for (column, cell) in COLUMNS.iter().zip([&claim, &command, &measured, &cost]) {
            let text = cell.text.trim();
            if text.is_empty() || (*column != "cost" && text == "-") {
                self.add(row, format!("the claim `{}` has no {column}", claim.text), "state it, or drop the claim");
            }
        }
        for link in row.cells.iter().flat_map(|cell| &cell.links) {
            self.led += 1;
            if !leads_somewhere(self.workspace, link) {
                self.add(row, format!("`{link}` does not exist"), "correct the link, or make the file again");
            }
        }
        self.above = self.specs(row, &claim, &command)?;
        let records = self.records(row);
        for number in quoted::numbers(&format!("{} | {}", measured.text, cost.text)) {
            let Some(found) = number.found_in(&records) else { continue };
            self.numbers += 1;
            if !found {
                let problem = format!("`{number}` is in no record of {}", self.above.join(", "));
                self.add(row, problem, "quote what is recorded; `fhe-llama tables` shows it");
            }
        }
        Ok(())
    }

    fn add(&mut self, row: &Row, problem: String, remedy: &str) {
        self.outcome.findings.push(Finding::new(format!("{FILE}:{}", row.line), problem, remedy));
    }

    /// The specs that a row's command runs, after a look at every command in it.
    fn specs(&mut self, row: &Row, claim: &Cell, command: &Cell) -> Result<Vec<String>, HarnessError> {
        let inherited = match command.text.as_str() {
            text if text.starts_with("the first command") => Some(self.first.clone()),
            text if text.starts_with("the same") => Some(self.above.clone()),
            _ => None,
        };
        if inherited.is_none() && command.code.is_empty() {
            self.add(row, format!("the claim `{}` names no command", claim.text), "put one into `backticks`");
        }
        for code in &command.code {
            self.led += 1;
            if let Some(problem) = command::problem(self.workspace, code)? {
                self.add(row, format!("`{code}`: {problem}"), "correct the command");
            }
        }
        let own: Vec<String> = command.code.iter().flat_map(|code| command::specs(code)).collect();
        Ok(if own.is_empty() { inherited.unwrap_or_default() } else { own })
    }

    /// The answers that the specs of a row have led to.
    fn records(&mut self, row: &Row) -> Vec<CellRecord> {
        let mut records = Vec::new();
        for spec in self.above.clone() {
            let suite = command::suite_of(self.workspace, &spec);
            let known = self.answers.entry(suite.clone()).or_insert_with(|| answers(self.workspace, &suite));
            let is_empty = known.as_ref().is_some_and(Vec::is_empty);
            records.extend(known.iter().flatten().cloned());
            if is_empty {
                let problem = format!("`{spec}` has no record of an answer");
                self.add(row, problem, "run it and commit its results, or drop the claim");
            }
        }
        records
    }
}

/// The records of an experiment that answer something; `None` of a comparison, whose rows are no such records, and of what cannot be
/// read, which has been said already.
fn answers(workspace: &Workspace, suite: &str) -> Option<Vec<CellRecord>> {
    if crate::comparison::is_suite(workspace, suite) {
        return None;
    }
    let records = Journal::of(workspace, suite).read().ok()?.records;
    Some(records.into_iter().filter(|record| record.status.is_answer()).collect())
}

/// Whether a link of the README can be followed; what lies outside the repository is not looked at.
fn leads_somewhere(workspace: &Workspace, link: &str) -> bool {
    let file = link.split('#').next().unwrap_or(link);
    link.contains("://") || file.is_empty() || workspace.root().join(file).exists()
}

impl Readme {
    fn read(text: &str) -> Self {
        let mut readme = Self::default();
        // What is being read: a heading of the second level, a block of code, the part about claims.
        let (mut heading, mut code, mut in_claims) = (None::<String>, None::<String>, false);
        for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
            match event {
                Event::Start(Tag::Heading { level, .. }) if level <= HeadingLevel::H2 => heading = Some(String::new()),
                Event::End(TagEnd::Heading(level)) if level <= HeadingLevel::H2 => {
                    in_claims = heading.take().is_some_and(|heading| heading == HEADING);
                }
                Event::Start(Tag::CodeBlock(_)) if readme.first_code.is_none() => code = Some(String::new()),
                Event::End(TagEnd::CodeBlock) if code.is_some() => readme.first_code = code.take(),
                Event::Start(Tag::TableHead | Tag::TableRow) if in_claims => {
                    let line = text[..range.start].matches('\n').count() + 1;
                    readme.rows.push(Row { line, cells: Vec::new() });
                }
                Event::Start(Tag::TableCell) if in_claims => {
                    readme.rows.last_mut().into_iter().for_each(|row| row.cells.push(Cell::default()));
                    readme.in_cell = true;
                }
                Event::End(TagEnd::TableCell) => readme.in_cell = false,
                Event::Text(part) => {
                    for text in heading.iter_mut().chain(&mut code).chain(readme.cell().map(|cell| &mut cell.text)) {
                        text.push_str(&part);
                    }
                }
                Event::Code(part) => {
                    if let Some(cell) = readme.cell() {
                        cell.text.push_str(&part);
                        cell.code.push(part.into_string());
                    }
                }
                Event::Start(Tag::Link { dest_url, .. }) => {
                    readme.cell().into_iter().for_each(|cell| cell.links.push(dest_url.to_string()));
                }
                Event::End(TagEnd::Table) if in_claims => in_claims = false,
                _ => {}
            }
        }
        readme
    }

    /// The cell that is being read, if one is.
    fn cell(&mut self) -> Option<&mut Cell> {
        self.rows.last_mut().filter(|_| self.in_cell)?.cells.last_mut()
    }
}
