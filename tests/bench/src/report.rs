//! The table: medians of both sides, and the ratio with its spread over the rounds.

use crate::reading::{Better, QUANTITIES, Quantity, Readings};

/// A markdown table of every quantity that was measured on both sides; `rounds` holds etcd's
/// readings first.
pub fn table(rounds: &[[Readings; 2]], scale: f64) -> String {
    let mut lines = vec![
        "| load | quantity | etcd 3.7.1 | Mainstay | ratio (min to max) | goal |".to_owned(),
        "|---|---|---|---|---|---|".to_owned(),
    ];
    lines.extend(
        QUANTITIES
            .iter()
            .filter_map(|quantity| line(quantity, rounds)),
    );
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let size = if scale == 1.0 {
        String::new()
    } else {
        format!(", at {scale} of its size")
    };
    lines.push(format!(
        "\n{} rounds in turn{size}, three members each on loopback, {cores} cores shared with \
         the client; medians, and the ratio of each round.",
        rounds.len()
    ));
    lines.join("\n")
}

fn line(quantity: &Quantity, rounds: &[[Readings; 2]]) -> Option<String> {
    let pairs: Vec<(f64, f64)> = rounds
        .iter()
        .filter_map(|[etcd, ours]| Some((*etcd.0.get(quantity.key)?, *ours.0.get(quantity.key)?)))
        .collect();
    let ratios = Spread::of(pairs.iter().map(|(etcd, ours)| ours / etcd).collect())?;
    let etcd = Spread::of(pairs.iter().map(|pair| pair.0).collect())?;
    let ours = Spread::of(pairs.iter().map(|pair| pair.1).collect())?;
    let Quantity {
        load,
        name,
        decimals,
        unit,
        ..
    } = *quantity;
    let goal = match quantity.goal {
        None => String::new(),
        Some(goal) => {
            let reached = match quantity.better {
                Better::Higher => ratios.median >= goal,
                Better::Lower => ratios.median <= goal,
            };
            format!(
                "{goal} x, {}",
                if reached { "reached" } else { "not reached" }
            )
        }
    };
    Some(format!(
        "| {load} | {name} | {:.decimals$} {unit} | {:.decimals$} {unit} | **{:.2}** ({:.2} to \
         {:.2}) | {goal} |",
        etcd.median, ours.median, ratios.median, ratios.least, ratios.most
    ))
}

/// Median and extremes of some values.
#[derive(Debug, PartialEq)]
pub struct Spread {
    pub least: f64,
    pub median: f64,
    pub most: f64,
}

impl Spread {
    /// `None` if there is no value. An even number has the mean of the middle two as median.
    pub fn of(mut values: Vec<f64>) -> Option<Spread> {
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let lower = values.get((values.len() - 1) / 2)?;
        let upper = values.get(values.len() / 2)?;
        Some(Spread {
            least,
            median: f64::midpoint(*lower, *upper),
            most,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(etcd: f64, ours: f64) -> [Readings; 2] {
        [etcd, ours].map(|value| {
            let mut readings = Readings::default();
            readings.set("put.rate", value);
            readings
        })
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let text = table(
            &[round(100.0, 150.0), round(50.0, 150.0), round(10.0, 25.0)],
            1.0,
        );
        let row = "| throughput | 50 /s | 150 /s | **2.50** (1.50 to 3.00) | 2 x, reached |";
        assert!(text.contains(row), "{text}");
        assert!(
            !text.contains("range one key"),
            "what was not measured has no row: {text}"
        );
    }

    #[test]
    fn spreads() {
        assert_eq!(Spread::of(vec![]), None);
        let spread = Spread::of(vec![4.0, 1.0]).unwrap();
        assert_eq!(
            spread,
            Spread {
                least: 1.0,
                median: 2.5,
                most: 4.0
            }
        );
    }
}
