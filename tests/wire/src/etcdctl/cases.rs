use super::mask::{self, Mask};

/// One command line of etcdctl. Words are parted by blanks; `~` stands for a blank inside a word,
/// `$LEASE` for the lease granted last, `$LEADER` and `$FOLLOWER` for member ids, `$FIRST` for one
/// endpoint.
pub struct Case {
    pub line: &'static str,
    pub input: Option<&'static str>,
    pub mask: Mask,
}

pub(super) const fn plain(line: &'static str) -> Case {
    Case {
        line,
        input: None,
        mask: mask::none,
    }
}

const fn masked(line: &'static str, mask: Mask) -> Case {
    Case {
        line,
        input: None,
        mask,
    }
}

const fn fed(line: &'static str, input: &'static str) -> Case {
    Case {
        line,
        input: Some(input),
        mask: mask::none,
    }
}

/// All commands of KV, watch, lease, endpoint, member list, move-leader, compaction, defrag and
/// alarm, in an order in which each finds what it needs.
pub const CASES: &[Case] = &[
    plain("put k/1 one"),
    plain("put k/2 two"),
    plain("put k/2 two-again --prev-kv"),
    fed("put k/3", "from standard input"),
    plain("put k/4 -- -dashed"),
    plain("put a~key with~blanks"),
    plain("put k/1 x --ignore-value"),
    plain("put k/1 --ignore-value"),
    plain("put missing --ignore-value"),
    plain("put missing v --ignore-lease"),
    plain("put k/1 v --lease=7777"),
    plain("put"),
    plain("get k/1"),
    masked("get k/1 -w json --hex", mask::fields),
    masked("get k/1 -w json", mask::fields),
    masked("get k/ --prefix -w fields", mask::fields),
    plain("get k/ --prefix"),
    plain("get k/ --prefix --keys-only"),
    plain("get k/ --prefix --count-only"),
    plain("get k/ --prefix --count-only -w fields --hex=false --limit=1 --print-value-only"),
    plain("get k/ --prefix --print-value-only"),
    plain("get k/ --prefix --limit=2"),
    plain("get k/ --prefix --order=DESCEND --sort-by=MODIFY"),
    plain("get k/ --prefix --order=ASCEND --sort-by=VALUE"),
    plain("get k/ --prefix --order=DESCEND --sort-by=VERSION --limit=1"),
    plain("get k/2 --rev=3"),
    plain("get k/2 --rev=999"),
    plain("get k/2 --from-key"),
    plain("get k/1 k/3"),
    plain("get k/ --prefix --consistency=s"),
    plain("get k/ --prefix --min-mod-rev=3 --max-mod-rev=4"),
    plain("get k/ --prefix --min-create-rev=3 --max-create-rev=4"),
    plain("get k/ --prefix --stream"),
    plain("get k/ --prefix --order=DESCEND --stream"),
    plain("get ~~ --hex"),
    plain("get"),
    plain("get k/1 --order=SIDEWAYS"),
    plain("watch k/ --prefix --rev=1"),
    plain("watch k/2 --rev=2 --prev-kv"),
    plain("watch k/1 k/3 --rev=1 -w simple"),
    masked("watch k/ --prefix --rev=1 -w json", mask::fields),
    // Two watches side by side print in any order.
    Case {
        line: "watch -i --rev=1",
        input: Some("watch k/1 --rev=1\nwatch k/2 --rev=1\n"),
        mask: mask::lines,
    },
    plain("watch k/1 --rev=1 -- echo event"),
    plain("watch k/2 k/1 --rev=1"),
    fed(
        "txn -i",
        "mod(\"k/1\") > \"0\"\n\nput t1 yes\nget k/1\n\nput t1 no\n\n",
    ),
    fed(
        "txn -i",
        "value(\"k/1\") = \"nothing\"\n\nput t2 yes\n\nput t2 no\nget k/1\n\n",
    ),
    fed(
        "txn -i",
        "create(\"none\") = \"0\"\nversion(\"k/2\") = \"2\"\n\ndel t1\n\n\n",
    ),
    fed(
        "txn -i -w simple",
        "value(\"k/1\") = \"one\"

get k/ --prefix


",
    ),
    fed("txn -i", "mod(\"k/1\") = \"1\"\n\nput d 1\nput d 2\n\n\n"),
    fed("txn -i", "junk\n"),
    plain("del k/4 --prev-kv"),
    plain("del k/4"),
    plain("del t --prefix"),
    plain("del x y --prev-kv"),
    plain("del zz --from-key"),
    plain("del k/1 --prefix --from-key"),
    plain("lease grant 600"),
    plain("put leased v --lease=$LEASE"),
    masked("get leased -w json", mask::fields),
    masked("lease timetolive $LEASE --keys", remaining),
    masked("lease timetolive $LEASE", remaining),
    masked("lease timetolive 1234", remaining),
    plain("lease keep-alive --once $LEASE"),
    plain("lease keep-alive --once 1234"),
    plain("lease list"),
    plain("lease revoke $LEASE"),
    plain("lease revoke 1234"),
    plain("lease revoke junk"),
    plain("lease grant 99999999999"),
    plain("lease grant"),
    plain("get leased"),
    masked("endpoint health", mask::lines),
    masked("endpoint health --cluster", mask::lines),
    masked("endpoint health -w table", mask::table),
    masked("endpoint health -w json", mask::fields),
    masked("endpoint status", mask::status),
    masked("endpoint status --cluster", mask::status),
    masked("endpoint status -w table", mask::status),
    masked("endpoint status -w json", mask::fields),
    masked("endpoint status -w fields", mask::fields),
    masked("endpoint hashkv", unordered_without_hash),
    masked("endpoint hashkv --cluster --rev=3", unordered_without_hash),
    masked("endpoint hashkv --rev=99999", mask::none),
    masked("member list", mask::lines),
    masked("member list -w table", mask::table),
    masked("member list -w json", member_fields),
    masked("member list -w fields", member_fields),
    masked("member list --consistency=s", mask::lines),
    plain("compaction 4"),
    plain("compaction 4"),
    plain("compaction 99999"),
    plain("compaction 5 --physical"),
    plain("compaction"),
    plain("get k/1 --rev=2"),
    plain("watch k/ --prefix --rev=2"),
    masked("defrag --endpoints=$FIRST", times),
    masked("defrag --cluster", times),
    plain("alarm list"),
    plain("alarm disarm"),
    plain("move-leader $FOLLOWER --endpoints=$FIRST"),
    masked("endpoint status", mask::status),
    plain("move-leader $LEADER --endpoints=$FIRST"),
    plain("move-leader $LEADER"),
    plain("move-leader 1234"),
    plain("move-leader junk"),
    plain("put after-all works"),
    plain("get a --from-key --keys-only"),
    plain("nonsense"),
    plain("get k --nonsense"),
    plain("version"),
];

