/// Takes out of an output what may differ between two runs of the same command.
pub type Mask = fn(&str) -> String;

pub fn none(text: &str) -> String {
    text.to_owned()
}

/// Durations and sizes, and the order of lines, which is that of the endpoints' answers.
pub fn lines(text: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(measures).collect();
    lines.sort();
    lines.join("\n")
}

/// A table's cells without their padding, since ids and sizes make columns wider or narrower.
pub fn table(text: &str) -> String {
    let rows = text.lines().filter(|line| line.starts_with('│'));
    let rows: Vec<String> = rows
        .map(|row| {
            let cells: Vec<String> = row.split('│').map(|cell| measures(cell.trim())).collect();
            cells.join("|")
        })
        .collect();
    lines(&rows.join("\n"))
}

/// `endpoint status`: besides sizes also raft's own counters, in any of the formats.
pub fn status(text: &str) -> String {
    let whole = if text.starts_with('┌') {
        table(text)
    } else {
        lines(text)
    };
    let separator = if text.starts_with('┌') { "|" } else { "," };
    let rows: Vec<String> = whole
        .lines()
        .map(|row| {
            let mut cells: Vec<&str> = row.split(separator).map(str::trim).collect();
            // Endpoint, id, version, storage version, size, in use, free part, quota, leader,
            // learner, term, index, applied index, errors, and two of a downgrade.
            let first = usize::from(cells.first() == Some(&""));
            for masked in [2, 3, 4, 5, 6, 10, 11, 12] {
                if let Some(cell) = cells.get_mut(first + masked) {
                    *cell = "*";
                }
            }
            cells.join(separator)
        })
        .collect();
    rows.join("\n")
}

/// Lines of `-w fields` and members of `-w json` that hold a counter of raft or a size.
pub fn fields(text: &str) -> String {
    const FREE: &[&str] = &[
        "raft_term",
        "RaftTerm",
        "raftTerm",
        "raftIndex",
        "RaftIndex",
        "RaftAppliedIndex",
        "raftAppliedIndex",
        "dbSize",
        "DBSize",
        "dbSizeInUse",
        "DBSizeInUse",
        "version",
        "storageVersion",
        "Version",
        "StorageVersion",
        "Took",
        "took",
        "raft_index",
        // Which endpoint the client picked.
        "member_id",
        "MemberID",
    ];
    let broken = text.replace(['{', '[', '}', ']'], "\n").replace(',', "\n");
    let mut kept: Vec<String> = Vec::new();
    for line in broken.lines() {
        let name = line
            .trim()
            .trim_start_matches('"')
            .split('"')
            .next()
            .unwrap_or_default();
        // A record's own version is part of the answer; only a product's is free.
        let product = name.eq_ignore_ascii_case("version") && !line.contains("3.");
        if FREE.contains(&name) && !product {
            kept.push(format!("{name}=*"));
        } else {
            kept.push(line.to_owned());
        }
    }
    kept.sort();
    kept.join("\n")
}

/// Error output: the client's own log lines hold addresses and times, the last line does not.
pub fn errors(text: &str) -> String {
    let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with('{')).collect();
    kept.join("\n")
}

/// Words that are a duration or a size.
fn measures(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let mut kept: Vec<&str> = Vec::new();
    for word in words {
        if ["kB", "MB", "GB", "B"].contains(&word) && kept.last().is_some_and(|n| number(n)) {
            kept.pop();
            kept.push("SIZE");
        } else if ["ns", "µs", "ms", "s"].iter().any(|unit| {
            word.strip_suffix(unit)
                .is_some_and(|amount| number(amount) && amount.contains('.'))
        }) {
            kept.push("TIME");
        } else {
            kept.push(word);
        }
    }
    kept.join(" ")
}

fn number(word: &str) -> bool {
    !word.is_empty()
        && word
            .chars()
            .all(|letter| letter.is_ascii_digit() || letter == '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_go_and_everything_else_stays() {
        assert_eq!(
            measures("took 16.38ms, 20 kB of 3 keys"),
            "took 16.38ms, SIZE of 3 keys"
        );
        assert_eq!(measures("took = 2.06179ms"), "took = TIME");
    }

    #[test]
    fn a_status_keeps_who_leads_and_the_errors() {
        let line = "client-url-0, member-0, 3.7.1, 3.7.0, 20 kB, 16 kB, 20%, 2.1 GB, true, false, \
                    2, 5, 5, some error, , false";
        let kept = status(line);
        assert!(kept.starts_with("client-url-0,member-0,*"), "{kept}");
        assert!(kept.contains(",true,false,*,*,*,some error,"), "{kept}");
    }
}
