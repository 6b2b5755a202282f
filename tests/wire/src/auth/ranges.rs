use anyhow::{Result, ensure};
use mainstay_proto::authpb::permission::Type;
use mainstay_proto::etcdserverpb as pb;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::rpc::{self, Call, Ended};
use super::stage::{self, Stage, alike, tokens};
use crate::options::Options;

/// Keys that ranges begin and end with; what lies between them is represented by them.
const KEYS: [&str; 4] = ["a", "b", "ba", "c"];
/// Ends besides: the one key, and no end.
const ENDS: [&str; 6] = ["", "\0", "a", "b", "ba", "c"];
const ROUNDS: u64 = 6;

type Permit = (Type, &'static str, &'static str);

/// Random permissions, and every range over a small universe asked for in every way, on both
/// sides and against permissions looked at key by key.
pub async fn run(options: &Options) -> Result<()> {
    let stages = stage::both(options, &[]).await?;
    for round in 0..ROUNDS {
        let permits = permits(options.start_seed + round);
        let name = format!("user{round}");
        let tokens_of = stage::user_on_both(&stages, &name, &permits).await?;
        for key in KEYS {
            for end in ENDS {
                let asked = (key, end);
                one(&stages, tokens(&tokens_of), &permits, asked).await?;
            }
            lease(&stages, tokens(&tokens_of), &permits, key).await?;
        }
    }
    Ok(())
}

fn permits(seed: u64) -> Vec<Permit> {
    let mut rng = StdRng::seed_from_u64(seed);
    let count = rng.random_range(1..4);
    let kinds = [Type::Read, Type::Write, Type::Readwrite];
    let mut permits = Vec::new();
    while permits.len() < count {
        let key = KEYS[rng.random_range(0..KEYS.len())];
        let end = ENDS[rng.random_range(0..ENDS.len())];
        if end.is_empty() || end == "\0" || key < end {
            permits.push((kinds[rng.random_range(0..kinds.len())], key, end));
        }
    }
    // The same range again takes the new type.
    let mut kept: Vec<Permit> = Vec::new();
    for permit in permits {
        kept.retain(|other| (other.1, other.2) != (permit.1, permit.2));
        kept.push(permit);
    }
    kept
}

/// Whether a range holds a key, by the words of the API.
fn holds(key: &str, end: &str, one: &str) -> bool {
    match end {
        "" => one == key,
        "\0" => one >= key,
        end => one >= key && one < end,
    }
}

/// Whether each key of the range is permitted: those at the ends of what is permitted, and one
/// behind all of them. `None` if the range holds no key.
fn permitted(permits: &[Permit], kinds: [Type; 2], (key, end): (&str, &str)) -> Option<bool> {
    let mut points: Vec<String> = KEYS.iter().map(|key| (*key).to_owned()).collect();
    points.extend(KEYS.iter().map(|key| format!("{key}\0")));
    points.push("zzz".to_owned());
    points.retain(|point| holds(key, end, point));
    let granted = |point: &String| {
        let mut of = permits.iter().filter(|permit| kinds.contains(&permit.0));
        of.any(|(_, key, end)| holds(key, end, point))
    };
    (!points.is_empty()).then(|| points.iter().all(granted))
}

async fn one(
    stages: &[Stage; 2],
    tokens: [Option<&str>; 2],
    permits: &[Permit],
    asked: (&str, &str),
) -> Result<()> {
    let (key, end) = asked;
    let read = permitted(permits, [Type::Read, Type::Readwrite], asked);
    let write = permitted(permits, [Type::Write, Type::Readwrite], asked);
    let both = read.zip(write).map(|(read, write)| read && write);
    let compare = pb::TxnRequest {
        compare: vec![pb::Compare {
            key: key.to_owned().into(),
            range_end: end.to_owned().into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let delete = pb::DeleteRangeRequest {
        key: key.to_owned().into(),
        range_end: end.to_owned().into(),
        prev_kv: true,
    };
    let in_txn = rpc::txn_of(pb::request_op::Request::RequestDeleteRange(delete.clone()));
    let local = pb::RangeRequest {
        key: key.to_owned().into(),
        range_end: end.to_owned().into(),
        serializable: true,
        ..Default::default()
    };
    for (what, call, expected) in [
        ("range", rpc::range(key, end), read),
        ("local", Call::new("/etcdserverpb.KV/Range", &local), read),
        ("watch", rpc::watch(key, end), read),
        ("compare", rpc::txn(&compare), read),
        ("delete", rpc::delete(key, end), write),
        (
            "delete with prev_kv",
            Call::new("/etcdserverpb.KV/DeleteRange", &delete),
            both,
        ),
        ("delete in a txn", rpc::txn(&in_txn), both),
    ] {
        // A range without a key gives nothing away, whoever asks.
        let Some(expected) = expected else {
            continue;
        };
        let what = format!("{what} {asked:?} with {permits:?}:");
        let ended = alike(stages, tokens, &what, &call).await?;
        let found = !ended.is_of_rights();
        ensure!(found == expected, "{what} {ended:?}, expected {expected}");
    }
    Ok(())
}

/// Keys that hang on a lease are told to who may read them, and renewed and revoked by who may
/// write them.
async fn lease(
    stages: &[Stage; 2],
    tokens: [Option<&str>; 2],
    permits: &[Permit],
    key: &str,
) -> Result<()> {
    let grant = pb::LeaseGrantRequest { id: 9, ttl: 600 };
    let leased = pb::PutRequest {
        lease: 9,
        ..rpc::put_request(key)
    };
    for stage in stages {
        stage
            .as_root(&Call::new("/etcdserverpb.Lease/LeaseGrant", &grant))
            .await?;
        stage
            .as_root(&Call::new("/etcdserverpb.KV/Put", &leased))
            .await?;
    }
    let read = permitted(permits, [Type::Read, Type::Readwrite], (key, ""));
    let write = permitted(permits, [Type::Write, Type::Readwrite], (key, ""));
    let ask = pb::LeaseTimeToLiveRequest { id: 9, keys: true };
    let alive = pb::LeaseKeepAliveRequest { id: 9 };
    let revoke = pb::LeaseRevokeRequest { id: 9 };
    let more = pb::PutRequest {
        lease: 9,
        ..rpc::put_request(key)
    };
    for (what, call, expected) in [
        (
            "keys of a lease",
            Call::new("/etcdserverpb.Lease/LeaseTimeToLive", &ask),
            read,
        ),
        (
            "renewal",
            Call::new("/etcdserverpb.Lease/LeaseKeepAlive", &alive),
            write,
        ),
        (
            "leased put",
            Call::new("/etcdserverpb.KV/Put", &more),
            write,
        ),
        (
            "revocation",
            Call::new("/etcdserverpb.Lease/LeaseRevoke", &revoke),
            write,
        ),
    ] {
        let what = format!("{what} {key:?} with {permits:?}:");
        let ended = alike(stages, tokens, &what, &call).await?;
        let found = ended == Ended::Let;
        ensure!(
            Some(found) == expected,
            "{what} {ended:?}, expected {expected:?}"
        );
    }
    for stage in stages {
        let revoke = Call::new("/etcdserverpb.Lease/LeaseRevoke", &revoke);
        // Gone already, where the user could.
        stage.call(Some(&stage.root), &revoke).await?;
    }
    Ok(())
}
