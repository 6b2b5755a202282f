//! The command line, by the rules of Go's flag package: one dash or two, the value after an equals
//! sign or in the next argument, a boolean alone for true.

use super::Refusal;
use super::table::{Kind, find};
use super::values::Values;

/// What a command line holds.
#[derive(Debug)]
pub enum Line {
    Values(Values),
    Help,
    Version,
}

pub fn read(arguments: &[String]) -> Result<Line, Refusal> {
    let mut values = Values::default();
    let mut version = false;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let Some(flag) = dashed(argument)? else {
            return Err(Refusal::new(format!("'{argument}' is not a valid flag")));
        };
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (flag, None),
        };
        match name {
            "h" | "help" => return Ok(Line::Help),
            "version" => {
                version = value.is_none_or(|value| value != "false");
                continue;
            }
            _ => {}
        }
        let Some(known) = find(name) else {
            return Err(Refusal::new(unknown(name)));
        };
        let value = match value {
            Some(value) => value,
            None if matches!(known.kind, Kind::Bool | Kind::Anything) => "true",
            None => match rest.next() {
                Some(value) => value,
                None => return Err(Refusal::new(format!("flag needs an argument: -{name}"))),
            },
        };
        values.set(known, value)?;
    }
    Ok(if version {
        Line::Version
    } else {
        Line::Values(values)
    })
}

/// The argument without its dashes; none if it is no flag.
fn dashed(argument: &str) -> Result<Option<&str>, Refusal> {
    let Some(one) = argument.strip_prefix('-').filter(|rest| !rest.is_empty()) else {
        return Ok(None);
    };
    let flag = one.strip_prefix('-').unwrap_or(one);
    // A bare `--` ends the flags, and nothing may follow them.
    if flag.is_empty() || flag.starts_with(['-', '=']) {
        return Err(Refusal::new(format!("bad flag syntax: {argument}")));
    }
    Ok(Some(flag))
}

fn unknown(name: &str) -> String {
    format!("flag provided but not defined: -{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(arguments: &[&str]) -> Result<Values, String> {
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        match read(&arguments) {
            Ok(Line::Values(values)) => Ok(values),
            Ok(other) => Err(format!("{other:?}")),
            Err(refusal) => Err(refusal.to_string()),
        }
    }

    #[test]
    fn every_way_to_write_a_flag() {
        for line in [
            &["--name=a", "--pre-vote=false"][..],
            &["-name", "a", "-pre-vote=0"],
            &["--name", "b", "-name=a", "--pre-vote=F"],
        ] {
            let values = values(line).unwrap();
            assert_eq!(values.text("name"), "a");
            assert!(!values.boolean("pre-vote"));
        }
        let alone = values(&["--unsafe-no-fsync", "--name=x=y"]).unwrap();
        assert!(alone.boolean("unsafe-no-fsync"));
        assert_eq!(alone.text("name"), "x=y");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let refused = |line: &[&str]| values(line).unwrap_err();
        assert_eq!(
            refused(&["--nmae=a"]),
            "flag provided but not defined: -nmae"
        );
        assert_eq!(
            refused(&["--enable-v2"]),
            "flag provided but not defined: -enable-v2"
        );
        assert_eq!(
            refused(&["--experimental-x=1"]),
            "flag provided but not defined: -experimental-x"
        );
        assert_eq!(refused(&["--name"]), "flag needs an argument: -name");
        assert_eq!(refused(&["serve"]), "'serve' is not a valid flag");
        assert_eq!(
            refused(&["--pre-vote", "false"]),
            "'false' is not a valid flag"
        );
        assert_eq!(refused(&["--=x"]), "bad flag syntax: --=x");
        assert_eq!(refused(&["-"]), "'-' is not a valid flag");
    }

    #[test]
    fn help_comes_before_what_follows_it() {
        assert_eq!(values(&["--help", "--nonsense"]).unwrap_err(), "Help");
        assert_eq!(values(&["--version"]).unwrap_err(), "Version");
    }
}