/// A lease's remaining time is a clock; what is left must lie in the last ten seconds of 600.
fn remaining(text: &str) -> String {
    let Some((head, rest)) = text.split_once("remaining(") else {
        return text.to_owned();
    };
    let (seconds, rest) = rest.split_once("s)").unwrap_or_default();
    let near = seconds
        .parse::<i64>()
        .is_ok_and(|left| (570..=600).contains(&left));
    format!(
        "{head}remaining({}){rest}",
        if near { "near" } else { seconds }
    )
}

/// Leases whose id the server chose were attached before, and their ids are part of the hash, so
/// only that all members agree is compared.
fn unordered_without_hash(text: &str) -> String {
    let mut hashes = std::collections::BTreeSet::new();
    let mut rows: Vec<String> = Vec::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.split(", ").collect();
        hashes.extend(cells.get(1).copied());
        rows.push(format!(
            "{} {}",
            cells.first().unwrap_or(&""),
            cells.get(2).unwrap_or(&"")
        ));
    }
    rows.sort();
    format!("{} different hashes\n{}", hashes.len(), rows.join("\n"))
}

/// Names of members as their positions, then as fields.
fn member_fields(text: &str) -> String {
    mask::fields(text)
}

/// How long each took, and in which order they ended.
fn times(text: &str) -> String {
    let mut kept: Vec<&str> = text
        .lines()
        .map(|line| line.split(". took").next().unwrap_or_default())
        .collect();
    kept.sort_unstable();
    kept.join("\n")
}
