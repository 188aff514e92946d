//! The summary of many cells: a row for each, what was varied on the left and what came of it on the right.

use super::grid::{Grid, Side};
use crate::format;
use crate::record::{CellRecord, FLOAT, Setting, StepEffort, common_device, repetitions, short_names, varied};

/// One column under construction.
struct Column {
    name: String,
    side: Side,
    values: Vec<Option<String>>,
}

/// The grid; a column that no record has is left out, and for a terminal what it can do without.
pub(super) fn summary(records: &[&CellRecord], whole: bool) -> Grid {
    let columns: Vec<Column> = settings(records)
        .into_iter()
        .chain(metrics(records, whole))
        .filter(|column| column.values.iter().any(Option::is_some))
        .collect();
    let several = records.len() > 1;
    let number = several.then(|| ("row".to_string(), Side::Right));
    let mut grid = Grid::new(number.into_iter().chain(columns.iter().map(|column| (column.name.clone(), column.side))));
    for index in 0..records.len() {
        let values = columns.iter().map(|column| column.values[index].clone().unwrap_or_else(|| "-".into()));
        grid.row(several.then(|| (index + 1).to_string()).into_iter().chain(values));
    }
    grid
}

/// What a row is called in sentences about it.
pub(super) fn row_name(record: &CellRecord, records: &[&CellRecord]) -> String {
    let row = records.iter().position(|other| std::ptr::eq(*other, record)).unwrap_or_default();
    format!("row {}", row + 1)
}

fn settings(records: &[&CellRecord]) -> Vec<Column> {
    let settings: Vec<Setting> = varied(records).into_iter().chain(repetitions(records)).collect();
    let names = short_names(&settings.iter().collect::<Vec<_>>());
    let column = |(name, setting): (String, &Setting)| Column {
        name,
        side: if setting.is_numeric() { Side::Right } else { Side::Left },
        values: setting.labels().into_iter().map(Some).collect(),
    };
    names.into_iter().zip(&settings).map(column).collect()
}

fn metrics(records: &[&CellRecord], whole: bool) -> Vec<Column> {
    let column = |name: &str, side: Side, value: &dyn Fn(&CellRecord) -> Option<String>| Column {
        name: name.into(),
        side,
        values: records.iter().map(|record| value(record)).collect(),
    };
    let number = |name: &str, value: &dyn Fn(&CellRecord) -> Option<String>| column(name, Side::Right, value);
    let positive = |seconds: f64| (seconds > 0.0).then(|| format::seconds(seconds));
    let mut columns = vec![
        column("status", Side::Left, &|record| Some(record.status.to_string())),
        number("top-1", &|record| {
            let float = record.agreement_with(FLOAT)?;
            Some(format!("{} of {}", float.top1, float.positions))
        }),
        number("KL mean (nats)", &|record| Some(format::small(record.agreement_with(FLOAT)?.kl_mean))),
        number("KL max (nats)", &|record| Some(format::small(record.agreement_with(FLOAT)?.kl_max))),
        number("top-5 logit error", &|record| Some(format::small(record.agreement_with(FLOAT)?.top5_logit_error_max))),
        number("perplexity (float)", &|record| {
            let float = record.agreement_with(FLOAT)?;
            Some(format!("{:.4} ({:.4})", float.perplexity?, float.perplexity_reference?))
        }),
        number("heads covered", &|record| {
            let softmax = record.softmax.as_ref()?;
            Some(format!("{} of {}", softmax.covered, softmax.heads))
        }),
        number("error of a probability", &|record| record.softmax.as_ref()?.error_max.map(format::small)),
        number("levels", &|record| {
            let [least, most] = record.softmax.as_ref().filter(|softmax| softmax.ran > 0)?.levels;
            Some(if least == most { most.to_string() } else { format!("{least} to {most}") })
        }),
        number("products per ciphertext", &|record| {
            let softmax = record.softmax.as_ref().filter(|softmax| softmax.ran > 0)?;
            Some(format!("{:.1}", softmax.products_per_ciphertext))
        }),
        number("a head", &|record| record.softmax.as_ref()?.seconds.map(format::seconds)),
        number("float's tokens", &|record| {
            let generation = record.generation.as_ref()?;
            Some(format!("{} of {}", generation.agreeing(), generation.tokens.len()))
        }),
        number("a token", &|record| {
            record.generation.as_ref()?.step_mean(StepEffort::server_seconds).map(format::seconds)
        }),
        number("half bootstraps", &|record| record.counts.get("half_bootstraps").copied().map(format::count)),
        number("largest degree", &|record| {
            record.polynomials.iter().map(|polynomial| polynomial.degree).max().map(|degree| degree.to_string())
        }),
    ];
    if let Some(device) = common_device(records) {
        columns.push(number(&format!("predicted on {device}"), &|record| {
            positive(record.predicted.as_ref()?.seconds_on(&device)?)
        }));
    }
    columns.retain(|column| whole || !["KL max (nats)", "largest degree"].contains(&column.name.as_str()));
    columns.push(number("total", &|record| positive(record.seconds.total)));
    columns
}
