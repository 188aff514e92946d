//! What is said of windows of a text and of the ranges that their circuit was made for.

use super::metrics::{Builder, Section};
use crate::format;
use crate::record::{CellRecord, Excursions, NeededDegree, SiteRange, WindowsSummary};

/// Windows, ranges and degrees, section by section.
pub(super) fn sections(records: &[&CellRecord]) -> [Section; 3] {
    [windows(records), ranges(records), degrees(records)]
}

fn windows(records: &[&CellRecord]) -> Section {
    let of =
        |show: fn(&WindowsSummary) -> Option<String>| move |record: &CellRecord| record.windows.as_ref().and_then(show);
    let ends = |excursions: &Excursions| format!("{} above, {} below", excursions.above, excursions.below);
    Builder::new("Windows of the text", records)
        .row("run in float", of(|windows| Some(windows.windows.to_string())))
        .row("outside the calibrated ranges, not run", of(|windows| Some(windows.outside.windows.to_string())))
        .row("of these by their first token alone", move |record| {
            let windows = record.windows.as_ref()?;
            (windows.outside.windows > 0).then(|| windows.by_first_token.to_string())
        })
        .detail("ranges left", move |record| {
            let outside = &record.windows.as_ref()?.outside;
            (outside.windows > 0).then(|| ends(outside))
        })
        .detail("the first of them", of(|windows| windows.outside.first.clone()))
        .row("invalid: an interval left inside the circuit", of(|windows| Some(windows.invalid.windows.to_string())))
        .detail("the first of these", of(|windows| windows.invalid.first.clone()))
        .row("valid, compared with float", of(|windows| Some(windows.valid().to_string())))
        .section
}

fn ranges(records: &[&CellRecord]) -> Section {
    let mut builder = Builder::new("Ranges over all layers, as calibration saw them", records);
    for site in names(records, |record| record.ranges.iter().map(|range| range.site.as_str())) {
        builder = builder.detail(site, |record| record.ranges.iter().find(|range| range.site == site).map(range));
    }
    builder.section
}

/// `-3.1 to 4.2`; of a positive site also how far its ends are apart in the layer where they are furthest.
fn range(range: &SiteRange) -> String {
    let ends = format!("{} to {}", format::significant(range.low, 3), format::significant(range.high, 3));
    match range.ratio.filter(|ratio| *ratio >= 10.0) {
        Some(ratio) => format!("{ends} (x {} in one layer)", format::significant(ratio, 3)),
        None => ends,
    }
}

fn degrees(records: &[&CellRecord]) -> Section {
    let mut builder = Builder::new("Degrees that polynomials need over the widest ranges", records);
    for function in names(records, |record| record.needed_degrees.iter().map(|needed| needed.function.as_str())) {
        builder = builder.detail(function, |record| {
            record.needed_degrees.iter().find(|needed| needed.function == function).map(degree)
        });
    }
    builder.section
}

fn degree(needed: &NeededDegree) -> String {
    let layer = needed.layer.map_or("the last norm".into(), |layer| format!("layer {layer}"));
    match needed.degree {
        Some(degree) => format!("{degree}: {} levels ({layer})", needed.levels),
        None => format!("above {}: more than {} levels ({layer})", needed.largest_tried, needed.levels),
    }
}

/// Names in the order in which records first hold them.
fn names<'a, Names: Iterator<Item = &'a str>>(
    records: &[&'a CellRecord],
    of: impl Fn(&'a CellRecord) -> Names,
) -> Vec<&'a str> {
    let mut names = Vec::new();
    for name in records.iter().flat_map(|record| of(record)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_range_says_how_wide() {
        let site = |low, high, ratio| SiteRange { site: "gate".into(), low, high, ratio };
        assert_eq!(range(&site(-3.0, 4.25, None)), "-3.00 to 4.25");
        assert_eq!(range(&site(0.5, 2.0, Some(4.0))), "0.500 to 2.00");
        assert_eq!(range(&site(0.5, 2000.0, Some(4000.0))), "0.500 to 2000 (x 4000 in one layer)");
    }

    #[test]
    fn a_degree_that_none_reached_is_no_degree() {
        let needed = |degree, layer, levels| NeededDegree {
            function: "root".into(),
            layer,
            degree,
            largest_tried: 1023,
            levels,
        };
        assert_eq!(degree(&needed(Some(255), Some(3), 8)), "255: 8 levels (layer 3)");
        assert_eq!(degree(&needed(None, None, 10)), "above 1023: more than 10 levels (the last norm)");
    }
}
