/// A behaviour of etcd that Mainstay does not copy on purpose, and what the suite does about it.
#[derive(Debug)]
pub struct Deviation {
    pub what: &'static str,
    pub why: &'static str,
    pub here: &'static str,
}

/// All of them. Nothing else is left out or smoothed over, beyond ids, terms, sizes and clocks
/// (see `normalise`).
pub const DEVIATIONS: &[Deviation] = &[
    Deviation {
        what: "Range with limit, a sort target other than KEY and sort order NONE",
        why: "etcd cuts the result in key order before it sorts, so it is not the smallest",
        here: "the generator drops the limit",
    },
    Deviation {
        what: "RangeStream with a sort target other than KEY and sort order NONE",
        why: "etcd sorts each chunk for itself, which is no order of the whole",
        here: "the generator drops the target",
    },
    Deviation {
        what: "txn nested more than 40 levels deep",
        why: "an entry must stay decodable within the protobuf library's 100 nested messages",
        here: "40 levels are generated, and 129, which both refuse",
    },
    Deviation {
        what: "the order of records with equal sort values",
        why: "etcd's sort is not stable; no order among them is promised",
        here: "ties are put in key order, and blanked where a limit cuts through them",
    },
    Deviation {
        what: "Compare with an unknown result or target",
        why: "etcd takes it as true and so runs the success branch",
        here: "not generated",
    },
    Deviation {
        what: "Alarm with an unknown action",
        why: "it ends the etcd process that serves it",
        here: "not generated",
    },
    Deviation {
        what: "MemberUpdate with URLs that are none",
        why: "etcd commits them and every other member panics at each start",
        here: "not generated",
    },
    Deviation {
        what: "a watch id that a compaction cancelled",
        why: "etcd keeps it registered: duplicate when given again, and no progress on the stream",
        here: "not cancelled and not given again, no progress asked for on that stream",
    },
    Deviation {
        what: "watch id -1 given by the client",
        why: "it cannot be told from the -1 of refused creates and progress responses",
        here: "not generated",
    },
    Deviation {
        what: "a txn that deletes `from a key on` and then puts such a key with ignore_value or ignore_lease",
        why: "the process that applies it dies, on every member and again at each start",
        here: "a txn that deletes has no such put",
    },
    Deviation {
        what: "Compact and HashKV at a revision whose txn deleted `from a key on` and put such a key again",
        why: "for etcd the key is not alive there: it removes the record put, and dies at the next read",
        here: "neither is asked for at such a revision",
    },
    Deviation {
        what: "HashKV(0) after Compact(0)",
        why: "etcd answers with the hash it kept for the compaction at 0",
        here: "Compact(0) on a store never compacted is sent by a script only",
    },
    Deviation {
        what: "texts for messages that cannot be decoded",
        why: "they are those of the protobuf library",
        here: "the code is compared, the text is not",
    },
];
