//! A run's record as an SVG that a person can read: a lane for each service and for the uploads, and
//! the queue, the target and the workers over time below.
//!
//! Words stand beside what has no colour of its own: a page that shows the drawing as an image shows
//! nothing of what a browser would on hovering.

use std::fmt::Write as _;

use crate::timeline::Record;

const LEFT: f64 = 130.0;
const WIDTH: f64 = 860.0;
const LANE: f64 = 26.0;
const CHART: f64 = 120.0;
/// Of words in a lane: their size, and about how wide a letter of it is.
const SMALL: f64 = 9.0;
const LETTER: f64 = 4.9;
const COLOURS: [&str; 4] = ["#4a78a8", "#b0740f", "#2f8151", "#8250df"];

/// Where each kind of event comes in a lane's line: what it is drawn as.
fn mark(what: &str) -> (&'static str, bool) {
    match what {
        "started" => ("#57606a", true),
        "healthy" => ("#b0740f", false),
        "serves" => ("#2f8151", true),
        "is told to stop" | "killed" => ("#cf222e", true),
        "ended" => ("#57606a", true),
        _ => ("#4a78a8", false),
    }
}

/// The drawing.
pub fn svg(record: &Record, title: &str) -> String {
    let mut lanes: Vec<&str> = Vec::new();
    for event in &record.events {
        if !lanes.contains(&event.lane.as_str()) {
            lanes.push(&event.lane);
        }
    }
    let ends = record.events.iter().map(|event| event.at);
    let values = record.series.values().flatten().map(|(at, _)| *at);
    let end = ends.chain(values).fold(1.0, f64::max);
    let x = |at: f64| LEFT + at / end * WIDTH;
    let top = 50.0;
    let bottom = top + LANE * lanes.len() as f64;
    let series = !record.series.is_empty();
    let height = bottom + if series { CHART + 70.0 } else { 40.0 };
    let mut out = String::new();
    let total = LEFT + WIDTH + 30.0;
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {total:.0} {height:.0}\" role=\"img\" \
         font-family=\"system-ui, 'Segoe UI', Helvetica, Arial, sans-serif\" font-size=\"12\">\n\
         <title>{0}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"10\" y=\"22\" font-size=\"15\" font-weight=\"600\" fill=\"#1f2328\">{0}</text>\n\
         <text x=\"10\" y=\"39\" fill=\"#57606a\">grey: started or ended, amber: healthy, green: serves, \
         red: stopped, blue: what happened</text>\n",
        escaped(title)
    );
    axis(&mut out, end, top, height - 24.0, x);
    for (place, lane) in lanes.iter().enumerate() {
        let y = top + LANE * (place as f64 + 0.5);
        let _ = writeln!(
            out,
            "<text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#1f2328\">{}</text>",
            LEFT - 8.0,
            y + 4.0,
            escaped(lane)
        );
        life(&mut out, record, lane, y, end, x);
        words(&mut out, record, lane, y, x);
    }
    if series {
        chart(&mut out, record, bottom + 20.0, end, x);
    }
    out.push_str("</svg>\n");
    out
}

/// A line while a service lives, green from when it serves, and a mark for each event.
fn life(out: &mut String, record: &Record, lane: &str, y: f64, end: f64, x: impl Fn(f64) -> f64) {
    let mut events = record
        .events
        .iter()
        .filter(|event| event.lane == lane)
        .peekable();
    let mut colour = None;
    while let Some(event) = events.next() {
        let until = events.peek().map_or(end, |next| next.at);
        match event.what.as_str() {
            "started" => colour = Some("#d0d7de"),
            "healthy" => colour = colour.or(Some("#d0d7de")),
            "serves" => colour = Some("#8fd0a5"),
            "is told to stop" | "killed" => colour = colour.and(Some("#f0b0b0")),
            "ended" => colour = None,
            _ => {}
        }
        if let Some(colour) = colour {
            let _ = writeln!(
                out,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"8\" fill=\"{colour}\"/>",
                x(event.at),
                y - 4.0,
                (x(until) - x(event.at)).max(0.5)
            );
        }
        let (fill, round) = mark(&event.what);
        let size = if round { 4.0 } else { 3.0 };
        let _ = writeln!(
            out,
            "<circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"{size}\" fill=\"{fill}\"><title>{:.1} s: {}</title></circle>",
            x(event.at),
            event.at,
            escaped(&event.what)
        );
    }
}

