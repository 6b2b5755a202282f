//! A cluster as a table.

use anyhow::Result;
use kube::ResourceExt;
use mainstay_operator_api::MainstayCluster;
use mainstay_operator_api::quantity::Bytes;

use super::Place;

pub async fn run(place: &Place, cluster: &str) -> Result<()> {
    print!("{}", text(&place.cluster(cluster).await?));
    Ok(())
}

fn text(cluster: &MainstayCluster) -> String {
    let status = cluster.status.clone().unwrap_or_default();
    let phase = status
        .phase
        .map_or("not looked at yet".to_owned(), |phase| phase.to_string());
    let mut lines = vec![
        format!(
            "Cluster:       {}/{}",
            cluster.namespace().unwrap_or_default(),
            cluster.name_any()
        ),
        format!("Status:        {phase}"),
        format!("Ready:         {}", status.ready.unwrap_or_default()),
        format!("Version:       {}", status.version.unwrap_or_default()),
        format!("Leader:        {}", status.leader.unwrap_or_default()),
        format!("Cluster ID:    {}", status.cluster_id.unwrap_or_default()),
        format!(
            "Certificates:  until {}",
            status.certificates_until.unwrap_or_default()
        ),
        String::new(),
    ];
    let mut rows = vec![
        [
            "MEMBER", "ID", "ROLE", "READY", "PHASE", "VERSION", "LAG", "DB SIZE", "UPDATED",
        ]
        .map(str::to_owned),
    ];
    for member in status.members {
        rows.push([
            member.name,
            member.id.unwrap_or_default(),
            member.role.unwrap_or_default(),
            yes(member.ready),
            member.phase.unwrap_or_default(),
            member.version.unwrap_or_default(),
            member.lag.map(|lag| lag.to_string()).unwrap_or_default(),
            member
                .db_size
                .and_then(|size| u64::try_from(size).ok())
                .map_or(String::new(), |size| Bytes(size).to_string()),
            yes(member.updated),
        ]);
    }
    lines.extend(table(&rows));
    lines.push(String::new());
    for condition in status.conditions {
        let kind = format!("{}:", condition.type_);
        lines.push(format!(
            "{kind:<14} {} ({}) {}",
            condition.status, condition.reason, condition.message
        ));
    }
    lines
        .iter()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}

fn yes(truth: bool) -> String {
    if truth { "yes" } else { "no" }.to_owned()
}

/// Columns as wide as their widest cell.
fn table<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.len());
        }
    }
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths);
        let cells = cells.map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ")
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [["A", "B"], ["long", "x"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), ["A     B", "long  x"]);
    }

    #[test]
    fn a_cluster_that_nobody_has_looked_at_has_a_text() {
        let cluster =
            MainstayCluster::new("a", mainstay_operator_api::MainstayClusterSpec::default());
        assert!(text(&cluster).contains("Status:        not looked at yet"));
    }
}
