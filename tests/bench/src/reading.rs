//! What is measured: the quantities, their goals, and the values of one side in one round.

use std::collections::BTreeMap;

/// The values that one side showed in one round, by the key of their quantity.
#[derive(Clone, Debug, Default)]
pub struct Readings(pub BTreeMap<&'static str, f64>);

impl Readings {
    pub fn set(&mut self, key: &'static str, value: f64) {
        self.0.insert(key, value);
    }
}

/// Which way a ratio to etcd is good.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Better {
    Higher,
    Lower,
}

/// A quantity of a load and the ratio to etcd that it is meant to reach, if there is one.
pub struct Quantity {
    pub key: &'static str,
    pub load: &'static str,
    pub name: &'static str,
    /// Decimals and unit of the absolute values.
    pub decimals: usize,
    pub unit: &'static str,
    pub better: Better,
    pub goal: Option<f64>,
}

const fn quantity(
    key: &'static str,
    load: &'static str,
    name: &'static str,
    (decimals, unit): (usize, &'static str),
    better: Better,
    goal: Option<f64>,
) -> Quantity {
    Quantity {
        key,
        load,
        name,
        decimals,
        unit,
        better,
        goal,
    }
}

use Better::{Higher, Lower};

const PUT: &str = "put, 100 connections, 1000 clients";
const PUT_TLS: &str = "put, 100/1000, over TLS with client certificates";
const PUT_ONE: &str = "put, 1 client";
const RANGE: &str = "range one key, linearizable, 100/1000";
const LIST: &str = "list 10,000 keys by pages of 500";
const COUNT: &str = "count-only of 1 million keys";
const MILLION: &str = "1 million keys of 256 B";
const WATCH: &str = "watch, 100 streams x 100 watchers on one key";

/// Every quantity, in the order of the table.
pub const QUANTITIES: &[Quantity] = &[
    quantity("put.rate", PUT, "throughput", (0, "/s"), Higher, Some(2.0)),
    quantity(
        "put.cpu",
        PUT,
        "server CPU per put",
        (0, "us"),
        Lower,
        Some(0.45),
    ),
    quantity("put.p50", PUT, "median latency", (1, "ms"), Lower, None),
    quantity("put.p99", PUT, "p99 latency", (1, "ms"), Lower, None),
    quantity(
        "put-tls.rate",
        PUT_TLS,
        "throughput",
        (0, "/s"),
        Higher,
        None,
    ),
    quantity(
        "put-tls.cpu",
        PUT_TLS,
        "server CPU per put",
        (0, "us"),
        Lower,
        None,
    ),
    quantity(
        "put-tls.p50",
        PUT_TLS,
        "median latency",
        (1, "ms"),
        Lower,
        None,
    ),
    quantity(
        "put-tls.p99",
        PUT_TLS,
        "p99 latency",
        (1, "ms"),
        Lower,
        None,
    ),
    quantity(
        "put-one.p50",
        PUT_ONE,
        "median latency",
        (2, "ms"),
        Lower,
        Some(0.6),
    ),
    quantity(
        "put-one.rate",
        PUT_ONE,
        "throughput",
        (0, "/s"),
        Higher,
        None,
    ),
    quantity(
        "range.rate",
        RANGE,
        "throughput",
        (0, "/s"),
        Higher,
        Some(1.7),
    ),
    quantity(
        "range.cpu",
        RANGE,
        "server CPU per range",
        (0, "us"),
        Lower,
        None,
    ),
    quantity("list.rate", LIST, "lists", (1, "/s"), Higher, Some(3.0)),
    quantity(
        "list.cpu",
        LIST,
        "server CPU per list",
        (1, "ms"),
        Lower,
        None,
    ),
    quantity(
        "count.rate",
        COUNT,
        "throughput",
        (0, "/s"),
        Higher,
        Some(100.0),
    ),
    quantity(
        "count.cpu",
        COUNT,
        "server CPU per count",
        (3, "ms"),
        Lower,
        None,
    ),
    quantity(
        "memory.rss",
        MILLION,
        "resident memory per member",
        (0, "MiB"),
        Lower,
        Some(0.7),
    ),
    quantity(
        "restart.time",
        MILLION,
        "start to serving",
        (2, "s"),
        Lower,
        Some(0.4),
    ),
    quantity(
        "watch.cpu",
        WATCH,
        "server CPU per event",
        (2, "us"),
        Lower,
        Some(0.4),
    ),
    quantity("watch.rate", WATCH, "events", (0, "/s"), Higher, Some(1.3)),
];