/// What happened, above or below its mark, where there is room for it.
fn words(out: &mut String, record: &Record, lane: &str, y: f64, x: impl Fn(f64) -> f64) {
    let plain = mark("").0;
    let mut rows = [(y - 5.0, 0.0), (y + 11.0, 0.0)];
    let events = record.events.iter().filter(|event| event.lane == lane);
    for event in events.filter(|event| mark(&event.what).0 == plain) {
        let width = event.what.chars().count() as f64 * LETTER;
        // Ends at the edge what would go past it.
        let left = (x(event.at) - 3.0).min(LEFT + WIDTH + 26.0 - width);
        let Some((line, taken)) = rows.iter_mut().find(|(_, taken)| *taken <= left) else {
            continue;
        };
        *taken = left + width + LETTER;
        let _ = writeln!(
            out,
            "<text x=\"{left:.1}\" y=\"{line:.1}\" font-size=\"{SMALL}\" fill=\"#57606a\">{}</text>",
            escaped(&event.what)
        );
    }
}

fn axis(out: &mut String, end: f64, top: f64, bottom: f64, x: impl Fn(f64) -> f64) {
    let steps = [5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0];
    let step = steps
        .into_iter()
        .find(|step| end / step <= 12.0)
        .unwrap_or(1200.0);
    let mut at = 0.0;
    while at <= end {
        let _ = writeln!(
            out,
            "<line x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{top:.0}\" y2=\"{bottom:.0}\" stroke=\"#eaeef2\"/>\
             <text x=\"{0:.1}\" y=\"{1:.0}\" text-anchor=\"middle\" fill=\"#57606a\">{at:.0} s</text>",
            x(at),
            bottom + 16.0
        );
        at += step;
    }
}

/// Each series as steps, all on one scale, and each a little higher than the one before, so that none
/// hides another of the same value.
fn chart(out: &mut String, record: &Record, top: f64, end: f64, x: impl Fn(f64) -> f64) {
    let highest = record
        .series
        .values()
        .flatten()
        .map(|(_, value)| *value)
        .fold(1.0, f64::max);
    for (place, (name, values)) in record.series.iter().enumerate() {
        let y = |value: f64| top + CHART - value / highest * CHART - 2.0 * place as f64;
        let colour = COLOURS[place % COLOURS.len()];
        let mut path = String::new();
        let mut before: Option<f64> = None;
        for (at, value) in values {
            match before {
                None => {
                    let _ = write!(path, "M{:.1} {:.1}", x(*at), y(*value));
                }
                Some(_) => {
                    let _ = write!(path, "H{:.1}V{:.1}", x(*at), y(*value));
                }
            }
            before = Some(*value);
        }
        let _ = writeln!(
            out,
            "<path d=\"{path}H{:.1}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\
             <text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\" fill=\"{colour}\">{}</text>",
            x(end),
            LEFT - 8.0,
            top + 14.0 + 18.0 * place as f64,
            escaped(name)
        );
    }
    let _ = writeln!(
        out,
        "<text x=\"{0:.0}\" y=\"{1:.0}\" fill=\"#57606a\">{highest:.0}</text><text x=\"{0:.0}\" y=\"{2:.0}\" fill=\"#57606a\">0</text>",
        LEFT + WIDTH + 4.0,
        top + 4.0,
        top + CHART
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::Event;

    #[test]
    fn each_lane_and_each_event_is_drawn_and_its_words_cannot_break_the_drawing() {
        let event = |at, lane: &str, what: &str| Event {
            at,
            lane: lane.into(),
            what: what.into(),
        };
        let mut record = Record {
            events: vec![
                event(0.0, "scheduler", "started"),
                event(9.0, "scheduler", "serves"),
                event(10.0, "uploads", "a <b> & \"c\""),
            ],
            ..Record::default()
        };
        record
            .series
            .insert("target".into(), vec![(1.0, 0.0), (5.0, 3.0)]);
        let svg = svg(&record, "a run");
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(
            svg.contains(">a &lt;b&gt; &amp; &quot;c&quot;</text>"),
            "{svg}"
        );
        assert!(
            svg.contains(">scheduler<") && svg.contains(">uploads<") && svg.contains(">target<")
        );
    }
    #[test]
    fn words_that_would_lie_on_others_are_left_to_the_marks_title() {
        let event = |at, what: &str| Event {
            at,
            lane: "uploads".into(),
            what: what.into(),
        };
        let near = ["one", "two", "three"].map(|what| event(10.0, what));
        let mut events = near.to_vec();
        events.push(event(100.0, "four"));
        let record = Record {
            events,
            ..Record::default()
        };
        let svg = svg(&record, "a run");
        let shown =
            ["one", "two", "three", "four"].map(|word| svg.contains(&format!(">{word}</text>")));
        assert_eq!(shown, [true, true, false, true], "{svg}");
        assert!(svg.contains("10.0 s: three</title>"));
    }
}
