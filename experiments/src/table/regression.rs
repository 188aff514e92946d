//! What a terminal shows of results beside their baseline.

use super::grid::{Grid, Side};
use crate::check::Regression;

/// A row for each metric of each cell; nothing where there is no baseline.
pub(super) fn regressions(cells: &[Regression]) -> String {
    if cells.is_empty() {
        return String::new();
    }
    let columns = [("", Side::Left), ("baseline", Side::Right), ("now", Side::Right), ("allowed", Side::Left)];
    let mut grid = Grid::new(columns.into_iter().chain([("", Side::Left)]));
    for cell in cells {
        grid.group(&format!("{}: {}", cell.suite, cell.name));
        for change in &cell.changes {
            let verdict = if change.is_regression { "WORSE" } else { "" };
            grid.row([change.metric.as_str(), &change.baseline, &change.now, &change.allowed, verdict]);
        }
    }
    grid.text()
}
