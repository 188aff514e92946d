//! All cells of a suite in one figure: what each setting does to accuracy, work and time.
//!
//! With a numeric setting the panels are [`lines`] over it, one for each combination of the others. Without one they
//! are [`dots`], a row for each combination. A cell without a result is a letter at the edge, never a gap.

mod dots;
mod layout;
mod lines;
mod mark;
mod quantity;

use super::drawing::Drawing;
use super::font::Face;
use crate::format;
use crate::record::{CellRecord, Setting, Status, varied};
use crate::spec::Mode;
use layout::Title;
use quantity::Quantity;

/// Settings that say how or where the same is computed: never merged with another that happens to go with them.
const KEPT_APART: [&str; 3] = ["mode", "engine.device", "machine"];

/// What a figure of these records shows.
struct Sweep<'a> {
    records: &'a [&'a CellRecord],
    /// The numeric setting that becomes the horizontal axis.
    along: Option<Setting>,
    /// The settings whose combinations are told apart.
    across: Vec<Setting>,
    /// Settings that follow from one that is shown, with its key.
    with: Vec<(String, String)>,
    quantities: Vec<Quantity>,
}

/// The figure of a suite's standing records; `None` if they differ in no setting or hold no numbers.
pub(super) fn draw(suite: &str, records: &[&CellRecord]) -> Result<Option<Drawing>, String> {
    let Some(sweep) = Sweep::of(records) else { return Ok(None) };
    let face = Face::new(false)?;
    let title = sweep.title(suite);
    Ok(Some(match &sweep.along {
        Some(along) => lines::draw(&sweep, along, &title, &face),
        None => dots::draw(&sweep, &title, &face),
    }))
}

impl<'a> Sweep<'a> {
    fn of(records: &'a [&'a CellRecord]) -> Option<Self> {
        let mut settings = varied(records);
        let quantities = quantity::of(records);
        if settings.is_empty() || quantities.is_empty() {
            return None;
        }
        let along = axis(&settings).map(|index| settings.remove(index));
        let (across, with) = independent(along.as_ref(), settings);
        Some(Self { records, along, across, with, quantities })
    }

    /// The combination of the settings across that each record has, by their labels.
    fn combinations(&self) -> Vec<Vec<String>> {
        let columns: Vec<Vec<String>> = self.across.iter().map(Setting::labels).collect();
        (0..self.records.len()).map(|record| columns.iter().map(|column| column[record].clone()).collect()).collect()
    }

    /// Each combination once, ordered by the settings from the first to the last.
    fn groups(&self) -> Vec<Vec<String>> {
        let rank = |record: usize| -> Vec<usize> {
            let place = |setting: &Setting| {
                setting.distinct().iter().position(|choice| **choice == setting.choices[record]).unwrap_or_default()
            };
            self.across.iter().map(place).collect()
        };
        let mut order: Vec<(Vec<usize>, Vec<String>)> =
            self.combinations().into_iter().enumerate().map(|(record, labels)| (rank(record), labels)).collect();
        order.sort();
        order.dedup();
        order.into_iter().map(|(_, labels)| labels).collect()
    }

    fn title(&self, suite: &str) -> Title {
        let keys = |settings: &mut dyn Iterator<Item = &Setting>| {
            settings.map(|setting| setting.key.clone()).collect::<Vec<_>>().join(", ")
        };
        let shown = keys(&mut self.along.iter().chain(&self.across));
        let mut facts = vec![format!("over {shown}")];
        let mut say = |fact: String| {
            if !facts.contains(&fact) {
                facts.push(fact);
            }
        };
        for record in self.records {
            let model = record.model.path.rsplit('/').next().unwrap_or_default();
            match record.model.parameters {
                // A cell that was refused has not opened its model.
                0 if self.records.iter().any(|other| other.model.path == record.model.path && known(other)) => {}
                0 => say(model.into()),
                parameters => say(format!("{model}, {} parameters", format::count(parameters))),
            }
        }
        for record in self.records {
            say(record.mode.to_string());
        }
        for record in self.records {
            say(record.provenance.parameters.clone());
        }
        if self.records.iter().any(|record| record.provenance.insecure) {
            say("INSECURE PARAMETERS ALLOWED".into());
        }
        if self.records.iter().any(|record| record.model.synthetic.is_some()) {
            say("SYNTHETIC WEIGHTS".into());
        }
        for record in self.records.iter().filter(|record| record.mode == Mode::Encrypted) {
            say(record.provenance.machine.name());
        }
        let repeated = self.records.iter().map(|record| record.repetition).max().unwrap_or_default();
        if repeated > 0 {
            say(format!("mean of up to {} repetitions, bars from the least to the greatest", repeated + 1));
        }
        for (key, with) in &self.with {
            say(format!("{key} goes with {with}"));
        }
        Title { text: format!("{suite}: a sweep of {} cells", self.records.len()), facts }
    }
}

fn known(record: &CellRecord) -> bool {
    record.model.parameters > 0
}

/// What a setting belongs to that varies with it and no further: a number that every model has of its own says nothing along an axis.
const MODEL: &str = "model.path";

