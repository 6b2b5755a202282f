//! One line of the log.

use std::fmt::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::Context;

use super::writer::Writer;

/// Turns events into lines and hands them to the writer.
pub struct Layer {
    pub writer: Writer,
    pub json: bool,
}

impl<S: Subscriber> tracing_subscriber::Layer<S> for Layer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let time = timestamp(now.as_secs(), now.subsec_micros());
        let line = if self.json {
            json(event.metadata(), &time, &fields)
        } else {
            console(event.metadata(), &time, &fields)
        };
        self.writer.write(line);
    }
}

/// The message, and the other fields as the inside of a JSON object, each with a comma before it.
#[derive(Default)]
struct Fields {
    message: String,
    rest: String,
}

impl Fields {
    fn add(&mut self, field: &Field, value: impl fmt::Display) {
        // Writing to a string does not fail.
        let _ = write!(self.rest, ",\"{}\":{value}", field.name());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message = value.to_owned();
        } else {
            self.add(field, quoted(value));
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.add(field, value);
        } else {
            self.add(field, quoted(&value.to_string()));
        }
    }
}

fn json(metadata: &Metadata<'_>, time: &str, fields: &Fields) -> String {
    format!(
        "{{\"level\":\"{}\",\"ts\":\"{time}\",\"caller\":{},\"msg\":{}{}}}\n",
        level(metadata),
        quoted(&caller(metadata)),
        quoted(&fields.message),
        fields.rest
    )
}

fn console(metadata: &Metadata<'_>, time: &str, fields: &Fields) -> String {
    let rest = fields.rest.strip_prefix(',').unwrap_or_default();
    let message = fields.message.replace('\n', " ");
    let level = level(metadata).to_uppercase();
    format!(
        "{time}\t{level}\t{}\t{message}\t{{{rest}}}\n",
        caller(metadata)
    )
}

fn level(metadata: &Metadata<'_>) -> &'static str {
    match *metadata.level() {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        _ => "debug",
    }
}

/// Folder, file and line, as zap shortens them.
fn caller(metadata: &Metadata<'_>) -> String {
    let file = metadata.file().unwrap_or_default();
    let mut from_the_end = file.rmatch_indices('/').map(|(at, _)| at + 1);
    let start = from_the_end.nth(1).unwrap_or(0);
    let short = file.get(start..).unwrap_or(file);
    format!("{short}:{}", metadata.line().unwrap_or_default())
}

/// A JSON string: quotes, backslashes and control characters escaped (RFC 8259, section 7).
fn quoted(value: &str) -> String {
    let mut text = String::with_capacity(value.len() + 2);
    text.push('"');
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            c if c < ' ' => {
                let _ = write!(text, "\\u{:04x}", c as u32);
            }
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

/// UTC with microseconds, as etcd's log has it.
fn timestamp(seconds: u64, micros: u32) -> String {
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// The date so many days after 1970-01-01. Years are counted from March, so that the day a leap
/// year adds is its last; 146,097 days are 400 years of the Gregorian calendar.
fn date(days: u64) -> (u64, u64, u64) {
    // 719,468 days lie between March 1 of the year 0 and 1970-01-01.
    let since = days + 719_468;
    let (era, of_era) = (since / 146_097, since % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months from March on have 30.6 days on average, in fifths.
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn logged(json: bool, write: impl FnOnce()) -> String {
        let (lines, received) = mpsc::sync_channel(4);
        let layer = Layer {
            writer: Writer::to(lines),
            json,
        };
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, write);
        received.try_recv().unwrap()
    }

    #[test]
    fn lines_have_zaps_keys() {
        let line = logged(
            true,
            || tracing::warn!(a = 1, b = "x\"y", c = ?Some(2), "what\nis"),
        );
        let (head, tail) = line.split_once(",\"caller\":\"").unwrap();
        assert!(
            head.starts_with("{\"level\":\"warn\",\"ts\":\"20"),
            "{line}"
        );
        let (caller, rest) = tail.split_once('"').unwrap();
        assert!(caller.starts_with("logging/line.rs:"), "{line}");
        assert_eq!(
            rest,
            ",\"msg\":\"what\\nis\",\"a\":1,\"b\":\"x\\\"y\",\"c\":\"Some(2)\"}\n"
        );
    }

    #[test]
    fn a_console_line_is_one_line() {
        let line = logged(false, || tracing::info!(n = true, "a\nb"));
        assert!(
            line.contains("\tINFO\t") && line.ends_with("\ta b\t{\"n\":true}\n"),
            "{line}"
        );
    }

    #[test]
    fn dates() {
        assert_eq!(timestamp(0, 0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(timestamp(951_827_696, 5), "2000-02-29T12:34:56.000005Z");
        assert_eq!(timestamp(4_107_542_399, 0), "2100-02-28T23:59:59.000000Z");
        assert_eq!(timestamp(4_107_542_400, 0), "2100-03-01T00:00:00.000000Z");
        assert_eq!(timestamp(1_735_689_599, 0), "2024-12-31T23:59:59.000000Z");
    }
}
