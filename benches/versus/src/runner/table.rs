//! The results in Markdown.

use super::results::{BASE, Results};
use super::rows::{Measure, Row};
use super::servers::Server;

/// The table of the loads `rows`: `raw` in nanoseconds (bytes where memory is measured), the
/// others as a ratio to it (bytes); in nanoseconds where `raw` did not run.
pub fn markdown(rows: &[&Row], servers: &[Server], results: &Results) -> String {
    let has_base = servers.iter().any(|server| server.name == BASE);
    let names: Vec<_> = servers.iter().map(|server| heading(&server.name)).collect();
    let mut text = format!("| load | {} | target |\n", names.join(" | "));
    text.push_str(&format!("|---|{}---|\n", "---|".repeat(names.len())));
    for row in rows {
        let cells = servers.iter().map(|server| cell(row, server, has_base, results));
        let cells: Vec<_> = cells.map(|cell| cell.unwrap_or_else(|| "-".to_owned())).collect();
        let target = match row.measure {
            Measure::CpuTime => format!("{:.2}", row.target),
            Measure::CpuTimeAlone | Measure::IdleMemory => thousands(row.target),
        };
        text.push_str(&format!("| {} | {} | {target} |\n", row.title, cells.join(" | ")));
    }
    text
}

fn heading(name: &str) -> String {
    match name {
        BASE => format!("{name}, ns"),
        _ => name.to_owned(),
    }
}

fn cell(row: &Row, server: &Server, has_base: bool, results: &Results) -> Option<String> {
    let is_ratio = has_base && row.measure == Measure::CpuTime && server.name != BASE;
    if is_ratio {
        let ratio = results.median_ratio(row.name, &server.name)?;
        return Some(format!("{ratio:.2}"));
    }
    let value = thousands(results.median(row.name, &server.name)?);
    if row.measure != Measure::CpuTimeAlone {
        return Some(value);
    }
    let field = "received_bytes_per_message";
    let bytes = results.median_of_report(row.name, &server.name, field)?;
    Some(format!("{value} ({bytes:.0})"))
}

/// Rounded, with a comma between thousands; two digits behind the point where it is small.
pub fn thousands(value: f64) -> String {
    if value < 10.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let texts = [1.234, 12.6, 999.0, 1000.0, 1_234_567.0].map(thousands);
        assert_eq!(texts, ["1.23", "13", "999", "1,000", "1,234,567"]);
    }
}
