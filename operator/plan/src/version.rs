//! Which version may follow which: one minor version at a time, and never back below the one that
//! all members run, as the format on disk may have moved on.

use crate::view::View;

/// Why the version of the spec may not follow the running one; none if it may, or if either is no
/// plain `major.minor.patch`.
pub(crate) fn refused(view: &View<'_>) -> Option<String> {
    let running = view.record()?.version.as_deref()?;
    let wanted = view.seen.spec.version.as_str();
    let (from, to) = (parse(running)?, parse(wanted)?);
    let reason = if to.0 != from.0 {
        "another major version needs a backup and a new cluster"
    } else if to.1 < from.1 {
        "going back to an earlier minor version is not possible: the format on disk has moved on"
    } else if to.1 > from.1 + 1 {
        "minor versions follow one by one"
    } else {
        return None;
    };
    Some(format!(
        "version {wanted} cannot follow {running}: {reason}"
    ))
}

fn parse(text: &str) -> Option<(u64, u64)> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let mut parts = text.splitn(3, '.');
    let major = parts.next()?.parse().ok()?;
    let minor = parts
        .next()?
        .parse()
        .ok()
        .filter(|minor| *minor < u64::MAX)?;
    parts.next()?;
    Some((major, minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_or_left_alone() {
        assert_eq!(parse("1.2.3"), Some((1, 2)));
        assert_eq!(parse("v0.10.0-rc.1"), Some((0, 10)));
        for odd in ["dev", "1.2", "1.x.3", ""] {
            assert_eq!(parse(odd), None, "{odd}");
        }
    }
}
