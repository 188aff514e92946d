//! Tables of [`crate::table`] as HTML: in a box that scrolls by itself, with what sorting and linking need.

use super::quantity::quantity;
use crate::table::{Grid, Line, Side};
use maud::{Markup, html};

/// What the columns or rows of a table lead to: places in the page, without the `#`.
pub(super) enum Links<'a> {
    /// Nothing.
    None,
    /// Every column but the first, in order.
    Columns(&'a [String]),
    /// The first text of every line that is no title, in order.
    Rows(&'a [Option<String>]),
}

/// A line with its number among those that are no title.
type NumberedLine<'a> = (usize, &'a [String]);

/// The table. Lines are sorted within their group.
pub(super) fn table(grid: &Grid, links: &Links<'_>) -> Markup {
    let width = grid.columns().len();
    let mut row = 0;
    let mut groups: Vec<(Option<&str>, Vec<NumberedLine<'_>>)> = Vec::new();
    for line in grid.lines() {
        match line {
            Line::Group(title) => groups.push((Some(title), Vec::new())),
            Line::Cells(cells) => {
                if groups.is_empty() {
                    groups.push((None, Vec::new()));
                }
                if let Some((_, lines)) = groups.last_mut() {
                    lines.push((row, cells));
                }
                row += 1;
            }
        }
    }
    let target = |column: usize| match links {
        Links::Columns(targets) => column.checked_sub(1).and_then(|column| targets.get(column)),
        _ => None,
    };
    boxed(html! {
        table {
            thead { tr {
                @for (column, (heading, side)) in grid.columns().iter().enumerate() {
                    (heading_cell(heading, *side, target(column).map(String::as_str)))
                }
            } }
            @for (title, lines) in &groups {
                tbody {
                    @if let Some(title) = title { tr.group { th colspan=(width) scope="rowgroup" { span { (title) } } } }
                    @for (row, cells) in lines {
                        tr { @for (column, (text, (_, side))) in cells.iter().zip(grid.columns()).enumerate() {
                            @let link = match links {
                                Links::Rows(targets) if column == 0 => targets.get(*row).and_then(Option::as_deref),
                                _ => None,
                            };
                            (cell(text, *side, link))
                        } }
                    }
                }
            }
        }
    })
}

/// A table in a box that scrolls, so that the page does not.
pub(super) fn boxed(table: Markup) -> Markup {
    html! { div.scroll tabindex="0" { (table) } }
}

/// A heading; the script makes a button of it that sorts.
pub(super) fn heading_cell(heading: &str, side: Side, link: Option<&str>) -> Markup {
    html! {
        th.r[side == Side::Right] scope="col" {
            span.name { (heading) }
            @if let Some(link) = link { " " a href={ "#" (link) } aria-label={ "how it was made: " (heading) } { "how it was made" } }
        }
    }
}

/// One text, with the number it stands for where that does not show by itself.
pub(super) fn cell(text: &str, side: Side, link: Option<&str>) -> Markup {
    let value = quantity(text).filter(|value| text.parse() != Ok(*value));
    html! {
        td.r[side == Side::Right] data-value=[value] {
            @if let Some(link) = link { a href={ "#" (link) } { (written(text)) } } @else { (written(text)) }
        }
    }
}

/// A text as tables write it: a name between backticks is code, an address of the web a link.
fn written(text: &str) -> Markup {
    if let Some(code) = text.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) {
        return html! { code { (code) } };
    }
    let is_address = |word: &str| word.starts_with("https://") || word.starts_with("http://");
    if !text.split(' ').any(is_address) {
        return html! { (text) };
    }
    html! {
        @for (index, word) in text.split(' ').enumerate() {
            @if index > 0 { " " }
            @let bare = word.trim_end_matches([',', ';']);
            @if is_address(word) { a href=(bare) rel="noreferrer" { (bare) } (&word[bare.len()..]) } @else { (word) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_sorted_by_value_and_linked() {
        let mut grid = Grid::new([("what", Side::Left), ("<b>", Side::Right)]);
        grid.row(["<script>", "6 min 04 s"]);
        let rows = table(&grid, &Links::Rows(&[Some("place".into())])).into_string();
        assert!(rows.contains("<a href=\"#place\">&lt;script&gt;</a>"), "{rows}");
        assert!(rows.contains("<td class=\"r\" data-value=\"364\">6 min 04 s</td>"), "{rows}");
        assert!(rows.contains("&lt;b&gt;") && !rows.contains("<script>"), "{rows}");
        let columns = table(&grid, &Links::Columns(&["place".into()])).into_string();
        assert_eq!(columns.matches("href=\"#place\"").count(), 1, "{columns}");
    }

    #[test]
    fn code_and_addresses_are_set_as_such() {
        assert_eq!(written("`␣in`").into_string(), "<code>␣in</code>");
        let linked = "paper, <a href=\"https://a.b/c\" rel=\"noreferrer\">https://a.b/c</a>; old";
        assert_eq!(written("paper, https://a.b/c; old").into_string(), linked);
    }
}
