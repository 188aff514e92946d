//! Rows and columns of text, as Markdown for a page or aligned for a terminal; the report sets them as HTML.

use super::latex;
use std::fmt::Write;

/// On which side a column's texts stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

/// One line of a table.
pub(crate) enum Line {
    /// A title over the lines that follow.
    Group(String),
    /// One text a column.
    Cells(Vec<String>),
}

/// A table under construction.
pub(crate) struct Grid {
    columns: Vec<(String, Side)>,
    lines: Vec<Line>,
}

impl Grid {
    pub(crate) fn new<T: Into<String>>(columns: impl IntoIterator<Item = (T, Side)>) -> Self {
        let columns = columns.into_iter().map(|(heading, side)| (heading.into(), side)).collect();
        Self { columns, lines: Vec::new() }
    }

    pub(super) fn group(&mut self, title: &str) {
        self.lines.push(Line::Group(title.into()));
    }

    /// One cell a column.
    pub(crate) fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.lines.push(Line::Cells(cells.into_iter().map(Into::into).collect()));
    }

    /// Headings and sides.
    pub(crate) fn columns(&self) -> &[(String, Side)] {
        &self.columns
    }

    /// All lines, titles of groups among them.
    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }

    pub(super) fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let headings: Vec<String> = self.columns.iter().map(|(heading, _)| escaped(heading)).collect();
        let rules: Vec<&str> =
            self.columns.iter().map(|(_, side)| if *side == Side::Left { "---" } else { "--:" }).collect();
        let mut text = format!("{}|{}|\n", line(&headings), rules.join("|"));
        for entry in &self.lines {
            match entry {
                Line::Group(title) => {
                    let _ = writeln!(text, "| **{}** |{}", escaped(title), " |".repeat(self.columns.len() - 1));
                }
                Line::Cells(cells) => text += &line(&cells.iter().map(|cell| escaped(cell)).collect::<Vec<_>>()),
            }
        }
        text + "\n"
    }

    /// A `tabular` with the rules of booktabs; titles of groups run over all columns.
    pub(super) fn latex(&self) -> String {
        let sides: String = self.columns.iter().map(|(_, side)| if *side == Side::Left { 'l' } else { 'r' }).collect();
        let line = |cells: &[String]| {
            format!("    {} \\\\\n", cells.iter().map(|cell| latex::escaped(cell)).collect::<Vec<_>>().join(" & "))
        };
        let headings: Vec<String> = self.columns.iter().map(|(heading, _)| heading.clone()).collect();
        let mut text = format!("  \\begin{{tabular}}{{{sides}}}\n    \\toprule\n{}    \\midrule\n", line(&headings));
        for (index, entry) in self.lines.iter().enumerate() {
            match entry {
                Line::Group(title) => {
                    let rule = if index > 0 { "    \\addlinespace\n" } else { "" };
                    let title = latex::escaped(title);
                    let _ = writeln!(
                        text,
                        "{rule}    \\multicolumn{{{}}}{{l}}{{\\textbf{{{title}}}}} \\\\",
                        self.columns.len()
                    );
                }
                Line::Cells(cells) => text += &line(cells),
            }
        }
        text + "    \\bottomrule\n  \\end{tabular}\n"
    }

    /// Columns aligned with spaces, two spaces in; titles of groups stand out to the left.
    pub(super) fn text(&self) -> String {
        let headings: Vec<String> = self.columns.iter().map(|(heading, _)| heading.clone()).collect();
        let width = |column: usize| {
            let cells = self.lines.iter().filter_map(|line| match line {
                Line::Cells(cells) => cells.get(column),
                Line::Group(_) => None,
            });
            cells.chain([&headings[column]]).map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let line = |cells: &[String]| {
            let padded = cells.iter().zip(&widths).zip(&self.columns).map(|((cell, &width), (_, side))| match side {
                Side::Left => format!("{cell:<width$}"),
                Side::Right => format!("{cell:>width$}"),
            });
            format!("  {}", padded.collect::<Vec<_>>().join("  ")).trim_end().to_string() + "\n"
        };
        let mut text = if headings.iter().all(String::is_empty) { String::new() } else { line(&headings) };
        for entry in &self.lines {
            match entry {
                Line::Group(title) => {
                    let _ = writeln!(text, "{title}");
                }
                Line::Cells(cells) => text += &line(cells),
            }
        }
        text
    }
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Grid {
        let mut grid = Grid::new([("what", Side::Left), ("a | b", Side::Right)]);
        grid.group("Group");
        grid.row(["x", "1 | 2"]);
        grid.row(["longer", "3"]);
        grid
    }

    #[test]
    fn markdown_keeps_its_columns() {
        let expected = "| what | a \\| b |\n|---|--:|\n| **Group** | |\n| x | 1 \\| 2 |\n| longer | 3 |\n\n";
        assert_eq!(sample().markdown(), expected);
    }

    #[test]
    fn latex_has_rules_and_no_column_too_many() {
        let expected = "  \\begin{tabular}{lr}\n    \\toprule\n    what & a \\textbar{} b \\\\\n    \\midrule\n    \
                        \\multicolumn{2}{l}{\\textbf{Group}} \\\\\n    x & 1 \\textbar{} 2 \\\\\n    longer & 3 \\\\\n    \
                        \\bottomrule\n  \\end{tabular}\n";
        assert_eq!(sample().latex(), expected);
    }

    #[test]
    fn text_is_aligned() {
        assert_eq!(sample().text(), "  what    a | b\nGroup\n  x       1 | 2\n  longer      3\n");
    }
}
