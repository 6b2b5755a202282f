//! Values as Go's flag package reads them, since that is what people write in unit files.

use std::time::Duration;

use super::table::Kind;

/// Whether a value is of its kind; the error is Go's word for it.
pub fn check(kind: Kind, value: &str) -> Result<(), &'static str> {
    match kind {
        Kind::Text | Kind::Anything => Ok(()),
        Kind::Bool => boolean(value).map(drop),
        Kind::Int => integer(value).map(drop),
        Kind::Uint => unsigned(value).map(drop),
        Kind::Duration => duration(value).map(drop),
    }
}

pub fn boolean(value: &str) -> Result<bool, &'static str> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("parse error"),
    }
}

pub fn integer(value: &str) -> Result<i64, &'static str> {
    let (negative, digits) = match value.as_bytes() {
        [b'-', ..] => (true, &value[1..]),
        [b'+', ..] => (false, &value[1..]),
        _ => (false, value),
    };
    let magnitude = i128::from(unsigned(digits)?);
    let number = if negative { -magnitude } else { magnitude };
    i64::try_from(number).map_err(|_| "value out of range")
}

/// Decimal, or with a prefix: 0x, 0o or a bare 0, 0b; underscores may part digits.
pub fn unsigned(value: &str) -> Result<u64, &'static str> {
    let lower = value.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    let digits = if radix == 10 {
        digits.to_owned()
    } else {
        digits.replace('_', "")
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Err("parse error");
    }
    u64::from_str_radix(&digits, radix).map_err(|_| "value out of range")
}

/// `1h30m`, `2.5s`, `300ms`: numbers each with a unit; a bare 0 needs none. Not negative.
pub fn duration(value: &str) -> Result<Duration, &'static str> {
    if value == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = value.strip_prefix('+').unwrap_or(value);
    if rest.is_empty() {
        return Err("parse error");
    }
    let mut nanos = 0f64;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or("parse error")?;
        let (number, after) = rest.split_at(digits);
        let number: f64 = number.parse().map_err(|_| "parse error")?;
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.');
        let (unit, after) = after.split_at(unit_end.unwrap_or(after.len()));
        nanos += number * unit_nanos(unit).ok_or("parse error")?;
        rest = after;
    }
    // Go counts nanoseconds in 63 bits, 292 years.
    if nanos > i64::MAX as f64 {
        return Err("parse error");
    }
    Ok(Duration::from_nanos(nanos.round() as u64))
}

fn unit_nanos(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1.0,
        "us" | "µs" | "μs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" => 60e9,
        "h" => 3600e9,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let read = |value: &str| duration(value).map(|found| found.as_millis());
        assert_eq!(read("5s"), Ok(5000));
        assert_eq!(read("1h30m"), Ok(5_400_000));
        assert_eq!(read("2.5s"), Ok(2500));
        assert_eq!(read("2h0m0s"), Ok(7_200_000));
        assert_eq!(read("300ms"), Ok(300));
        assert_eq!(read("0"), Ok(0));
        for odd in ["", "5", "s", "-5s", "5 s", "1.2.3s", "1d", "9999999999h"] {
            assert!(duration(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(unsigned("010"), Ok(8));
        assert_eq!(unsigned("0x1F"), Ok(31));
        assert_eq!(unsigned("12"), Ok(12));
        assert_eq!(unsigned("0"), Ok(0));
        assert_eq!(unsigned("18446744073709551616"), Err("value out of range"));
        assert_eq!(integer("-3"), Ok(-3));
        assert_eq!(integer("-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(integer("9223372036854775808"), Err("value out of range"));
        for odd in ["", "-", "1.5", "abc", "0x", "--1", "1 ", "+-1"] {
            assert!(integer(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn booleans() {
        assert_eq!(boolean("T"), Ok(true));
        assert_eq!(boolean("0"), Ok(false));
        assert!(boolean("yes").is_err());
    }
}
