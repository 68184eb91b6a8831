//! The results as pictures: SVG without any dependency, for a light and a dark page.

use std::path::Path;
use std::{fs, io};

use super::results::{BASE, Results};
use super::rows::{Measure, Row};
use super::servers::Server;
use super::table::thousands;

const WIDTH: f64 = 760.0;
const MARGIN: f64 = 12.0;

/// Where bars begin and how long the longest is; its number stands behind it.
const BARS_AT: f64 = 170.0;
const BARS_WIDTH: f64 = 480.0;
const BAR: f64 = 12.0;
const BAR_STEP: f64 = 16.0;
const TITLE: f64 = 26.0;
const AXIS: f64 = 20.0;

/// Ratios above this are cut off, and say so: two servers that are twenty times as dear would make all others
/// look alike.
const RATIO_MAX: f64 = 5.0;

const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#1f2328}.title{font-weight:600}\
    .axis{font-size:10px;fill:#59636e}.other{fill:#9aa4af}.own{fill:#0969da}.cut{fill:#ffffff}\
    .grid{stroke:#d1d9e0}.limit{stroke:#d1242f;stroke-dasharray:4 3}\
    @media(prefers-color-scheme:dark){text{fill:#f0f6fc}.axis{fill:#9198a1}.other{fill:#656c76}\
    .own{fill:#4493f8}.cut{fill:#0d1117}.grid{stroke:#3d444d}.limit{stroke:#f85149}}";

/// A picture: its file, and which loads are in it.
struct Picture {
    file: &'static str,
    title: &'static str,
    has: fn(&Row) -> bool,
}

const PICTURES: [Picture; 5] = [
    Picture {
        file: "echo.svg",
        title: "Echo: CPU time of the server a message, as a ratio to raw",
        has: |row| row.measure == Measure::CpuTime && row.load.starts_with("echo "),
    },
    Picture {
        file: "broadcast.svg",
        title: "Broadcast: CPU time of the server a delivery, as a ratio to raw",
        has: |row| row.measure == Measure::CpuTime && row.load.starts_with("broadcast "),
    },
    Picture {
        file: "handshake.svg",
        title: "Handshakes: CPU time of the server, as a ratio to raw",
        has: |row| row.measure == Measure::CpuTime && row.load.starts_with("connect "),
    },
    Picture {
        file: "deflate.svg",
        title: "Compression: CPU time of the server a message",
        has: |row| row.measure == Measure::CpuTimeAlone,
    },
    Picture {
        file: "memory.svg",
        title: "Idle connections: resident bytes of the server",
        has: |row| row.measure == Measure::IdleMemory,
    },
];

/// Writes a picture for each kind of load that has results into `folder`, which is made where it is not there.
///
/// # Errors
/// The folder or a file cannot be written.
pub fn write(
    folder: &Path,
    rows: &[&Row],
    servers: &[Server],
    results: &Results,
) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for picture in &PICTURES {
        let rows: Vec<_> = rows.iter().copied().filter(|row| (picture.has)(row)).collect();
        if let Some(svg) = draw(picture.title, &rows, servers, results) {
            fs::write(folder.join(picture.file), svg)?;
        }
    }
    Ok(())
}

/// One bar.
struct Bar {
    name: String,
    value: f64,
    label: String,
}

/// One load, its bars one under the other. `None` where nothing was measured.
fn draw(title: &str, rows: &[&Row], servers: &[Server], results: &Results) -> Option<String> {
    let mut body = String::new();
    let mut y = MARGIN;
    for row in rows {
        let bars: Vec<_> = servers.iter().filter_map(|server| bar(row, server, results)).collect();
        if !bars.is_empty() {
            y = panel(&mut body, y, row, &bars);
        }
    }
    let height = y + MARGIN;
    (!body.is_empty()).then(|| {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n<title>{}</title>\n\
             <style>{STYLE}</style>\n{body}</svg>\n",
            escaped(title)
        )
    })
}

fn bar(row: &Row, server: &Server, results: &Results) -> Option<Bar> {
    let name = server.name.clone();
    let (value, label) = match row.measure {
        // The limit is a line, not a bar.
        Measure::CpuTime if name == BASE => return None,
        Measure::CpuTime => {
            let ratio = results.median_ratio(row.name, &name)?;
            (ratio, format!("{ratio:.2}"))
        }
        Measure::CpuTimeAlone => {
            let value = results.median(row.name, &name)?;
            let field = "received_bytes_per_message";
            let bytes = results.median_of_report(row.name, &name, field)?;
            (value, format!("{:.1} us, {bytes:.0} B", value / 1e3))
        }
        Measure::IdleMemory => {
            let value = results.median(row.name, &name)?;
            (value, format!("{} B", thousands(value)))
        }
    };
    Some(Bar { name, value, label })
}

/// Where a value lies between the ends of its axis, and the marks of the axis.
struct Axis {
    place: Box<dyn Fn(f64) -> f64>,
    marks: Vec<(f64, String)>,
}

impl Axis {
    fn of(row: &Row, bars: &[Bar]) -> Self {
        let most = bars.iter().map(|bar| bar.value).fold(1.0, f64::max);
        match row.measure {
            Measure::CpuTime => {
                let marks = (0..=RATIO_MAX as u32).map(|mark| (f64::from(mark), mark.to_string()));
                Self { place: Box::new(|value| value / RATIO_MAX), marks: marks.collect() }
            }
            Measure::CpuTimeAlone => {
                let mark = |quarter: u32| {
                    let value = most * f64::from(quarter) / 4.0;
                    (value, format!("{:.0} us", value / 1e3))
                };
                let marks = (0..=4).map(mark).collect();
                Self { place: Box::new(move |value| value / most), marks }
            }
            Measure::IdleMemory => {
                // From 10 bytes on, a decade after the other.
                let decades = most.log10().ceil().max(2.0);
                let mark = |decade: u32| {
                    let value = 10_f64.powi(decade as i32);
                    (value, thousands(value))
                };
                let marks = (1..=decades as u32).map(mark).collect();
                let place = move |value: f64| (value.max(10.0).log10() - 1.0) / (decades - 1.0);
                Self { place: Box::new(place), marks }
            }
        }
    }

    /// The length of a bar, and whether it was cut.
    fn len(&self, value: f64) -> (f64, bool) {
        let place = (self.place)(value);
        (place.clamp(0.0, 1.0) * BARS_WIDTH, place > 1.0)
    }
}

/// Draws one load from `y` on; returns where it ends.
fn panel(body: &mut String, y: f64, row: &Row, bars: &[Bar]) -> f64 {
    let axis = Axis::of(row, bars);
    let top = y + TITLE;
    let bottom = top + bars.len() as f64 * BAR_STEP;
    let title = escaped(row.title);
    body.push_str(&format!(
        "<text class=\"title\" x=\"{MARGIN}\" y=\"{:.1}\">{title}</text>\n",
        y + 14.0
    ));
    let is_limit = |value: f64| row.measure == Measure::CpuTime && value == 1.0;
    let line = |value: f64, class: &str| {
        let x = BARS_AT + axis.len(value).0;
        format!(
            "<line class=\"{class}\" x1=\"{x:.1}\" y1=\"{top:.1}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\"/>\n"
        )
    };
    for (value, name) in &axis.marks {
        let x = BARS_AT + axis.len(*value).0;
        let name = if is_limit(*value) { "1 = raw" } else { name };
        body.push_str(&line(*value, "grid"));
        body.push_str(&format!(
            "<text class=\"axis\" text-anchor=\"middle\" x=\"{x:.1}\" y=\"{:.1}\">{name}</text>\n",
            bottom + 12.0
        ));
    }
    for (index, bar) in bars.iter().enumerate() {
        let at = top + index as f64 * BAR_STEP;
        body.push_str(&drawn(&axis, at, bar));
    }
    // In front of the bars.
    if axis.marks.iter().any(|(value, _)| is_limit(*value)) {
        body.push_str(&line(1.0, "limit"));
    }
    bottom + AXIS + MARGIN
}

fn drawn(axis: &Axis, y: f64, bar: &Bar) -> String {
    let (len, is_cut) = axis.len(bar.value);
    let class = if bar.name.starts_with("sockeye") { "own" } else { "other" };
    let (text_y, end) = (y + BAR - 1.0, BARS_AT + len);
    let mut text = format!(
        "<text text-anchor=\"end\" x=\"{:.1}\" y=\"{text_y:.1}\">{}</text>\n\
         <rect class=\"{class}\" x=\"{BARS_AT}\" y=\"{y:.1}\" width=\"{len:.1}\" height=\"{BAR}\"/>\n",
        BARS_AT - 6.0,
        escaped(&bar.name)
    );
    if is_cut {
        // Two slits: the bar is longer than there is room.
        for slit in [end - 16.0, end - 10.0] {
            text.push_str(&format!(
                "<rect class=\"cut\" x=\"{slit:.1}\" y=\"{y:.1}\" width=\"2\" height=\"{BAR}\"/>\n"
            ));
        }
    }
    text.push_str(&format!(
        "<text x=\"{:.1}\" y=\"{text_y:.1}\">{}</text>\n",
        end + 5.0,
        escaped(&bar.label)
    ));
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::rows::ROWS;
    use serde_json::json;

    fn row(name: &str) -> &'static Row {
        ROWS.iter().find(|row| row.name == name).unwrap()
    }

    fn results(row: &str, values: &[(&str, f64)]) -> (Results, Vec<Server>) {
        let mut results = Results::default();
        for (server, value) in values {
            let report = json!({ "received_bytes_per_message": 385.0 });
            results.add(row, server, 0, *value, &report);
        }
        let servers = values.iter().map(|(name, _)| Server::named(name)).collect();
        (results, servers)
    }

    fn widths(svg: &str, class: &str) -> Vec<f64> {
        let begin = format!("<rect class=\"{class}\"");
        let bars = svg.split(&begin).skip(1);
        let width = |bar: &str| {
            let (_, rest) = bar.split_once("width=\"").unwrap();
            rest.split('"').next().unwrap().parse().unwrap()
        };
        bars.map(width).collect()
    }

    #[test]
    fn bars_are_as_long_as_their_ratios_and_say_where_they_are_cut() {
        let values = [("raw", 100.0), ("sockeye", 125.0), ("b", 250.0), ("c<d", 2200.0)];
        let (results, servers) = results("echo16x1", &values);
        let svg = draw("t", &[row("echo16x1")], &servers, &results).unwrap();
        assert_eq!(widths(&svg, "own"), [BARS_WIDTH / 4.0]);
        assert_eq!(widths(&svg, "other"), [BARS_WIDTH / 2.0, BARS_WIDTH]);
        assert_eq!(widths(&svg, "cut").len(), 2);
        assert!(svg.contains(">22.00<") && svg.contains("c&lt;d") && !svg.contains("c<d"));
        assert!(svg.contains("prefers-color-scheme:dark") && svg.contains("1 = raw"));
    }

    #[test]
    fn memory_has_a_decade_for_each_power_of_ten() {
        let values = [("raw", 100.0), ("sockeye", 1000.0), ("b", 100_000.0)];
        let (results, servers) = results("idle1k", &values);
        let svg = draw("t", &[row("idle1k")], &servers, &results).unwrap();
        assert_eq!(widths(&svg, "own"), [BARS_WIDTH / 2.0]);
        assert_eq!(widths(&svg, "other"), [BARS_WIDTH / 4.0, BARS_WIDTH]);
        assert!(svg.contains(">100,000 B<"));
    }

    #[test]
    fn what_raw_cannot_do_is_in_microseconds_with_its_bytes() {
        let (results, servers) = results("deflate1k", &[("a", 20_000.0), ("b", 40_000.0)]);
        let svg = draw("t", &[row("deflate1k")], &servers, &results).unwrap();
        assert_eq!(widths(&svg, "other"), [BARS_WIDTH / 2.0, BARS_WIDTH]);
        assert!(svg.contains("20.0 us, 385 B"));
    }

    #[test]
    fn nothing_measured_is_no_picture() {
        let (results, servers) = results("echo16x1", &[("raw", 100.0)]);
        assert_eq!(draw("t", &[row("connect")], &servers, &results), None);
    }
}
