use crate::{options::Options, tally::Tally};
pub async fn run(_: &Options, _: &mut Tally) -> anyhow::Result<()> {
    anyhow::bail!("not written")
}
