//! Wishes: fields and annotations that the operator obeys.

use anyhow::{Context as _, Result, bail};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use mainstay_operator_api::MainstayCluster;
use mainstay_operator_api::annotation::{MOVE_LEADER, REPLACE_MEMBER};
use mainstay_operator_api::status::MemberStatus;
use serde_json::{Value, json};

use super::Place;

pub async fn move_leader(place: &Place, cluster: &str, member: &str) -> Result<()> {
    let found = place.cluster(cluster).await?;
    let known = known(&found, member)?;
    if known.role.as_deref() == Some("leader") {
        println!("{member} leads already");
        return Ok(());
    }
    if !known.ready {
        bail!("{member} does not serve and cannot lead");
    }
    // The text must be another one than at the last time, or nothing would come of it.
    let annotations = found.annotations();
    if annotations.get(MOVE_LEADER).map(String::as_str) == Some(member) {
        patch(
            place,
            cluster,
            json!({"metadata": {"annotations": {MOVE_LEADER: Value::Null}}}),
        )
        .await?;
    }
    patch(
        place,
        cluster,
        json!({"metadata": {"annotations": {MOVE_LEADER: member}}}),
    )
    .await?;
    println!("the operator is asked to move the leadership to {member}");
    Ok(())
}

pub async fn replace(place: &Place, cluster: &str, member: &str) -> Result<()> {
    let found = place.cluster(cluster).await?;
    let known = known(&found, member)?;
    let ordinal = member.rsplit('-').next().unwrap_or_default();
    let text = format!("{ordinal}:{}", known.incarnation);
    patch(
        place,
        cluster,
        json!({"metadata": {"annotations": {REPLACE_MEMBER: text}}}),
    )
    .await?;
    println!(
        "the operator is asked to replace {member}, life {}",
        known.incarnation
    );
    Ok(())
}

pub async fn hibernate(place: &Place, cluster: &str, hibernated: bool) -> Result<()> {
    place.cluster(cluster).await?;
    patch(place, cluster, json!({"spec": {"hibernated": hibernated}})).await?;
    match hibernated {
        true => println!("{cluster} will stop its pods and keep its volumes"),
        false => println!("{cluster} will start on its volumes"),
    }
    Ok(())
}

fn known<'a>(cluster: &'a MainstayCluster, member: &str) -> Result<&'a MemberStatus> {
    let members = cluster.status.iter().flat_map(|status| &status.members);
    let mut named = members.into_iter().filter(|known| known.name == member);
    named
        .next()
        .with_context(|| format!("{} has no member {member}", cluster.name_any()))
}

async fn patch(place: &Place, cluster: &str, patch: Value) -> Result<()> {
    let params = PatchParams::default();
    let (api, patch) = (place.clusters(), Patch::Merge(patch));
    let patched = api.patch(cluster, &params, &patch).await;
    patched.map(drop).context("the cluster cannot be changed")
}
