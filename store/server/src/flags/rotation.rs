//! `--enable-log-rotation` and `--log-rotation-config-json`: lumberjack's fields, read as Go reads
//! them. Names may be written in any case, unknown ones are passed over, and `null` changes nothing.

use std::time::Duration;

use serde_json::{Map, Value};

use super::Refusal;
use super::values::Values;
use crate::settings::{LogOutput, Rotation};

/// Bytes of a megabyte of `maxsize`.
const MEGABYTE: u64 = 1024 * 1024;
/// `maxsize` where it is 0 or not given.
const DEFAULT_MEGABYTES: u64 = 100;
const DAY: Duration = Duration::from_secs(24 * 3600);

pub fn read(values: &Values, outputs: &[LogOutput]) -> Result<Option<Rotation>, Refusal> {
    if !values.boolean("enable-log-rotation") {
        return Ok(None);
    }
    let files = outputs
        .iter()
        .filter(|output| matches!(output, LogOutput::File(_)));
    if files.count() != 1 {
        return Err(Refusal::new(
            "--log-outputs requires a single file path when --log-rotate-config-json is defined",
        ));
    }
    parse(values.text("log-rotation-config-json")).map(Some)
}

fn parse(json: &str) -> Result<Rotation, Refusal> {
    let fields = match serde_json::from_str(json) {
        Ok(Value::Object(fields)) => lower(fields),
        Ok(Value::Null) => Map::new(),
        Ok(other) => return Err(invalid(format!("{other} is no object"))),
        Err(error) => {
            return Err(Refusal::new(format!(
                "improperly formatted log rotation config: {error} \
                 (--log-rotation-config-json={json})"
            )));
        }
    };
    let megabytes = match integer(&fields, "maxsize")? {
        0 => DEFAULT_MEGABYTES,
        given => u64::try_from(given).map_err(|_| invalid("maxsize is below 0".to_owned()))?,
    };
    let days = u32::try_from(integer(&fields, "maxage")?.max(0)).unwrap_or(u32::MAX);
    let backups = usize::try_from(integer(&fields, "maxbackups")?.max(0)).unwrap_or(usize::MAX);
    Ok(Rotation {
        max_bytes: megabytes.saturating_mul(MEGABYTE),
        max_age: (days > 0).then(|| DAY.saturating_mul(days)),
        max_backups: (backups > 0).then_some(backups),
        local_time: boolean(&fields, "localtime")?,
        compress: boolean(&fields, "compress")?,
    })
}

fn invalid(reason: String) -> Refusal {
    Refusal::new(format!(
        "invalid log rotation config: {reason} (--log-rotation-config-json)"
    ))
}

fn lower(fields: Map<String, Value>) -> Map<String, Value> {
    let fields = fields.into_iter();
    fields
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect()
}

fn integer(fields: &Map<String, Value>, name: &str) -> Result<i64, Refusal> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(0),
        Some(value) => value
            .as_i64()
            .ok_or_else(|| invalid(format!("{name} is {value} and no integer"))),
    }
}

fn boolean(fields: &Map<String, Value>, name: &str) -> Result<bool, Refusal> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(value) => value
            .as_bool()
            .ok_or_else(|| invalid(format!("{name} is {value} and neither true nor false"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::settings;
    use super::*;

    fn read(flags: &[&str]) -> Result<Option<Rotation>, String> {
        Ok(settings(flags, &[])?.log.rotation)
    }

    fn given(json: &str) -> Result<Rotation, String> {
        let json = format!("--log-rotation-config-json={json}");
        let on = ["--enable-log-rotation", "--log-outputs=/tmp/x.log", &json];
        read(&on).map(|rotation| rotation.expect("it is on"))
    }

    #[test]
    fn defaults_are_etcds() {
        assert_eq!(read(&[]), Ok(None));
        let on = read(&["--enable-log-rotation", "--log-outputs=/tmp/x.log"]);
        let expected = Rotation {
            max_bytes: 100 << 20,
            max_age: None,
            max_backups: None,
            local_time: false,
            compress: false,
        };
        assert_eq!(on, Ok(Some(expected.clone())));
        for json in ["{}", "null", r#"{"unknown": 1, "maxsize": null}"#] {
            assert_eq!(given(json), Ok(expected.clone()), "{json}");
        }
    }

    #[test]
    fn fields_are_lumberjacks() {
        let json = r#"{"MaxSize":1,"maxage":2,"maxbackups":3,"localtime":true,"compress":true}"#;
        let rotation = given(json).unwrap();
        assert_eq!(rotation.max_bytes, 1 << 20);
        assert_eq!(rotation.max_age, Some(2 * DAY));
        assert_eq!(rotation.max_backups, Some(3));
        assert!(rotation.local_time && rotation.compress);
    }

    #[test]
    fn what_cannot_be_is_refused_in_one_line() {
        for (json, words) in [
            ("", "improperly formatted log rotation config: "),
            ("{maxsize:1}", "improperly formatted log rotation config: "),
            ("[]", "invalid log rotation config: "),
            (r#"{"maxsize":"1"}"#, "invalid log rotation config: maxsize"),
            (r#"{"maxsize":1.5}"#, "invalid log rotation config: maxsize"),
            (r#"{"maxsize":-1}"#, "invalid log rotation config: maxsize"),
            (r#"{"compress":1}"#, "invalid log rotation config: compress"),
        ] {
            let refusal = given(json).unwrap_err();
            assert!(refusal.starts_with(words), "{json}: {refusal}");
            assert_eq!(refusal.lines().count(), 1, "{refusal}");
        }
    }

    #[test]
    fn one_file_is_rotated() {
        for outputs in ["default", "stderr,stdout", "/tmp/x.log,/tmp/y.log"] {
            let outputs = format!("--log-outputs={outputs}");
            let refusal = read(&["--enable-log-rotation", &outputs]).unwrap_err();
            assert!(refusal.contains("requires a single file path"), "{refusal}");
        }
        let beside = read(&["--enable-log-rotation", "--log-outputs=stderr,/tmp/x.log"]);
        assert!(beside.unwrap().is_some());
    }
}
