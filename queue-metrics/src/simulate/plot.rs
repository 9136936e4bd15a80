//! The answer as a picture: for each policy tasks above and workers below, over time.

use super::model::{Outcome, Point};
use super::scenario::Scenario;
use std::fmt::Write;

const WIDTH: u32 = 960;
const LEFT: u32 = 56;
const RIGHT: u32 = 944;
const PANEL: u32 = 190;
const HEAD: u32 = 46;
/// The width of a step.
const COLUMN: u32 = 2;

/// An SVG.
pub fn svg(scenario: &Scenario, outcomes: &[Outcome]) -> String {
    let height = HEAD + PANEL * u32::try_from(outcomes.len()).unwrap_or(0);
    let points = outcomes.iter().flat_map(|outcome| &outcome.points);
    let (mut end, mut tasks, mut workers) = (1, 1, 1);
    for point in points {
        end = end.max(point.at);
        tasks = tasks.max(point.ready).max(point.running);
        workers = workers.max(point.desired).max(point.workers);
    }
    let mut text = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">
<rect width="{WIDTH}" height="{height}" fill="#fff"/>
<text x="{LEFT}" y="20" font-size="15">{}</text>
<text x="{LEFT}" y="38"><tspan fill="#c2410c">tasks waiting</tspan>  <tspan fill="#94a3b8">tasks running</tspan>  <tspan fill="#1d4ed8">desired workers</tspan>  <tspan fill="#15803d">workers up</tspan></text>
"##,
        escaped(&scenario.title)
    );
    for (index, outcome) in (0_u32..).zip(outcomes) {
        let top = HEAD + index * PANEL + 20;
        let upper = Area {
            top,
            height: 80,
            end,
            most: tasks,
        };
        let lower = Area {
            top: top + 90,
            height: 60,
            end,
            most: workers,
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            r#"<text x="{LEFT}" y="{}">{}: wait p95 {} s, {:.1} worker-hours, {} killed</text>"#,
            top - 6,
            outcome.kind.name(),
            outcome.wait(95),
            outcome.worker_hours(),
            outcome.killed()
        );
        upper.frame(&mut text);
        lower.frame(&mut text);
        upper.line(&mut text, &outcome.points, "#94a3b8", |point| point.running);
        upper.line(&mut text, &outcome.points, "#c2410c", |point| point.ready);
        lower.line(&mut text, &outcome.points, "#1d4ed8", |point| point.desired);
        lower.line(&mut text, &outcome.points, "#15803d", |point| point.workers);
        hours(&mut text, end, top + 162);
    }
    text.push_str("</svg>\n");
    text
}

/// A part of the picture with its own scale.
struct Area {
    top: u32,
    height: u32,
    end: u32,
    most: u32,
}

impl Area {
    fn frame(&self, text: &mut String) {
        let bottom = self.top + self.height;
        let _ = writeln!(
            text,
            r##"<path d="M{LEFT} {bottom}H{RIGHT}" stroke="#cbd5e1"/><text x="{}" y="{}" text-anchor="end" fill="#64748b">{}</text><text x="{}" y="{bottom}" text-anchor="end" fill="#64748b">0</text>"##,
            LEFT - 6,
            self.top + 10,
            self.most,
            LEFT - 6,
        );
    }

    fn line(
        &self,
        text: &mut String,
        points: &[Point],
        colour: &str,
        value: impl Fn(&Point) -> u32,
    ) {
        // The highest of each column: a day has more changes than the picture has room for.
        let mut columns: Vec<(u32, u32)> = Vec::new();
        for point in points {
            let x = LEFT + (RIGHT - LEFT) * point.at / self.end / COLUMN * COLUMN;
            match columns.last_mut() {
                Some((last, highest)) if *last == x => *highest = value(point).max(*highest),
                _ => columns.push((x, value(point))),
            }
        }
        let mut path = String::new();
        let mut drawn = None;
        for (x, value) in columns {
            let y = self.top + self.height - self.height * value / self.most;
            // Writing to a String cannot fail.
            let _ = match drawn.replace(y) {
                None => write!(path, "M{x} {y}"),
                Some(before) if before == y => Ok(()),
                Some(_) => write!(path, "H{x}V{y}"),
            };
        }
        let _ = write!(path, "H{RIGHT}");
        let _ = writeln!(text, r#"<path d="{path}" fill="none" stroke="{colour}"/>"#);
    }
}

fn hours(text: &mut String, end: u32, y: u32) {
    let step = (end / 3_600 / 12).max(1) * 3_600;
    for at in (0..=end).step_by(step as usize) {
        let _ = writeln!(
            text,
            r##"<text x="{:.1}" y="{y}" text-anchor="middle" fill="#64748b">{}h</text>"##,
            across(at, end),
            at / 3_600
        );
    }
}

fn across(at: u32, end: u32) -> f64 {
    f64::from(LEFT) + f64::from(RIGHT - LEFT) * f64::from(at) / f64::from(end)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