/// The numeric setting with most values; threads only where they are not simply those of a device or machine, and no number that only tells
/// models apart.
fn axis(settings: &[Setting]) -> Option<usize> {
    let tells_models_apart = |setting: &Setting| {
        let mut models = settings.iter().filter(|place| place.key == MODEL);
        models.any(|model| model.determines(setting) && setting.determines(model))
    };
    let follows_the_machine = |setting: &Setting| {
        let places = settings.iter().filter(|place| KEPT_APART.contains(&place.key.as_str()));
        setting.key == "engine.threads" && places.into_iter().any(|place| place.determines(setting))
    };
    let candidates = settings.iter().enumerate().filter(|(_, setting)| setting.is_numeric());
    let candidates = candidates.filter(|(_, setting)| !follows_the_machine(setting) && !tells_models_apart(setting));
    // The first of equals: keys are in order.
    candidates.rev().max_by_key(|(_, setting)| setting.distinct().len()).map(|(index, _)| index)
}

/// Leaves out every setting that another one determines, and says which.
fn independent(along: Option<&Setting>, settings: Vec<Setting>) -> (Vec<Setting>, Vec<(String, String)>) {
    let kept_apart = |setting: &Setting| KEPT_APART.contains(&setting.key.as_str());
    // Of two that determine each other the model stays, or the one that every record has.
    let mut order: Vec<&Setting> = settings.iter().collect();
    order.sort_by_key(|setting| {
        let left_out = setting.choices.contains(&crate::record::Choice::LeftOut);
        (!kept_apart(setting), usize::MAX - setting.distinct().len(), setting.key != MODEL, left_out)
    });
    let (mut shown, mut with): (Vec<&Setting>, Vec<(String, String)>) = (along.into_iter().collect(), Vec::new());
    for setting in order {
        match shown.iter().find(|other| other.determines(setting)).filter(|_| !kept_apart(setting)) {
            Some(other) => with.push((setting.key.clone(), other.key.clone())),
            None => shown.push(setting),
        }
    }
    with.sort();
    let across = settings.iter().filter(|setting| shown.contains(setting)).cloned().collect();
    (across, with)
}

/// What a record has to show of a quantity.
enum Outcome {
    Value(f64),
    /// Nothing but the reason, as a word: its status, or that its number is none.
    Without(String),
}

/// Of the records to which a quantity applies.
fn outcome(record: &CellRecord, quantity: &Quantity) -> Option<Outcome> {
    if !(quantity.applies)(record) {
        return None;
    }
    if record.status != Status::Ok {
        return Some(Outcome::Without(record.status.to_string()));
    }
    // A record of an older version may lack the number; that it is no number must show.
    let value = (quantity.value)(record)?;
    Some(if value.is_finite() { Outcome::Value(value) } else { Outcome::Without("not finite".into()) })
}

/// Mean, least and greatest of the repetitions of one point.
fn spread(values: &[f64]) -> Option<(f64, f64, f64)> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let (least, greatest) = (values.iter().copied().reduce(f64::min)?, values.iter().copied().reduce(f64::max)?);
    Some((mean, least, greatest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Choice;
    use serde_json::{Value, json};

    fn setting(key: &str, values: &[Value]) -> Setting {
        let choice = |value: &Value| if value.is_null() { Choice::LeftOut } else { Choice::Is(value.clone()) };
        Setting { key: key.into(), choices: values.iter().map(choice).collect() }
    }

    #[test]
    fn the_axis_is_the_number_with_most_values() {
        let few = setting("engine.weight_bits", &[json!(9), json!(11), json!(9), json!(11)]);
        let many = setting("input.block_tokens", &[json!(8), json!(8), json!(16), json!(32)]);
        let text = setting("model.path", &[json!("a"), json!("b"), json!("c"), json!("d")]);
        assert_eq!(axis(&[few.clone(), many, text.clone()]), Some(1));
        assert_eq!(axis(&[few.clone(), text.clone()]), Some(0));
        assert_eq!(axis(&[text]), None);
        let model = setting("model.path", &[json!("a"), json!("b"), json!("a"), json!("b")]);
        assert_eq!(axis(&[few.clone(), model.clone()]), None, "each model has a number of its own");
        let (across, with) = independent(None, vec![few.clone(), model.clone()]);
        assert_eq!((across, with), (vec![model], vec![(few.key.clone(), "model.path".into())]));
        let device = setting("engine.device", &[json!(null), json!("cuda"), json!(null), json!("cuda")]);
        let threads = setting("engine.threads", &[json!(2), json!(16), json!(2), json!(16)]);
        assert_eq!(axis(&[device, threads.clone()]), None, "threads that come with a machine are no axis");
        assert_eq!(axis(&[few, threads]), Some(0), "of equals the first");
    }

    #[test]
    fn what_goes_with_another_setting_is_said_once() {
        let along = setting("input.block_tokens", &[json!(8), json!(16), json!(8), json!(16)]);
        let tokens = setting("input.tokens", &[json!(8), json!(16), json!(8), json!(16)]);
        let prefix = setting("mitigation.prefix", &[json!(null), json!(null), json!("x"), json!("x")]);
        let prepend = setting("mitigation.prepend", &[json!(false), json!(false), json!(true), json!(true)]);
        let mode = setting("mode", &[json!("clear"), json!("metered"), json!("clear"), json!("metered")]);
        let (across, with) = independent(Some(&along), vec![tokens, prefix, prepend.clone(), mode.clone()]);
        assert_eq!(across, [prepend, mode]);
        let pair = |key: &str, other: &str| (key.to_string(), other.to_string());
        let expected = [pair("input.tokens", "input.block_tokens"), pair("mitigation.prefix", "mitigation.prepend")];
        assert_eq!(with, expected);
    }

    #[test]
    fn repetitions_become_a_mean_and_its_span() {
        assert_eq!(spread(&[1.0, 2.0, 6.0]), Some((3.0, 1.0, 6.0)));
        assert_eq!(spread(&[]), None);
    }
}
