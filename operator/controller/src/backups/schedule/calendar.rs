//! When backups are due: cron's five fields, read in UTC.

use cronexpr::{Crontab, FallbackTimezoneOption, ParseOptions};
use jiff::Timestamp;

/// When the members of a schedule are due.
#[derive(Debug)]
pub struct Calendar(Crontab);

impl Calendar {
    /// The short words stand for the fields that cron knows them by.
    pub fn parse(text: &str) -> Result<Calendar, String> {
        let fields = match text {
            "@hourly" => "0 * * * *",
            "@daily" => "0 0 * * *",
            "@weekly" => "0 0 * * 0",
            "@monthly" => "0 0 1 * *",
            fields => fields,
        };
        let mut options = ParseOptions::default();
        options.fallback_timezone_option = FallbackTimezoneOption::UTC;
        let parsed = cronexpr::parse_crontab_with(fields, options);
        parsed.map(Calendar).map_err(|error| error.to_string())
    }

    /// The first moment after `since`; none for a day that never comes, such as 30 February.
    pub fn after(&self, since: Timestamp) -> Option<Timestamp> {
        let found = self.0.find_next(since);
        found.ok().map(|time| time.timestamp())
    }
}

/// What a schedule is to do at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing before this moment; never, if there is none.
    Rest(Option<Timestamp>),
    /// Begin the backup that was due at this moment.
    Begin(Timestamp),
    /// One is due since this moment, and the one before it is still under way.
    Late(Timestamp),
}

/// `since` is when the last one was begun, or when the schedule was made. Of several that were missed,
/// because the operator was away or the schedule was suspended, one is made up for.
pub fn turn(calendar: &Calendar, since: Timestamp, now: Timestamp, under_way: bool) -> Turn {
    match calendar.after(since) {
        Some(due) if due <= now && under_way => Turn::Late(due),
        Some(due) if due <= now => Turn::Begin(due),
        next => Turn::Rest(next),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn schedules_are_read_as_cron_in_utc() {
        let since = at("2026-01-31T22:15:30Z");
        for (schedule, due) in [
            ("@hourly", "2026-01-31T23:00:00Z"),
            ("@daily", "2026-02-01T00:00:00Z"),
            // The first of February 2026 is a Sunday.
            ("@weekly", "2026-02-01T00:00:00Z"),
            ("@monthly", "2026-02-01T00:00:00Z"),
            ("30 4 * * *", "2026-02-01T04:30:00Z"),
            ("*/10 * * * *", "2026-01-31T22:20:00Z"),
            ("* * * * *", "2026-01-31T22:16:00Z"),
            ("0 3 * * MON-FRI", "2026-02-02T03:00:00Z"),
            ("0 0 29 2 *", "2028-02-29T00:00:00Z"),
        ] {
            let calendar = Calendar::parse(schedule).unwrap();
            assert_eq!(calendar.after(since), Some(at(due)), "{schedule}");
        }
    }

    #[test]
    fn what_is_no_cron_is_refused_in_words() {
        for wrong in ["61 * * * *", "* * * *", "a b c d e", "@never", ""] {
            let said = Calendar::parse(wrong).unwrap_err();
            assert!(!said.is_empty(), "{wrong}");
        }
    }

    #[test]
    fn of_those_that_were_missed_one_is_made_up_for() {
        let hourly = Calendar::parse("@hourly").unwrap();
        let last = at("2026-01-01T00:00:05Z");
        let turn = |now, under_way| turn(&hourly, last, at(now), under_way);
        let due = at("2026-01-01T01:00:00Z");
        assert_eq!(turn("2026-01-01T00:59:59Z", false), Turn::Rest(Some(due)));
        assert_eq!(turn("2026-01-01T01:00:00Z", false), Turn::Begin(due));
        // Five hours later it is still that one, and from then on the next is counted.
        let late = "2026-01-01T06:30:00Z";
        assert_eq!(turn(late, false), Turn::Begin(due));
        let next = super::turn(&hourly, at(late), at(late), false);
        assert_eq!(next, Turn::Rest(Some(at("2026-01-01T07:00:00Z"))));
    }

    #[test]
    fn two_are_never_under_way_at_once() {
        let hourly = Calendar::parse("@hourly").unwrap();
        let last = at("2026-01-01T00:00:05Z");
        let turn = |now| turn(&hourly, last, at(now), true);
        let due = at("2026-01-01T01:00:00Z");
        assert_eq!(turn("2026-01-01T00:10:00Z"), Turn::Rest(Some(due)));
        assert_eq!(turn("2026-01-01T02:10:00Z"), Turn::Late(due));
    }
}
